import java.io.IOException;
import java.net.URI;
import java.net.http.HttpClient;
import java.net.http.HttpRequest;
import java.net.http.HttpRequest.BodyPublishers;
import java.net.http.HttpResponse;
import java.net.http.HttpResponse.BodyHandlers;
import java.util.Map;

/** Saves, gets and deletes orders through the sidecar's HTTP API. A single file: {@code java OrderProcessor.java}. */
public final class OrderProcessor {
  private static final Map<String, String> SETTINGS = System.getenv();
  private static final String URL =
      "http://localhost:" + SETTINGS.getOrDefault("DAPR_HTTP_PORT", "3500") + "/v1.0/state/statestore";
  private static final HttpClient CLIENT = HttpClient.newHttpClient();

  public static void main(String[] arguments) throws IOException, InterruptedException {
    int orders = Integer.parseInt(SETTINGS.getOrDefault("ORDERS", "100"));
    double pauseSeconds = Double.parseDouble(SETTINGS.getOrDefault("PAUSE_SECONDS", "1"));
    for (int number = 1; number <= orders; number++) {
      String order = "{\"orderId\":" + number + "}";

      System.out.println("Saving order: " + number);
      call("POST", "", "[{\"key\":\"" + number + "\",\"value\":" + order + "}]");
      System.out.println("Order saved: " + call("GET", "/" + number, "").body());

      System.out.println("Deleting order: " + number);
      System.out.println("Deletion Status code :" + call("DELETE", "/" + number, "").statusCode());

      Thread.sleep((long) (pauseSeconds * 1000));
    }
  }

  private static HttpResponse<String> call(String method, String path, String body)
      throws IOException, InterruptedException {
    HttpRequest.Builder request =
        HttpRequest.newBuilder(URI.create(URL + path)).method(method, BodyPublishers.ofString(body));
    // `steadfast run` makes a token for each run; without a token there is nothing to send.
    String token = SETTINGS.get("DAPR_API_TOKEN");
    if (token != null) {
      request.header("dapr-api-token", token);
    }
    HttpResponse<String> response = CLIENT.send(request.build(), BodyHandlers.ofString());
    if (response.statusCode() / 100 != 2) {
      throw new IOException(method + " " + path + ": " + response.statusCode() + " " + response.body());
    }
    return response;
  }
}
