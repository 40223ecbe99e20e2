"""What the Python SDK's users do with state, one case after the other."""

import os
import sys
import time
import traceback
from concurrent.futures import ThreadPoolExecutor

import grpc
from dapr.clients import DaprClient
from dapr.clients.exceptions import DaprGrpcError
from dapr.clients.grpc._request import TransactionalStateOperation, TransactionOperationType
from dapr.clients.grpc._state import Concurrency, Consistency, StateItem, StateOptions
from dapr.conf import settings

STORE = "statestore"
FIRST_WRITE = StateOptions(concurrency=Concurrency.first_write)
UPSERT = TransactionOperationType.upsert
DELETE = TransactionOperationType.delete


def main():
    # The client's constructor waits until the sidecar is ready.
    with DaprClient() as client:
        print("ok start-up wait", flush=True)
        for name, case in (
            ("save and get", save_and_get),
            ("get with etag", get_with_etag),
            ("absent key", absent_key),
            ("binary values", binary_values),
            ("bulk save and get", bulk_save_and_get),
            ("delete", delete),
            ("delete with etag", delete_with_etag),
            ("transaction", transaction),
            ("ttl", ttl),
            ("first-write", first_write),
            ("strong options", strong_options),
            ("metadata", metadata),
        ):
            finish(name, lambda: case(client))
    if os.environ.get("DAPR_API_TOKEN"):
        finish("token", token)
    else:
        print("skip token: DAPR_API_TOKEN is not set", flush=True)


def finish(name, case):
    try:
        case()
    except Exception as e:
        traceback.print_exc()
        sys.exit(f"failed {name}: {e!r}")
    print(f"ok {name}", flush=True)


def save_and_get(client):
    client.save_state(STORE, "order", '{"id":1}', state_metadata={"contentType": "application/json"})
    assert client.get_state(STORE, "order").json() == {"id": 1}
    client.save_state(STORE, "order", "{'orderId': '1'}")
    assert client.get_state(STORE, "order").data == b"{'orderId': '1'}"


def get_with_etag(client):
    client.save_state(STORE, "k", "1")
    etag = client.get_state(STORE, "k").etag
    client.save_state(STORE, "k", "2", etag=etag)
    refused(grpc.StatusCode.ABORTED, lambda: client.save_state(STORE, "k", "3", etag=etag))
    assert client.get_state(STORE, "k").data == b"2"


def absent_key(client):
    absent = client.get_state(STORE, "absent")
    assert (absent.data, absent.etag) == (b"", "")


def binary_values(client):
    value = bytes(range(256))
    client.save_state(STORE, "binary", value)
    assert client.get_state(STORE, "binary").data == value


def bulk_save_and_get(client):
    client.save_bulk_state(STORE, [StateItem(key=f"bulk{i}", value=str(i)) for i in range(10)])
    keys = [f"bulk{i}" for i in range(11)]
    found = {it.key: it.data for it in client.get_bulk_state(STORE, keys).items}
    assert found == {f"bulk{i}": str(i).encode() for i in range(10)} | {"bulk10": b""}


def delete(client):
    client.save_state(STORE, "k", "1")
    client.delete_state(STORE, "k")
    assert client.get_state(STORE, "k").data == b""
    client.delete_state(STORE, "k")


def delete_with_etag(client):
    client.save_state(STORE, "k", "1")
    stale = client.get_state(STORE, "k").etag
    client.save_state(STORE, "k", "2")
    refused(grpc.StatusCode.ABORTED, lambda: client.delete_state(STORE, "k", etag=stale))
    assert client.get_state(STORE, "k").data == b"2"
    client.delete_state(STORE, "k", etag=client.get_state(STORE, "k").etag)
    assert client.get_state(STORE, "k").data == b""


def transaction(client):
    client.save_state(STORE, "old", "1")
    put = TransactionalStateOperation(key="new", data="2", operation_type=UPSERT)
    gone = TransactionalStateOperation(key="old", operation_type=DELETE)
    client.execute_state_transaction(STORE, [put, gone])
    new = client.get_state(STORE, "new")
    assert (new.data, client.get_state(STORE, "old").data) == (b"2", b"")
    client.save_state(STORE, "new", "3")
    other = TransactionalStateOperation(key="other", data="4", operation_type=UPSERT)
    stale = TransactionalStateOperation(key="new", data="5", etag=new.etag, operation_type=UPSERT)
    refused(grpc.StatusCode.ABORTED, lambda: client.execute_state_transaction(STORE, [other, stale]))
    assert (client.get_state(STORE, "new").data, client.get_state(STORE, "other").data) == (b"3", b"")


def ttl(client):
    client.save_state(STORE, "brief", "1", state_metadata={"ttlInSeconds": "1"})
    deadline = time.monotonic() + 30
    while client.get_state(STORE, "brief").data:
        assert time.monotonic() < deadline, "it outlives its time"
        time.sleep(0.1)
    client.save_state(STORE, "lasting", "1", state_metadata={"ttlInSeconds": "1000"})
    assert client.get_state(STORE, "lasting").data == b"1"


def first_write(client):
    client.delete_state(STORE, "once")
    client.save_state(STORE, "once", "1", options=FIRST_WRITE)
    second = lambda: client.save_state(STORE, "once", "2", options=FIRST_WRITE)  # noqa: E731
    refused(grpc.StatusCode.ABORTED, second)
    client.save_state(STORE, "counter", "0")
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(count, [25] * 4))
    assert client.get_state(STORE, "counter").data == b"100", client.get_state(STORE, "counter").data


def count(times):
    with DaprClient() as client:
        while times:
            found = client.get_state(STORE, "counter")
            try:
                value = str(int(found.data) + 1)
                client.save_state(STORE, "counter", value, etag=found.etag, options=FIRST_WRITE)
                times -= 1
            except DaprGrpcError as e:
                if e.code() != grpc.StatusCode.ABORTED:
                    raise


# The SDK has no way to ask for a strong read.
def strong_options(client):
    for concurrency in Concurrency:
        client.delete_state(STORE, "strong")
        options = StateOptions(consistency=Consistency.strong, concurrency=concurrency)
        client.save_state(STORE, "strong", "1", options=options)
        etag = client.get_state(STORE, "strong").etag
        client.delete_state(STORE, "strong", etag=etag, options=options)


def metadata(client):
    client.set_metadata("suite", "python")
    told = client.get_metadata()
    assert told.extended_metadata["suite"] == "python"
    store = next(it for it in told.registered_components if it.name == STORE)
    assert {"ETAG", "TRANSACTIONAL", "TTL"} <= set(store.capabilities), store


# That the right token is accepted, all other cases show.
def token():
    settings.DAPR_API_TOKEN = "wrong"
    with DaprClient() as client:
        refused(grpc.StatusCode.UNAUTHENTICATED, lambda: client.get_state(STORE, "k"))


def refused(code, call):
    try:
        call()
    except DaprGrpcError as e:
        assert e.code() == code, e
    else:
        raise AssertionError(f"it was not refused with {code}")


if __name__ == "__main__":
    main()
