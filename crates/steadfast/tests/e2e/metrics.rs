//! What the metrics say after real traffic.

use std::collections::BTreeMap;

use real_servers::process::Port;
use sidecar_client::GrpcStore;
use state::{Key, Precondition, Read, Store, Write};
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished};

/// The samples of a scrape, by name and labels.
pub(crate) fn scrape(port: u16) -> BTreeMap<String, f64> {
    let answer = Client::new(port).send("GET", "/metrics", "");
    assert_eq!(answer.status, 200, "{answer:?}");
    assert!(answer.head.contains("content-type: text/plain; version=0.0.4"), "{answer:?}");
    let samples = answer.body.lines().filter(|it| !it.starts_with('#'));
    let sample = |it: &str| {
        let (key, value) = it.rsplit_once(' ').unwrap();
        (key.to_owned(), value.parse().unwrap())
    };
    samples.map(sample).collect()
}

/// A sidecar, and the ports of its metrics, of HTTP and of gRPC.
pub(crate) fn serve(folder: &TempDir, arguments: &[&str]) -> (Steadfast, u16, u16, u16) {
    let mut all = vec!["serve", "--app-id", "app", "-H", "0", "-G", "0", "-M", "0"];
    all.extend(["--state-store", "memory"]);
    all.extend(arguments);
    let mut sidecar = Steadfast::start(command(folder.path(), &all));
    let http = sidecar.port();
    let grpc = sidecar.grpc_port();
    let metrics = sidecar.port_after("metrics server is running on port ");
    sidecar.line_with("dapr initialized");
    (sidecar, metrics, http, grpc)
}

/// Traffic over both protocols, of which some fails.
pub(crate) fn traffic(http: u16, grpc: u16) {
    let mut client = Client::new(http);
    assert_eq!(client.save("k", "1").status, 204);
    assert_eq!(client.get("k").status, 200);
    assert_eq!(client.get("none").status, 204);
    let two = r#"[{"key":"a","value":1},{"key":"k","value":2,"etag":"99","options":{"concurrency":"first-write"}}]"#;
    assert_eq!(client.send("POST", "/v1.0/state/statestore", two).status, 409);
    let keys = r#"{"keys":["a","k"]}"#;
    assert_eq!(client.send("POST", "/v1.0/state/statestore/bulk", keys).status, 200);
    let operations = r#"{"operations":[{"operation":"upsert","request":{"key":"t","value":1}}]}"#;
    let path = "/v1.0/state/statestore/transaction";
    assert_eq!(client.send("POST", path, operations).status, 204);
    assert_eq!(client.send("DELETE", "/v1.0/state/statestore/a", "").status, 204);
    assert_eq!(client.send("GET", "/v1.0/state/made-up/k", "").status, 400);
    assert_eq!(client.send("BREW", "/v1.0/tea", "").status, 404);
    assert_eq!(client.send("GET", "/v1.0/healthz", "").status, 204);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let url = format!("http://127.0.0.1:{grpc}");
        let store = GrpcStore::connect(&url, "statestore", None).await.unwrap();
        let key = Key::new("g").unwrap();
        store.write(&Write::put(key.clone(), "1")).await.unwrap();
        store.get(&Read::new(key.clone())).await.unwrap();
        let create = Write::put(key, "2").when(Precondition::Absent);
        assert!(store.write(&create).await.unwrap_err().is_conflict());
    });
}

