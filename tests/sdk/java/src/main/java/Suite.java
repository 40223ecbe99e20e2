import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import io.dapr.client.domain.State;
import io.dapr.client.domain.StateOptions;
import io.dapr.client.domain.StateOptions.Concurrency;
import io.dapr.client.domain.StateOptions.Consistency;
import io.dapr.client.domain.TransactionalStateOperation;
import io.dapr.client.domain.TransactionalStateOperation.OperationType;
import io.dapr.config.Properties;
import io.dapr.exceptions.DaprException;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.Callable;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.stream.IntStream;

/** What the Java SDK's users do with state, one case after the other. */
public final class Suite {
  private static final String STORE = "statestore";
  private static final StateOptions FIRST_WRITE = new StateOptions(null, Concurrency.FIRST_WRITE);

  /** Values are saved as JSON by the SDK's own serializer. */
  public record Order(int id) {}

  private interface Case {
    void run(DaprClient client) throws Exception;
  }

  private interface Step {
    void run() throws Exception;
  }

  public static void main(String[] arguments) throws Exception {
    Map<String, Case> cases = new LinkedHashMap<>();
    cases.put("start-up wait", client -> client.waitForSidecar(30_000).block());
    cases.put("save and get", Suite::saveAndGet);
    cases.put("get with etag", Suite::getWithEtag);
    cases.put("absent key", client -> check(get(client, "absent").getValue() == null, "it is there"));
    cases.put("binary values", Suite::binaryValues);
    cases.put("bulk save and get", Suite::bulkSaveAndGet);
    cases.put("delete", Suite::delete);
    cases.put("delete with etag", Suite::deleteWithEtag);
    cases.put("transaction", Suite::transaction);
    cases.put("ttl", Suite::ttl);
    cases.put("first-write", Suite::firstWrite);
    cases.put("strong options", Suite::strongOptions);
    cases.put("metadata", Suite::metadata);
    try (DaprClient client = new DaprClientBuilder().build()) {
      cases.forEach((name, it) -> finish(name, () -> it.run(client)));
    }
    if (System.getenv("DAPR_API_TOKEN") == null) {
      System.out.println("skip token: DAPR_API_TOKEN is not set");
    } else {
      finish("token", Suite::token);
    }
    // The SDK's threads would keep the program running.
    System.exit(0);
  }

  private static void finish(String name, Step step) {
    try {
      step.run();
    } catch (Throwable e) {
      System.err.println("failed " + name + ":");
      e.printStackTrace();
      System.exit(1);
    }
    System.out.println("ok " + name);
  }

  private static void saveAndGet(DaprClient client) {
    client.saveState(STORE, "order", new Order(1)).block();
    Order found = client.getState(STORE, "order", Order.class).block().getValue();
    check(found.equals(new Order(1)), found);
  }

  private static void getWithEtag(DaprClient client) {
    save(client, "k", 1);
    String etag = get(client, "k").getEtag();
    client.saveState(STORE, "k", etag, 2, null).block();
    isRefused("ABORTED", () -> client.saveState(STORE, "k", etag, 3, null).block());
    has(client, "k", 2);
  }

  private static void binaryValues(DaprClient client) {
    byte[] value = new byte[256];
    for (int i = 0; i < value.length; i++) {
      value[i] = (byte) i;
    }
    // Without this, the SDK says that it is JSON.
    Map<String, String> asBytes = Map.of("contentType", "application/octet-stream");
    client.saveState(STORE, "binary", null, value, asBytes, null).block();
    byte[] found = client.getState(STORE, "binary", byte[].class).block().getValue();
    check(Arrays.equals(found, value), Arrays.toString(found));
  }

  private static void bulkSaveAndGet(DaprClient client) {
    List<String> keys = IntStream.rangeClosed(0, 10).mapToObj(it -> "bulk" + it).toList();
    List<State<?>> states = IntStream.range(0, 10)
        .<State<?>>mapToObj(it -> new State<>(keys.get(it), it, (String) null))
        .toList();
    client.saveBulkState(STORE, states).block();
    List<State<Integer>> found = client.getBulkState(STORE, keys, Integer.class).block();
    check(found.size() == 11, found);
    for (int i = 0; i < 10; i++) {
      check(found.get(i).getValue() == i && found.get(i).getEtag() != null, found.get(i));
    }
    check(found.get(10).getValue() == null, found.get(10));
  }

  private static void delete(DaprClient client) {
    save(client, "k", 1);
    client.deleteState(STORE, "k").block();
    check(get(client, "k").getValue() == null, "it is still there");
    client.deleteState(STORE, "k").block();
  }

