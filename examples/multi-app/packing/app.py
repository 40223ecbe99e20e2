"""Waits for orders of the other application, and marks each as packed exactly once."""

import json
import os
import time
import urllib.error
import urllib.request

STORE = f"http://localhost:{os.environ['DAPR_HTTP_PORT']}/v1.0/state/statestore"
HEADERS = {"Content-Type": "application/json", "dapr-api-token": os.environ.get("DAPR_API_TOKEN", "")}
ORDERS = int(os.environ.get("ORDERS", "5"))
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", "0.5"))


def main():
    for number in range(1, ORDERS + 1):
        while not packed(f"order-{number}"):
            time.sleep(PAUSE_SECONDS)
        print(f"Packed order {number}")


def packed(key):
    """Whether the order was there, and nobody has changed it in the meantime."""
    with urllib.request.urlopen(urllib.request.Request(f"{STORE}/{key}", headers=HEADERS)) as answer:
        if answer.status == 204:
            return False
        order, etag = json.load(answer), answer.headers["etag"]
    change = {"key": key, "value": {**order, "status": "packed"}, "etag": etag, "options": {"concurrency": "first-write"}}
    request = urllib.request.Request(STORE, json.dumps([change]).encode(), HEADERS, method="POST")
    try:
        urllib.request.urlopen(request).close()
    except urllib.error.HTTPError as error:
        if error.code != 409:
            raise
        # Somebody was quicker: read it anew.
        return False
    return True


if __name__ == "__main__":
    main()
