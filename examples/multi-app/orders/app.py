"""Takes orders, and saves each where the packing application finds it."""

import json
import os
import time
import urllib.request

STORE = f"http://localhost:{os.environ['DAPR_HTTP_PORT']}/v1.0/state/statestore"
HEADERS = {"Content-Type": "application/json", "dapr-api-token": os.environ.get("DAPR_API_TOKEN", "")}
ORDERS = int(os.environ.get("ORDERS", "5"))
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", "0.5"))


def main():
    for number in range(1, ORDERS + 1):
        order = {"key": f"order-{number}", "value": {"number": number, "status": "new"}}
        request = urllib.request.Request(STORE, json.dumps([order]).encode(), HEADERS, method="POST")
        urllib.request.urlopen(request).close()
        print(f"Saved order {number}")
        time.sleep(PAUSE_SECONDS)


if __name__ == "__main__":
    main()