  private static void deleteWithEtag(DaprClient client) {
    save(client, "k", 1);
    String stale = get(client, "k").getEtag();
    save(client, "k", 2);
    isRefused("ABORTED", () -> client.deleteState(STORE, "k", stale, null).block());
    has(client, "k", 2);
    client.deleteState(STORE, "k", get(client, "k").getEtag(), null).block();
    check(get(client, "k").getValue() == null, "it is still there");
  }

  private static void transaction(DaprClient client) {
    save(client, "old", 1);
    client.executeStateTransaction(STORE, List.of(upsert("new", 2, null), remove("old"))).block();
    has(client, "new", 2);
    check(get(client, "old").getValue() == null, "it is still there");
    String etag = get(client, "new").getEtag();
    save(client, "new", 3);
    List<TransactionalStateOperation<?>> stale = List.of(upsert("other", 4, null), upsert("new", 5, etag));
    isRefused("ABORTED", () -> client.executeStateTransaction(STORE, stale).block());
    has(client, "new", 3);
    check(get(client, "other").getValue() == null, "half of it was applied");
  }

  private static void ttl(DaprClient client) throws InterruptedException {
    saveFor(client, "brief", "1");
    long deadline = System.nanoTime() + 30_000_000_000L;
    while (get(client, "brief").getValue() != null) {
      check(System.nanoTime() < deadline, "it outlives its time");
      Thread.sleep(100);
    }
    saveFor(client, "lasting", "1000");
    has(client, "lasting", 1);
  }

  private static void firstWrite(DaprClient client) throws Exception {
    client.deleteState(STORE, "once").block();
    client.saveState(STORE, "once", null, 1, FIRST_WRITE).block();
    isRefused("ABORTED", () -> client.saveState(STORE, "once", null, 2, FIRST_WRITE).block());
    save(client, "counter", 0);
    var workers = Executors.newFixedThreadPool(4);
    Callable<Void> worker = () -> {
      count(client, 25);
      return null;
    };
    for (Future<Void> it : workers.invokeAll(List.of(worker, worker, worker, worker))) {
      it.get();
    }
    workers.shutdown();
    has(client, "counter", 100);
  }

  private static void count(DaprClient client, int times) {
    while (times > 0) {
      State<Integer> found = get(client, "counter");
      try {
        client.saveState(STORE, "counter", found.getEtag(), found.getValue() + 1, FIRST_WRITE).block();
        times--;
      } catch (DaprException e) {
        check("ABORTED".equals(e.getErrorCode()), e);
      }
    }
  }

  private static void strongOptions(DaprClient client) {
    for (Concurrency concurrency : new Concurrency[] {null, Concurrency.FIRST_WRITE, Concurrency.LAST_WRITE}) {
      StateOptions options = new StateOptions(Consistency.STRONG, concurrency);
      client.deleteState(STORE, "strong").block();
      client.saveState(STORE, "strong", null, 1, options).block();
      State<Integer> found = client.getState(STORE, "strong", options, Integer.class).block();
      check(found.getValue() == 1, found);
      client.deleteState(STORE, "strong", found.getEtag(), options).block();
    }
  }

  // The SDK does not set any.
  private static void metadata(DaprClient client) {
    var told = client.getMetadata().block();
    check(told.getComponents().stream().anyMatch(it -> it.getName().equals(STORE)), told.getComponents());
  }

  private static void token() throws Exception {
    try (DaprClient client = new DaprClientBuilder().withPropertyOverride(Properties.API_TOKEN, "wrong").build()) {
      isRefused("UNAUTHENTICATED", () -> get(client, "k"));
    }
  }

  private static TransactionalStateOperation<?> upsert(String key, int value, String etag) {
    return new TransactionalStateOperation<>(OperationType.UPSERT, new State<>(key, value, etag));
  }

  private static TransactionalStateOperation<?> remove(String key) {
    return new TransactionalStateOperation<>(OperationType.DELETE, new State<>(key));
  }

  private static void save(DaprClient client, String key, int value) {
    client.saveState(STORE, key, value).block();
  }

  private static void saveFor(DaprClient client, String key, String seconds) {
    client.saveState(STORE, key, null, 1, Map.of("ttlInSeconds", seconds), null).block();
  }

  private static State<Integer> get(DaprClient client, String key) {
    return client.getState(STORE, key, Integer.class).block();
  }

  private static void has(DaprClient client, String key, int value) {
    check(Integer.valueOf(value).equals(get(client, key).getValue()), key + " is not " + value);
  }

  private static void isRefused(String code, Runnable call) {
    try {
      call.run();
    } catch (DaprException e) {
      check(code.equals(e.getErrorCode()), e);
      return;
    }
    throw new AssertionError("not refused with " + code);
  }

  private static void check(boolean holds, Object found) {
    if (!holds) {
      throw new AssertionError(String.valueOf(found));
    }
  }
}
