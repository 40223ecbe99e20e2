// Saves, gets and deletes orders with Dapr's Go SDK, which speaks gRPC.
package main

import (
	"context"
	"fmt"
	"log"
	"os"
	"strconv"
	"time"

	dapr "github.com/dapr/go-sdk/client"
)

const store = "statestore"

func main() {
	log.SetFlags(0)
	orders, err := strconv.Atoi(setting("ORDERS", "100"))
	if err != nil {
		log.Fatal(err)
	}
	pause, err := time.ParseDuration(setting("PAUSE_SECONDS", "0") + "s")
	if err != nil {
		log.Fatal(err)
	}
	client, err := dapr.NewClient()
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx := context.Background()
	for number := 1; number <= orders; number++ {
		key, order := strconv.Itoa(number), fmt.Sprintf(`{"orderId":%d}`, number)

		if err := client.SaveState(ctx, store, key, []byte(order), nil); err != nil {
			log.Fatal(err)
		}
		fmt.Println("Saved Order:", order)

		found, err := client.GetState(ctx, store, key, nil)
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("Retrieved Order:", string(found.Value))

		if err := client.DeleteState(ctx, store, key, nil); err != nil {
			log.Fatal(err)
		}
		fmt.Println("Deleted Order:", order)

		time.Sleep(pause)
	}
}

func setting(name, usual string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return usual
}
