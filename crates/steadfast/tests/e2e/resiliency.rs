//! Resiliency resources: what is tried again while a real server is away, what is not, and what the log says.

use std::{fs, path::Path, thread};

use real_servers::redis::{Options, Redis};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, finished};

/// The resource of Dapr's quick start, but for shorter times and an end.
const RESILIENCY: &str = "apiVersion: dapr.io/v1alpha1
kind: Resiliency
metadata:
  name: myresiliency
scopes:
- app
spec:
  policies:
    retries:
      retryForever:
        policy: constant
        duration: 300ms
        maxRetries: -1
    circuitBreakers:
      simpleCB:
        maxRequests: 1
        timeout: 2s
        trip: consecutiveFailures >= 5
  targets:
    components:
      statestore:
        outbound:
          retry: retryForever
          circuitBreaker: simpleCB
";

fn write_files(folder: &Path, server: &Redis, resiliency: &str) {
    let component = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: statestore\nspec:\n  type: \
         state.redis\n  version: v1\n  metadata:\n  - name: redisHost\n    value: \"{}\"\n",
        server.address()
    );
    let components = folder.join("components");
    fs::create_dir_all(&components).unwrap();
    fs::write(components.join("statestore.yaml"), component).unwrap();
    fs::write(components.join("resiliency.yaml"), resiliency).unwrap();
}

/// Adds one to a counter, under its ETag. Returns the status.
fn increment(client: &mut Client) -> u16 {
    let read = client.get("counter");
    if read.status != 200 {
        return read.status;
    }
    let etag = read.head.lines().find_map(|it| it.strip_prefix("etag: ")).unwrap().trim();
    let etag = etag.trim_matches('"');
    let value: u64 = read.body.parse().unwrap();
    let body = format!(r#"[{{"key":"counter","value":{},"etag":"{etag}"}}]"#, value + 1);
    client.send("POST", "/v1.0/state/statestore", &body).status
}

#[tokio::test(flavor = "multi_thread")]
async fn an_application_that_saves_while_its_server_is_away_is_told_no_lies() {
    let server = Redis::start(&Options::default().durable()).await.unwrap();
    let folder = TempDir::new().unwrap();
    write_files(folder.path(), &server, RESILIENCY);
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    sidecar.line_with("Resiliency configuration loaded: myresiliency");
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    assert_eq!(Client::new(port).save("counter", "0").status, 204);

    // One client, so that every conflict would be a false one.
    let (sender, done) = std::sync::mpsc::channel::<()>();
    let counting = thread::spawn(move || {
        let mut client = Client::new(port);
        let (mut saved, mut unknown, mut others) = (0, 0, Vec::new());
        while done.try_recv().is_err_and(|it| it == std::sync::mpsc::TryRecvError::Empty) {
            match increment(&mut client) {
                204 => saved += 1,
                500 => unknown += 1,
                other => others.push(other),
            }
        }
        (saved, unknown, others)
    });
    server.process().kill().unwrap();
    sidecar
        .line_with("Error processing operation component[statestore] output. Retrying in 300ms…");
    server.process().restart().await.unwrap();
    sidecar.line_with("Recovered processing operation component[statestore] output after ");
    server.process().kill().unwrap();
    // As the log has it, where quotes are escaped.
    let opened = r#"Circuit breaker \"simpleCB-statestore\" changed state from closed to open"#;
    sidecar.line_with(opened);
    let refused = Client::new(port).save("other", "1");
    assert_eq!(refused.status, 503, "{}", refused.body);
    assert!(refused.body.contains("circuit breaker is open"), "{}", refused.body);
    assert!(refused.body.contains(r#""outcome":"not_applied""#), "{}", refused.body);
    assert!(refused.head.contains("retry-after: "), "{}", refused.head);
    server.process().restart().await.unwrap();
    sidecar.line_with("changed state from half-open to closed");
    sender.send(()).unwrap();
    let (saved, unknown, others) = counting.join().unwrap();
    assert!(saved > 0);
    // Refused while the breaker was open, and never a conflict.
    assert!(others.iter().all(|it| *it == 503), "{others:?}");
    let value: u64 = Client::new(port).get("counter").body.parse().unwrap();
    assert!(
        (saved..=saved + unknown).contains(&value),
        "{saved} saved, {unknown} unknown: {value}"
    );

    let metadata = Client::new(port).send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&metadata.body).unwrap();
    assert_eq!(metadata["resiliencies"], serde_json::json!([{ "name": "myresiliency" }]));
}

#[tokio::test(flavor = "multi_thread")]
async fn retries_end_with_the_sidecar() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let forever = RESILIENCY.replace("300ms", "1h").replace("circuitBreaker: simpleCB", "");
    write_files(folder.path(), &server, &forever);
    let components = ["--resources-path", "components"];
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &components);
    server.process().kill().unwrap();
    // Not a write: what it has sent to a server that was just killed is unknown, and is not repeated.
    let reading = thread::spawn(move || Client::new(port).get("k"));
    sidecar.line_with("Retrying in 3600s…");
    sidecar.signal("TERM");
    let answer = reading.join().unwrap();
    assert!([500, 503].contains(&answer.status), "{}", answer.body);
    assert!(sidecar.wait().success());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_policy_that_is_misspelt_keeps_the_sidecar_from_starting() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let folder = TempDir::new().unwrap();
    let misspelt = RESILIENCY.replace("retry: retryForever", "retry: retryForver");
    write_files(folder.path(), &server, &misspelt);
    let arguments = ["serve", "-a", "app", "-H", "0", "--resources-path", "components"];
    let (code, output) = finished(folder.path(), &arguments);
    assert_eq!(code, 1, "{output}");
    let said = "resiliency.yaml:23:18: there is no retry policy named `retryForver`; did you mean \
                `retryForever`?";
    assert!(output.contains(said), "{output}");
}
