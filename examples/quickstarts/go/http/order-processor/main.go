// Saves, gets and deletes orders through the sidecar's HTTP API.
package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"strconv"
	"time"
)

// An item to be saved. Its value is a JSON text within JSON.
type item struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

var url = "http://localhost:" + setting("DAPR_HTTP_PORT", "3500") + "/v1.0/state/statestore"

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
	for number := 1; number <= orders; number++ {
		key, order := strconv.Itoa(number), fmt.Sprintf(`{"orderId":%d}`, number)

		items, err := json.Marshal([]item{{Key: key, Value: order}})
		if err != nil {
			log.Fatal(err)
		}
		call(http.MethodPost, "", items)
		fmt.Println("Saved Order:", order)

		fmt.Println("Retrieved Order:", call(http.MethodGet, "/"+key, nil))

		call(http.MethodDelete, "/"+key, nil)
		fmt.Println("Deleted Order:", order)

		time.Sleep(pause)
	}
}

func call(method, path string, body []byte) string {
	request, err := http.NewRequest(method, url+path, bytes.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	// `steadfast run` makes a token for each run; without a token there is nothing to send.
	if token := os.Getenv("DAPR_API_TOKEN"); token != "" {
		request.Header.Set("dapr-api-token", token)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		log.Fatal(err)
	}
	if response.StatusCode/100 != 2 {
		log.Fatalf("%s %s: %s %s", method, path, response.Status, answer)
	}
	return string(answer)
}

func setting(name, usual string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return usual
}
