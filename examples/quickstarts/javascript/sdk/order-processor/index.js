// Saves, gets and deletes orders with Dapr's JavaScript SDK, which speaks HTTP unless it is told otherwise.

import { setTimeout } from "node:timers/promises";
import dapr from "@dapr/dapr";

const { ORDERS = 100, PAUSE_SECONDS = 0.5 } = process.env;

const STORE = "statestore";

const client = new dapr.DaprClient();

for (let number = 1; number <= ORDERS; number++) {
  const order = { orderId: String(number) };

  const saved = await client.state.save(STORE, [{ key: order.orderId, value: order }]);
  if (saved.error) {
    throw saved.error;
  }
  console.log("Saving Order: ", order);

  console.log("Getting Order: ", await client.state.get(STORE, order.orderId));

  const deleted = await client.state.delete(STORE, order.orderId);
  if (deleted.error) {
    throw deleted.error;
  }
  console.log("Deleted Order: ", order);

  await setTimeout(PAUSE_SECONDS * 1000);
}

await client.stop();
