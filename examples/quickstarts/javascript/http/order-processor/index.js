// Saves, gets and deletes orders through the sidecar's HTTP API.

import { setTimeout } from "node:timers/promises";

const { ORDERS = 100, PAUSE_SECONDS = 0.5, DAPR_HTTP_PORT = 3500, DAPR_API_TOKEN } = process.env;

const url = `http://localhost:${DAPR_HTTP_PORT}/v1.0/state/statestore`;
// `steadfast run` makes a token for each run; without a token there is nothing to send.
const headers = DAPR_API_TOKEN ? { "dapr-api-token": DAPR_API_TOKEN } : {};

async function call(method, path = "", value = undefined) {
  const body = value && JSON.stringify(value);
  const answer = await fetch(url + path, { method, headers, body });
  if (!answer.ok) {
    throw new Error(`${method} ${path}: ${answer.status} ${await answer.text()}`);
  }
  return answer;
}

for (let number = 1; number <= ORDERS; number++) {
  const order = { orderId: String(number) };

  await call("POST", "", [{ key: order.orderId, value: order }]);
  console.log("Saving Order: ", order);

  const answer = await call("GET", `/${order.orderId}`);
  console.log("Getting Order: ", await answer.json());

  await call("DELETE", `/${order.orderId}`);
  console.log("Deleted Order: ", order);

  await setTimeout(PAUSE_SECONDS * 1000);
}
