"""Saves, gets and deletes orders with Dapr's Python SDK, which speaks gRPC."""

import os
import time

from dapr.clients import DaprClient

ORDERS = int(os.environ.get("ORDERS", 99))
PAUSE_SECONDS = float(os.environ.get("PAUSE_SECONDS", 1))

STORE = "statestore"

with DaprClient() as client:
    for number in range(1, ORDERS + 1):
        key, order = str(number), {"orderId": str(number)}

        print(f"Saving Order: {order}")
        client.save_state(STORE, key, str(order))

        found = client.get_state(STORE, key)
        print(f"Getting Order: {found.data.decode()}")

        client.delete_state(STORE, key)
        print(f"Deleted Order: {order}")

        time.sleep(PAUSE_SECONDS)
