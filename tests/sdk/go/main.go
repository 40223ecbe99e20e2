// What the Go SDK's users do with state, one case after the other.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strconv"
	"sync"
	"time"

	dapr "github.com/dapr/go-sdk/client"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

const store = "statestore"

var firstWrite = dapr.WithConcurrency(dapr.StateConcurrencyFirstWrite)

var cases = []struct {
	name string
	run  func(context.Context, dapr.Client) error
}{
	{"start-up wait", startUpWait},
	{"save and get", saveAndGet},
	{"get with etag", getWithETag},
	{"absent key", absentKey},
	{"binary values", binaryValues},
	{"bulk save and get", bulkSaveAndGet},
	{"delete", deleteState},
	{"delete with etag", deleteWithETag},
	{"transaction", transaction},
	{"ttl", ttl},
	{"first-write", firstWriteWins},
	{"strong options", strongOptions},
	{"metadata", metadata},
}

func main() {
	log.SetFlags(0)
	ctx := context.Background()
	// Waits until the sidecar takes connections.
	client, err := dapr.NewClient()
	if err != nil {
		log.Fatalf("cannot connect: %v", err)
	}
	for _, it := range cases {
		if err := it.run(ctx, client); err != nil {
			log.Fatalf("failed %s: %v", it.name, err)
		}
		fmt.Println("ok", it.name)
	}
	if os.Getenv("DAPR_API_TOKEN") == "" {
		fmt.Println("skip token: DAPR_API_TOKEN is not set")
		return
	}
	client.WithAuthToken("wrong")
	_, err = client.GetState(ctx, store, "k", nil)
	if err := isRefused(err, codes.Unauthenticated); err != nil {
		log.Fatalf("failed token: %v", err)
	}
	fmt.Println("ok token")
}

func startUpWait(ctx context.Context, client dapr.Client) error {
	return client.Wait(ctx, 30*time.Second)
}

func saveAndGet(ctx context.Context, client dapr.Client) error {
	if err := save(ctx, client, "order", `{"id":1}`); err != nil {
		return err
	}
	return has(ctx, client, "order", `{"id":1}`)
}

func getWithETag(ctx context.Context, client dapr.Client) error {
	if err := save(ctx, client, "k", "1"); err != nil {
		return err
	}
	found, err := client.GetState(ctx, store, "k", nil)
	if err != nil {
		return err
	}
	if err := client.SaveStateWithETag(ctx, store, "k", []byte("2"), found.Etag, nil); err != nil {
		return err
	}
	err = client.SaveStateWithETag(ctx, store, "k", []byte("3"), found.Etag, nil)
	return errors.Join(isRefused(err, codes.Aborted), has(ctx, client, "k", "2"))
}

func absentKey(ctx context.Context, client dapr.Client) error {
	found, err := client.GetState(ctx, store, "absent", nil)
	if err == nil && (len(found.Value) > 0 || found.Etag != "") {
		return fmt.Errorf("found %+v", found)
	}
	return err
}

func binaryValues(ctx context.Context, client dapr.Client) error {
	value := make([]byte, 256)
	for i := range value {
		value[i] = byte(i)
	}
	return errors.Join(save(ctx, client, "binary", string(value)), has(ctx, client, "binary", string(value)))
}

func bulkSaveAndGet(ctx context.Context, client dapr.Client) error {
	var items []*dapr.SetStateItem
	var keys []string
	for i := range 10 {
		keys = append(keys, fmt.Sprint("bulk", i))
		items = append(items, &dapr.SetStateItem{Key: keys[i], Value: []byte(strconv.Itoa(i))})
	}
	if err := client.SaveBulkState(ctx, store, items...); err != nil {
		return err
	}
	found, err := client.GetBulkState(ctx, store, append(keys, "bulk10"), nil, 4)
	if err != nil {
		return err
	}
	if len(found) != 11 {
		return fmt.Errorf("found %d items", len(found))
	}
	for i, it := range found[:10] {
		if string(it.Value) != strconv.Itoa(i) || it.Etag == "" || it.Error != "" {
			return fmt.Errorf("found %+v", it)
		}
	}
	if absent := found[10]; len(absent.Value) > 0 || absent.Etag != "" {
		return fmt.Errorf("found %+v", absent)
	}
	return errors.Join(client.DeleteBulkState(ctx, store, keys, nil), has(ctx, client, keys[0], ""))
}

func deleteState(ctx context.Context, client dapr.Client) error {
	return errors.Join(
		save(ctx, client, "k", "1"),
		client.DeleteState(ctx, store, "k", nil),
		has(ctx, client, "k", ""),
		client.DeleteState(ctx, store, "k", nil),
	)
}

func deleteWithETag(ctx context.Context, client dapr.Client) error {
	if err := save(ctx, client, "k", "1"); err != nil {
		return err
	}
	remove := func(etag string) error {
		return client.DeleteStateWithETag(ctx, store, "k", &dapr.ETag{Value: etag}, nil, nil)
	}
	stale, err := client.GetState(ctx, store, "k", nil)
	if err != nil {
		return err
	}
	if err := save(ctx, client, "k", "2"); err != nil {
		return err
	}
	if err := isRefused(remove(stale.Etag), codes.Aborted); err != nil {
		return err
	}
	found, err := client.GetState(ctx, store, "k", nil)
	if err != nil || string(found.Value) != "2" {
		return errors.Join(err, errors.New("it was deleted with a stale ETag"))
	}
	return errors.Join(remove(found.Etag), has(ctx, client, "k", ""))
}