#[test]
fn traffic_is_counted_under_the_names_and_labels_of_dapr() {
    let folder = TempDir::new().unwrap();
    let (_sidecar, metrics, http, grpc) = serve(&folder, &[]);
    traffic(http, grpc);
    let samples = scrape(metrics);
    let state = |operation: &str, success: bool| {
        format!(
            r#"{{app_id="app",component="statestore",namespace="",operation="{operation}",success="{success}"}}"#
        )
    };
    let path = |method: &str, path: &str, status: u16| {
        format!(r#"{{app_id="app",method="{method}",path="{path}",status="{status}"}}"#)
    };
    let call = |method: &str, status: &str| {
        format!(
            r#"{{app_id="app",grpc_server_method="/dapr.proto.runtime.v1.Dapr/{method}",grpc_server_status="{status}"}}"#
        )
    };
    let outcome = |operation: &str, outcome: &str| {
        format!(
            r#"steadfast_state_outcomes_total{{app_id="app",component="statestore",operation="{operation}",outcome="{outcome}"}}"#
        )
    };
    let store = "/v1.0/state/statestore";
    for (key, value) in [
        (format!("dapr_component_state_count{}", state("set", true)), 2.),
        (format!("dapr_component_state_count{}", state("set", false)), 2.),
        (format!("dapr_component_state_count{}", state("get", true)), 3.),
        (format!("dapr_component_state_count{}", state("bulk_get", true)), 1.),
        (format!("dapr_component_state_count{}", state("transaction", true)), 1.),
        (format!("dapr_component_state_count{}", state("delete", true)), 1.),
        (format!("dapr_component_state_latencies_count{}", state("set", false)), 2.),
        (outcome("set", "ok"), 3.),
        (outcome("set", "conflict"), 2.),
        (outcome("set", "unknown"), 0.),
        (format!("dapr_http_server_request_count{}", path("GET", store, 200)), 1.),
        (format!("dapr_http_server_request_count{}", path("GET", store, 204)), 1.),
        (format!("dapr_http_server_request_count{}", path("POST", store, 409)), 1.),
        (format!("dapr_http_server_response_count{}", path("POST", store, 204)), 2.),
        (format!("dapr_http_server_request_count{}", path("GET", "UNKNOWN", 400)), 1.),
        (format!("dapr_http_server_request_count{}", path("UNKNOWN", "UNKNOWN", 404)), 1.),
        (format!("dapr_http_server_latency_count{}", path("GET", "/v1.0/healthz", 204)), 1.),
        (r#"dapr_http_server_request_bytes_count{app_id="app"}"#.to_owned(), 10.),
        (format!("dapr_grpc_io_server_completed_rpcs{}", call("SaveState", "OK")), 1.),
        (format!("dapr_grpc_io_server_completed_rpcs{}", call("SaveState", "Aborted")), 1.),
        (format!("dapr_grpc_io_server_completed_rpcs{}", call("GetState", "OK")), 1.),
        (format!("dapr_grpc_io_server_server_latency_count{}", call("GetState", "OK")), 1.),
        (
            r#"dapr_runtime_component_init_total{app_id="app",component="state.in-memory"}"#
                .to_owned(),
            1.,
        ),
        (r#"steadfast_component_ready{app_id="app",component="statestore"}"#.to_owned(), 1.),
        (r#"steadfast_requests_in_flight{app_id="app",protocol="http"}"#.to_owned(), 0.),
        (r#"steadfast_panics_total{app_id="app"}"#.to_owned(), 0.),
    ] {
        assert_eq!(samples.get(&key), Some(&value), "{key} in\n{samples:#?}");
    }
    assert!(samples["process_resident_memory_bytes"] > 1e6);
    assert!(samples["process_start_time_seconds"] > 1.6e9);
    let received = r#"dapr_grpc_io_server_received_bytes_per_rpc_sum{app_id="app",grpc_server_method="/dapr.proto.runtime.v1.Dapr/SaveState"}"#;
    assert!(samples[received] > 20., "{samples:#?}");
    let made_up = samples.keys().find(|it| it.contains("made-up") || it.contains("BREW"));
    assert_eq!(made_up, None, "callers make no labels");
}

#[test]
fn metrics_can_be_switched_off_and_are_for_this_machine() {
    let folder = TempDir::new().unwrap();
    let arguments = ["--state-store", "memory", "-G", "0", "-M", "0", "--enable-metrics=false"];
    let (mut sidecar, _) = Steadfast::serve(folder.path(), &arguments);
    sidecar.signal("TERM");
    sidecar.wait();
    assert!(!sidecar.output().contains("metrics server"));
    let (_sidecar, metrics, _, _) = serve(&folder, &[]);
    let mut client = Client::new(metrics);
    assert_eq!(client.send("POST", "/", "").status, 405);
    let rebound = "/ HTTP/1.1\r\nHost: evil.example\r\nx:";
    assert_eq!(client.send("GET", rebound, "").status, 400, "there are two hosts");
    let (code, output) = finished(
        folder.path(),
        &["serve", "--app-id", "a", "--state-store", "memory", "-M", &metrics.to_string()],
    );
    assert!(code == 1 && output.contains("--metrics-port"), "{output}");
}

#[test]
fn requests_are_logged_without_their_keys_at_every_level() {
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--app-id", "app", "-G", "0", "-M", "0", "--state-store", "memory"];
    let logged = |more: &[&str]| {
        let log = folder.path().join("log");
        let _ = std::fs::remove_file(&log);
        let free = Port::find().unwrap();
        let port = free.number().to_string();
        let own = ["-H", &port, "--log-file", "log", "--log-level", "error"];
        let _sidecar = Steadfast::start(command(folder.path(), &[&serve[..], &own, more].concat()));
        eventually("it listens", || Client::connect(free.number()).is_ok());
        let mut client = Client::new(free.number());
        eventually("it is ready", || client.send("GET", "/v1.0/healthz", "").status == 204);
        client.get("secret-key");
        client.send("GET", "/v1.0/healthz", "");
        std::fs::read_to_string(log).unwrap()
    };
    assert_eq!(logged(&[]), "", "nothing is logged at this level");
    let log = logged(&["--enable-api-logging"]);
    // Before them come the questions whether it is ready.
    let [.., get, health] = log.lines().collect::<Vec<_>>()[..] else { panic!("{log}") };
    assert!(get.starts_with("time=\"20") && get.contains(" level=info msg=\"HTTP API Called\" "));
    assert!(
        get.contains(" app_id=app code=204 duration=")
            && get.contains(" method=\"GET /v1.0/state/statestore/{key}\" ")
            && get.contains(" scope=dapr.runtime.http-info size=0 type=log useragent= ver="),
        "{get}"
    );
    assert!(health.contains("method=\"GET /v1.0/healthz\""), "{health}");
    assert!(!log.contains("secret-key"));
    assert!(logged(&["--enable-api-logging", "--log-keys"]).contains("statestore/secret-key"));
}

#[test]
fn the_log_says_at_the_start_what_tools_look_for() {
    let folder = TempDir::new().unwrap();
    let (mut sidecar, _, http, grpc) = serve(&folder, &[]);
    sidecar.signal("TERM");
    sidecar.wait();
    let log = sidecar.output();
    let version = env!("CARGO_PKG_VERSION");
    for message in [
        &format!("Starting Dapr Runtime -- version {version} -- commit "),
        "Log level set to: info",
        "app id: app",
        r#"metric spec: {\"enabled\":true,\"http\":{"#,
        "The request body size parameter is: 4194304 bytes",
        &format!("HTTP server is running on port {http}"),
        &format!("API gRPC server is running on port {grpc}"),
        "dapr initialized. Status: Running. Init Elapsed ",
        "Daprd shutdown gracefully",
    ] {
        let is_there = |it: &str| it.contains(&format!(" level=info msg=\"{message}"));
        assert!(log.lines().any(is_there), "{message} is not in\n{log}");
    }
    let end = format!(" scope=dapr.runtime type=log ver={version}");
    assert!(log.lines().all(|it| it.starts_with("time=\"20") && it.ends_with(&end)), "{log}");
}

/// Every selector `name{label...}` of an expression, and the labels that it is grouped by.
fn selectors(expression: &str) -> Vec<(String, Vec<String>)> {
    let is_word = |it: char| it.is_ascii_alphanumeric() || it == '_';
    let mut found = Vec::new();
    for (at, _) in expression.match_indices(['d', 's', 'p']) {
        let rest = &expression[at..];
        let begins = ["dapr_", "steadfast_", "process_"].iter().any(|it| rest.starts_with(it));
        if !begins || expression[..at].ends_with(is_word) {
            continue;
        }
        let name: String = rest.chars().take_while(|it| is_word(*it)).collect();
        let inner = rest[name.len()..].strip_prefix('{').and_then(|it| it.split_once('}'));
        let matchers = inner.map_or("", |(it, _)| it).split(',').filter(|it| !it.is_empty());
        let label = |it: &str| it.split(['=', '!', '~']).next().unwrap().to_owned();
        found.push((name, matchers.map(label).collect()));
    }
    found
}

/// The words in the brackets after `by`.
fn groups(expression: &str) -> Vec<String> {
    let lists = expression.split("by (").skip(1).filter_map(|it| it.split(')').next());
    lists.flat_map(|it| it.split(", ")).map(str::to_owned).collect()
}

#[test]
fn the_dashboard_and_the_reference_speak_of_metrics_that_exist() {
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let read = |path: &str| std::fs::read_to_string(root.join(path)).unwrap();
    let folder = TempDir::new().unwrap();
    let (_sidecar, metrics, http, grpc) = serve(&folder, &[]);
    traffic(http, grpc);
    let mut labels: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for key in scrape(metrics).keys() {
        let (name, inner) = key.split_once('{').unwrap_or((key, ""));
        let pairs = inner.split("\",").filter(|it| it.contains('='));
        let names = pairs.map(|it| it.split('=').next().unwrap().to_owned()).collect();
        labels.insert(name.to_owned(), names);
    }
    // These need a store that fails, policies, or an option.
    for (name, own) in [
        ("dapr_runtime_component_init_fail_total", "app_id,component,componentName,reason"),
        ("dapr_resiliency_loaded", "app_id,name,namespace"),
        ("dapr_resiliency_count", "app_id,flow_direction,name,namespace,policy,status,target"),
        (
            "dapr_resiliency_activations_total",
            "app_id,flow_direction,name,namespace,policy,status,target",
        ),
        ("dapr_resiliency_cb_state", "app_id,flow_direction,name,namespace,policy,status,target"),
        ("steadfast_spans_total", "app_id,outcome"),
        ("dapr_error_code_total", "app_id,category,error_code"),
    ] {
        labels.insert(name.to_owned(), own.split(',').map(str::to_owned).collect());
    }
    let dashboard: serde_json::Value =
        serde_json::from_str(&read("deploy/grafana/steadfast-state.json")).unwrap();
    let mut expressions = 0;
    for target in dashboard["panels"]
        .as_array()
        .unwrap()
        .iter()
        .flat_map(|it| it["targets"].as_array().unwrap())
    {
        let expression = target["expr"].as_str().unwrap();
        let selectors = selectors(expression);
        assert!(!selectors.is_empty(), "{expression}");
        expressions += 1;
        let mut known: Vec<&String> = Vec::new();
        for (name, matchers) in &selectors {
            let own =
                labels.get(name).unwrap_or_else(|| panic!("{name} of {expression} does not exist"));
            let strange = matchers.iter().find(|it| !own.contains(it));
            assert_eq!(strange, None, "{name} has no such label: {expression}");
            known.extend(own);
        }
        let strange = groups(expression).into_iter().find(|it| !known.contains(&it));
        assert_eq!(strange, None, "nothing has this label: {expression}");
    }
    assert!(expressions >= 15);
    // The reference has a row for each metric, and for nothing else.
    let base = |name: &String| {
        let ends = ["_bucket", "_sum", "_count"];
        let is_histogram = |it: &&str| labels.contains_key(&format!("{it}_bucket"));
        let cut = ends.iter().find_map(|it| name.strip_suffix(it)).filter(is_histogram);
        cut.unwrap_or(name).to_owned()
    };
    let shown: std::collections::BTreeSet<String> = labels.keys().map(base).collect();
    let reference = read("docs/reference/metrics.md");
    let rows = reference.lines().filter_map(|it| it.strip_prefix("| `")?.split('`').next());
    let rows: std::collections::BTreeSet<String> = rows.map(str::to_owned).collect();
    assert_eq!(shown, rows);
}
