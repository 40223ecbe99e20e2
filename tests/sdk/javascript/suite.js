// What the JavaScript SDK's users do with state, one case after the other. The first argument is `http` or `grpc`.

import assert from "node:assert/strict";
import { setTimeout } from "node:timers/promises";
import dapr from "@dapr/dapr";

const { CommunicationProtocolEnum, DaprClient, LogLevel, StateConcurrencyEnum, StateConsistencyEnum } = dapr;

const STORE = "statestore";
const overGrpc = process.argv[2] === "grpc";
const FIRST_WRITE = { concurrency: StateConcurrencyEnum.CONCURRENCY_FIRST_WRITE };

function connect(more = {}) {
  return new DaprClient({
    daprPort: overGrpc ? process.env.DAPR_GRPC_PORT : process.env.DAPR_HTTP_PORT,
    communicationProtocol: overGrpc ? CommunicationProtocolEnum.GRPC : CommunicationProtocolEnum.HTTP,
    logger: { level: LogLevel.Error, service: { error() {}, warn() {}, info() {}, verbose() {}, debug() {} } },
    ...more,
  });
}

const client = connect();
const state = client.state;

// The SDK takes a refusal for a sidecar that is not up yet, and asks for half a minute; so this begins first.
const token = process.env.DAPR_API_TOKEN;
const stranger = token && connect({ daprApiToken: "wrong" }).state.get(STORE, "k").then(() => null, (e) => e);

const cases = {
  "start-up wait": async () => {
    await client.start();
    assert.ok(await client.health.isHealthy());
  },

  "save and get": async () => {
    await saved([{ key: "order", value: { id: 1 } }]);
    assert.deepEqual(await state.get(STORE, "order"), { id: 1 });
    await saved([{ key: "order", value: "text" }]);
    assert.equal(await state.get(STORE, "order"), "text");
  },

  // `get` shows no ETag; `getBulk` does.
  "get with etag": async () => {
    await saved([{ key: "k", value: 1 }]);
    const etag = await etagOf("k");
    await saved([{ key: "k", value: 2, etag }]);
    await isConflict(() => state.save(STORE, [{ key: "k", value: 3, etag }]));
    assert.equal(await state.get(STORE, "k"), 2);
  },

  "absent key": async () => {
    assert.equal(await state.get(STORE, "absent"), "");
  },

  "binary values": async () => "the SDK sends and returns JSON or text",

  "bulk save and get": async () => {
    const numbers = [...Array(10).keys()];
    await saved(numbers.map((value) => ({ key: `bulk${value}`, value: { value } })));
    const found = await state.getBulk(STORE, [...numbers, 10].map((it) => `bulk${it}`));
    assert.deepEqual(found.slice(0, 10).map((it) => it.data), numbers.map((value) => ({ value })));
    assert.ok(!found[10].data && !found[10].etag);
  },

  delete: async () => {
    await saved([{ key: "k", value: 1 }]);
    await state.delete(STORE, "k");
    assert.equal(await state.get(STORE, "k"), "");
    await state.delete(STORE, "k");
  },

  "delete with etag": async () => {
    await saved([{ key: "k", value: 1 }]);
    const stale = await etagOf("k");
    await saved([{ key: "k", value: 2 }]);
    await isConflict(() => state.delete(STORE, "k", { etag: stale }));
    assert.equal(await state.get(STORE, "k"), 2);
    assert.ok(!(await state.delete(STORE, "k", { etag: await etagOf("k") })).error);
    assert.equal(await state.get(STORE, "k"), "");
  },

  transaction: async () => {
    await saved([{ key: "old", value: "1" }]);
    await state.transaction(STORE, [
      { operation: "upsert", request: { key: "new", value: "2" } },
      { operation: "delete", request: { key: "old" } },
    ]);
    assert.equal(String(await state.get(STORE, "new")), "2");
    assert.equal(await state.get(STORE, "old"), "");
    const etag = await etagOf("new");
    await saved([{ key: "new", value: "3" }]);
    await isConflict(() =>
      state.transaction(STORE, [
        { operation: "upsert", request: { key: "other", value: "4" } },
        { operation: "upsert", request: { key: "new", value: "5", etag } },
      ]),
    );
    assert.equal(String(await state.get(STORE, "new")), "3");
    assert.equal(await state.get(STORE, "other"), "");
  },

  ttl: async () => {
    await saved([{ key: "brief", value: 1, metadata: { ttlInSeconds: "1" } }]);
    const deadline = Date.now() + 30_000;
    while ((await state.get(STORE, "brief")) !== "") {
      assert.ok(Date.now() < deadline, "it outlives its time");
      await setTimeout(100);
    }
    await saved([{ key: "lasting", value: 1, metadata: { ttlInSeconds: "1000" } }]);
    assert.equal(await state.get(STORE, "lasting"), 1);
  },

  "first-write": async () => {
    await state.delete(STORE, "once");
    await saved([{ key: "once", value: 1, options: FIRST_WRITE }]);
    await isConflict(() => state.save(STORE, [{ key: "once", value: 2, options: FIRST_WRITE }]));
    await saved([{ key: "counter", value: 0 }]);
    await Promise.all([...Array(4)].map(() => count(25)));
    assert.equal(await state.get(STORE, "counter"), 100);
  },

  "strong options": async () => {
    const consistency = StateConsistencyEnum.CONSISTENCY_STRONG;
    for (const concurrency of [0, 1, 2]) {
      await state.delete(STORE, "strong");
      await saved([{ key: "strong", value: 1, options: { consistency, concurrency } }]);
      assert.equal(await state.get(STORE, "strong", { consistency }), 1);
      const etag = await etagOf("strong");
      const deleted = await state.delete(STORE, "strong", { consistency, concurrency, etag });
      assert.ok(!deleted.error, deleted.error);
    }
  },

  metadata: async () => {
    await client.metadata.set("suite", "javascript");
    const told = await client.metadata.get();
    assert.ok(JSON.stringify(told).includes(STORE));
  },

  token: async () => {
    if (!token) {
      return "DAPR_API_TOKEN is not set";
    }
    assert.match(String(await stranger), /DAPR_SIDECAR_COULD_NOT_BE_STARTED/);
  },
};

/** Over HTTP, the SDK returns errors of a save or delete; over gRPC, it throws them. */
async function saved(items) {
  const { error } = await state.save(STORE, items);
  if (error) {
    throw error;
  }
}

async function conflicts(call) {
  let error;
  try {
    error = (await call())?.error;
  } catch (e) {
    error = e;
  }
  const text = String(error?.message ?? error ?? "");
  if (error && !/etag mismatch/.test(text)) {
    throw error;
  }
  return Boolean(error);
}

async function isConflict(call) {
  assert.ok(await conflicts(call), "it was not refused");
}

async function etagOf(key) {
  const [{ etag }] = await state.getBulk(STORE, [key]);
  return etag;
}

async function count(times) {
  while (times > 0) {
    const [{ data, etag }] = await state.getBulk(STORE, ["counter"]);
    const next = { key: "counter", value: data + 1, etag, options: FIRST_WRITE };
    if (!(await conflicts(() => state.save(STORE, [next])))) {
      times -= 1;
    }
  }
}

for (const [name, run] of Object.entries(cases)) {
  const skipped = await run().catch((e) => {
    console.error(`failed ${name}:`, e);
    process.exit(1);
  });
  console.log(skipped ? `skip ${name}: ${skipped}` : `ok ${name}`);
}
await client.stop();
process.exit(0);