func transaction(ctx context.Context, client dapr.Client) error {
	upsert := func(key, value string, etag *dapr.ETag) *dapr.StateOperation {
		item := &dapr.SetStateItem{Key: key, Value: []byte(value), Etag: etag}
		return &dapr.StateOperation{Type: dapr.StateOperationTypeUpsert, Item: item}
	}
	gone := &dapr.StateOperation{Type: dapr.StateOperationTypeDelete, Item: &dapr.SetStateItem{Key: "old"}}
	if err := save(ctx, client, "old", "1"); err != nil {
		return err
	}
	all := []*dapr.StateOperation{upsert("new", "2", nil), gone}
	if err := client.ExecuteStateTransaction(ctx, store, nil, all); err != nil {
		return err
	}
	if err := errors.Join(has(ctx, client, "new", "2"), has(ctx, client, "old", "")); err != nil {
		return err
	}
	stale, err := client.GetState(ctx, store, "new", nil)
	if err != nil {
		return err
	}
	if err := save(ctx, client, "new", "3"); err != nil {
		return err
	}
	none := []*dapr.StateOperation{upsert("other", "4", nil), upsert("new", "5", &dapr.ETag{Value: stale.Etag})}
	return errors.Join(
		isRefused(client.ExecuteStateTransaction(ctx, store, nil, none), codes.Aborted),
		has(ctx, client, "new", "3"),
		has(ctx, client, "other", ""),
	)
}

func ttl(ctx context.Context, client dapr.Client) error {
	brief := map[string]string{"ttlInSeconds": "1"}
	if err := client.SaveState(ctx, store, "brief", []byte("1"), brief); err != nil {
		return err
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		err := has(ctx, client, "brief", "")
		if err == nil {
			break
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("it outlives its time: %w", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	lasting := map[string]string{"ttlInSeconds": "1000"}
	err := client.SaveState(ctx, store, "lasting", []byte("1"), lasting)
	return errors.Join(err, has(ctx, client, "lasting", "1"))
}

func firstWriteWins(ctx context.Context, client dapr.Client) error {
	if err := client.DeleteState(ctx, store, "once", nil); err != nil {
		return err
	}
	create := func() error { return client.SaveState(ctx, store, "once", []byte("1"), nil, firstWrite) }
	if err := errors.Join(create(), isRefused(create(), codes.Aborted)); err != nil {
		return err
	}
	if err := save(ctx, client, "counter", "0"); err != nil {
		return err
	}
	failures := make([]error, 4)
	var workers sync.WaitGroup
	for i := range failures {
		workers.Add(1)
		go func() {
			defer workers.Done()
			failures[i] = count(ctx, client, 25)
		}()
	}
	workers.Wait()
	return errors.Join(errors.Join(failures...), has(ctx, client, "counter", "100"))
}

func count(ctx context.Context, client dapr.Client, times int) error {
	for times > 0 {
		found, err := client.GetState(ctx, store, "counter", nil)
		if err != nil {
			return err
		}
		value, err := strconv.Atoi(string(found.Value))
		if err != nil {
			return err
		}
		next := []byte(strconv.Itoa(value + 1))
		err = client.SaveStateWithETag(ctx, store, "counter", next, found.Etag, nil, firstWrite)
		switch status.Code(err) {
		case codes.OK:
			times--
		case codes.Aborted:
		default:
			return err
		}
	}
	return nil
}

func strongOptions(ctx context.Context, client dapr.Client) error {
	for concurrency := dapr.StateConcurrencyUndefined; concurrency <= dapr.StateConcurrencyLastWrite; concurrency++ {
		options := &dapr.StateOptions{Concurrency: concurrency, Consistency: dapr.StateConsistencyStrong}
		if err := client.DeleteState(ctx, store, "strong", nil); err != nil {
			return err
		}
		item := &dapr.SetStateItem{Key: "strong", Value: []byte("1"), Options: options}
		if err := client.SaveBulkState(ctx, store, item); err != nil {
			return err
		}
		found, err := client.GetStateWithConsistency(ctx, store, "strong", nil, dapr.StateConsistencyStrong)
		if err != nil || string(found.Value) != "1" {
			return errors.Join(err, errors.New("a strong read does not see it"))
		}
		etag := &dapr.ETag{Value: found.Etag}
		if err := client.DeleteStateWithETag(ctx, store, "strong", etag, nil, options); err != nil {
			return err
		}
	}
	return nil
}

func metadata(ctx context.Context, client dapr.Client) error {
	if err := client.SetMetadata(ctx, "suite", "go"); err != nil {
		return err
	}
	told, err := client.GetMetadata(ctx)
	if err != nil {
		return err
	}
	if told.ExtendedMetadata["suite"] != "go" || len(told.RegisteredComponents) == 0 {
		return fmt.Errorf("told %+v", told)
	}
	return nil
}

func save(ctx context.Context, client dapr.Client, key, value string) error {
	return client.SaveState(ctx, store, key, []byte(value), nil)
}

func has(ctx context.Context, client dapr.Client, key, value string) error {
	found, err := client.GetState(ctx, store, key, nil)
	if err == nil && !bytes.Equal(found.Value, []byte(value)) {
		err = fmt.Errorf("%s is %q, not %q", key, found.Value, value)
	}
	return err
}

func isRefused(err error, code codes.Code) error {
	if status.Code(err) == code {
		return nil
	}
	return fmt.Errorf("not refused with %v: %v", code, err)
}
