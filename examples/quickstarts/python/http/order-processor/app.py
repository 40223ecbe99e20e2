"""Saves, gets and deletes orders through the sidecar's HTTP API."""

import os
import time

import requests

ORDERS = int(os.environ.get("ORDERS", 99))
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", 1))

URL = f"http://localhost:{os.environ.get('DAPR_HTTP_PORT', 3500)}/v1.0/state/statestore"

session = requests.Session()
# `steadfast run` makes a token for each run; without a token there is nothing to send.
if "DAPR_API_TOKEN" in os.environ:
    session.headers["dapr-api-token"] = os.environ["DAPR_API_TOKEN"]

for number in range(1, ORDERS + 1):
    key, order = str(number), {"orderId": str(number)}

    print(f"Saving Order: {order}")
    session.post(URL, json=[{"key": key, "value": order}]).raise_for_status()

    answer = session.get(f"{URL}/{key}")
    answer.raise_for_status()
    print(f"Getting Order: {answer.json()}")

    session.delete(f"{URL}/{key}").raise_for_status()
    print(f"Deleted Order: {order}")

    time.sleep(PAUSE_SECONDS)
