import io.dapr.client.DaprClient;
import io.dapr.client.DaprClientBuilder;
import java.util.Map;

/** Saves, gets and deletes orders with Dapr's Java SDK, which speaks gRPC. */
public final class OrderProcessor {
  private static final String STORE = "statestore";

  /** An order, saved as JSON. */
  public record Order(int orderId) {}

  public static void main(String[] arguments) throws Exception {
    Map<String, String> settings = System.getenv();
    int orders = Integer.parseInt(settings.getOrDefault("ORDERS", "100"));
    double pauseSeconds = Double.parseDouble(settings.getOrDefault("PAUSE_SECONDS", "1"));
    try (DaprClient client = new DaprClientBuilder().build()) {
      for (int number = 1; number <= orders; number++) {
        String key = String.valueOf(number);

        System.out.println("Saving Order: " + number);
        client.saveState(STORE, key, new Order(number)).block();

        Order found = client.getState(STORE, key, Order.class).block().getValue();
        System.out.println("Getting Order: " + found.orderId());

        System.out.println("Deleting Order: " + number);
        client.deleteState(STORE, key).block();

        Thread.sleep((long) (pauseSeconds * 1000));
      }
    } catch (Exception e) {
      // The SDK's threads would keep the program running.
      e.printStackTrace();
      System.exit(1);
    }
    System.exit(0);
  }
}
