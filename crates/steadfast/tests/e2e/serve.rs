//! `steadfast serve`: what it makes of its files, and how it ends.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
};

use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished};

fn component(folder: &Path, name: &str, text: &str) {
    let components = folder.join("components");
    fs::create_dir_all(&components).unwrap();
    fs::write(components.join(name), text).unwrap();
}

fn sqlite(name: &str, connection_string: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: {name}}}
spec:
  type: state.sqlite
  version: v1
  metadata:
  - {{name: connectionString, value: {connection_string}}}
"
    )
}

const RESOURCES: &[&str] = &["--resources-path", "components"];

#[test]
fn a_mistake_in_a_file_ends_the_start_with_its_place_and_remedy() {
    for (text, expected) in [
        (
            sqlite("s", "a.db").replace("state.sqlite", "state.sqlit"),
            "s.yaml:1: component `s`: couldn't find state store state.sqlit/v1; this program has",
        ),
        (
            sqlite("s", "a.db").replace("connectionString", "conectionString"),
            "missing connection string: add the metadata field connectionString",
        ),
        (sqlite("s", "a.db") + "  - {name: timeout, value: soon}\n", "(line 9)"),
        (sqlite("s", "a.db").replace("version: v1", "version: v9"), "has no version v9; write v1"),
        (sqlite("s", "a.db").replace("  metadata:\n", "  metadata\n"), "s.yaml:"),
        (
            sqlite("s", "a.db").replace("value: a.db", "secretKeyRef: {name: password}"),
            "which secret store",
        ),
        (sqlite("s", "a.db").replace("type: state.sqlite", "typo: state.sqlite"), "`spec.type`"),
    ] {
        let folder = TempDir::new().unwrap();
        component(folder.path(), "s.yaml", &text);
        let mut arguments = vec!["serve", "--app-id", "app", "--dapr-http-port", "0"];
        arguments.extend(RESOURCES);
        let (code, output) = finished(folder.path(), &arguments);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(expected), "{expected}\nis not in\n{output}");
    }
}

#[test]
fn a_store_that_cannot_be_reached_does_not_end_the_sidecar() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "a.yaml", &sqlite("statestore", "later/state.db"));
    component(folder.path(), "b.yaml", &sqlite("other", "other.db"));
    let (_sidecar, port) = Steadfast::serve(folder.path(), RESOURCES);
    let mut client = Client::new(port);
    let refused = client.save("k", "1");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("ERR_STATE_STORE_NOT_READY"), "{refused:?}");
    assert!(refused.body.contains("/later; create it"), "{refused:?}");
    assert!(refused.head.contains("state-outcome: not_applied"), "{refused:?}");
    let other = client.send("POST", "/v1.0/state/other", r#"[{"key":"k","value":1}]"#);
    assert_eq!(other.status, 204, "a store that is ready works: {other:?}");
    let health = client.send("GET", "/v1.0/healthz/outbound", "");
    assert_eq!(health.status, 500);
    assert!(health.body.contains("[statestore]"), "{health:?}");
    let metadata = client.send("GET", "/v1.0/metadata", "").body;
    assert!(metadata.contains(r#""status":"failing""#), "{metadata}");
    fs::create_dir(folder.path().join("later")).unwrap();
    eventually("the store is opened", || client.save("k", "1").status == 204);
    assert_eq!(client.send("GET", "/v1.0/healthz/outbound", "").status, 204);
}

#[test]
fn a_store_that_will_never_open_is_not_waited_for() {
    let folder = TempDir::new().unwrap();
    let wrong = sqlite("statestore", "s.db").replace("connectionString", "conectionString");
    component(folder.path(), "a.yaml", &wrong.replace("spec:", "spec:\n  ignoreErrors: true"));
    let (_sidecar, port) = Steadfast::serve(folder.path(), RESOURCES);
    let mut client = Client::new(port);
    let refused = client.save("k", "1");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("correct its component file"), "{refused:?}");
    assert!(!refused.head.contains("retry-after"), "trying again does not help: {refused:?}");
    let metadata = client.send("GET", "/v1.0/metadata", "").body;
    assert!(metadata.contains(r#""status":"rejected""#), "{metadata}");
    assert_eq!(client.send("GET", "/v1.0/healthz/outbound", "").status, 204, "it is optional");
}

#[test]
fn a_damaged_file_is_reported_and_left_alone() {
    let folder = TempDir::new().unwrap();
    let damaged =
        "not a database at all, but more than a hundred bytes of something else: ".repeat(9);
    fs::write(folder.path().join("state.db"), &damaged).unwrap();
    let (_sidecar, port) = Steadfast::serve(folder.path(), &["--state-store", "sqlite://state.db"]);
    let refused = Client::new(port).save("k", "1");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains("state.db is not a SQLite database"), "{refused:?}");
    assert_eq!(fs::read_to_string(folder.path().join("state.db")).unwrap(), damaged);
}

#[test]
fn two_processes_on_one_file_lose_no_update() {
    const INCREMENTS: u64 = 150;
    let folder = TempDir::new().unwrap();
    let arguments = ["--state-store", "sqlite://state.db"];
    let sidecars = [0, 1].map(|_| Steadfast::serve(folder.path(), &arguments));
    let ports = [sidecars[0].1, sidecars[1].1];
    Client::new(ports[0]).save("counter", "0");
    let increment = |port: u16| {
        let mut client = Client::new(port);
        let mut done = 0;
        while done < INCREMENTS {
            let read = client.get("counter");
            let etag = read.head.lines().find_map(|it| it.strip_prefix("etag: ")).unwrap();
            let next = read.body.parse::<u64>().unwrap() + 1;
            let body = format!(
                r#"[{{"key":"counter","value":{next},"etag":"{etag}","options":{{"concurrency":"first-write"}}}}]"#
            );
            match client.send("POST", "/v1.0/state/statestore", &body).status {
                204 => done += 1,
                409 => {}
                status => panic!("{status}"),
            }
        }
    };
    std::thread::scope(|scope| {
        for port in [ports[0], ports[1], ports[0], ports[1]] {
            scope.spawn(move || increment(port));
        }
    });
    assert_eq!(Client::new(ports[1]).get("counter").body, (4 * INCREMENTS).to_string());
}

#[test]
fn sigterm_lets_requests_finish() {
    let folder = TempDir::new().unwrap();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &["--state-store", "memory"]);
    // Half a request: its body follows after the signal.
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let body = r#"[{"key":"k","value":1}]"#;
    let head = format!(
        "POST /v1.0/state/statestore HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all(head.as_bytes()).unwrap();
    let mut interim = [0; 25];
    stream.read_exact(&mut interim).unwrap();
    assert!(interim.starts_with(b"HTTP/1.1 100"), "the request is being answered");
    sidecar.signal("TERM");
    sidecar.line_with("beginning shutdown");
    stream.write_all(body.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 204"), "{answer}");
    assert_eq!(sidecar.wait().code(), Some(0));
    assert!(sidecar.output().contains("shutdown gracefully"));
}

#[test]
fn requests_that_do_not_finish_are_cut_off_with_exit_code_1() {
    let folder = TempDir::new().unwrap();
    let arguments = ["--state-store", "memory", "--dapr-graceful-shutdown-seconds", "1"];
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &arguments);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let head = "POST /v1.0/state/statestore HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\n\
                Content-Length: 5\r\n\r\n";
    stream.write_all(head.as_bytes()).unwrap();
    stream.read_exact(&mut [0; 25]).unwrap();
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(1));
    assert!(sidecar.output().contains("Graceful shutdown timeout exceeded"));
}

#[test]
fn the_shutdown_api_ends_it_gracefully_or_at_once() {
    let folder = TempDir::new().unwrap();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &["--state-store", "memory"]);
    assert_eq!(Client::new(port).send("POST", "/v1.0/shutdown", "").status, 204);
    assert_eq!(sidecar.wait().code(), Some(0));
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &["--state-store", "memory"]);
    let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let request = "POST /v1.0/shutdown HTTP/1.1\r\nHost: localhost\r\n\
                   dapr-force-shutdown: true\r\n\r\n";
    stream.write_all(request.as_bytes()).unwrap();
    assert_eq!(sidecar.wait().code(), Some(1));
}

#[test]
fn other_machines_are_not_let_in_by_accident() {
    let folder = TempDir::new().unwrap();
    let serve = ["serve", "--app-id", "app", "--dapr-http-port", "0", "--state-store", "memory"];
    let exposed = [&serve[..], &["--dapr-listen-addresses", "0.0.0.0"]].concat();
    let (code, output) = finished(folder.path(), &exposed);
    assert_eq!(code, 1);
    assert!(output.contains("--insecure-listen"), "{output}");
    let allowed = [&exposed[..], &["--insecure-listen"]].concat();
    let mut sidecar = Steadfast::start(command(folder.path(), &allowed));
    sidecar.line_with("dapr initialized");
}

#[test]
fn a_token_in_the_environment_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let arguments = ["serve", "--app-id", "a", "-H", "0", "--state-store", "memory"];
    let mut start = command(folder.path(), &arguments);
    let mut sidecar = Steadfast::start({
        start.env("DAPR_API_TOKEN", "canary-7e1");
        start
    });
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    let mut client = Client::new(port);
    let refused = client.save("k", "1");
    assert_eq!(refused.status, 401, "{refused:?}");
    assert!(refused.body.contains("dapr-api-token"), "{refused:?}");
    assert_eq!(client.send("GET", "/v1.0/healthz", "").status, 204);
    let path = "/v1.0/state/statestore/k HTTP/1.1\r\ndapr-api-token: canary-7e1\r\nx:";
    assert_eq!(client.send("GET", path, "").status, 204);
    let seen = [client.send("GET", path, "").head, refused.body].concat();
    sidecar.signal("TERM");
    sidecar.wait();
    assert!(![sidecar.output(), seen].concat().contains("canary-7e1"));
}

#[test]
fn flags_are_checked_before_anything_starts() {
    let folder = TempDir::new().unwrap();
    assert_eq!(finished(folder.path(), &["serve", "--app-idd", "x"]).0, 2);
    assert_eq!(finished(folder.path(), &["serve"]).0, 1);
    let (code, output) = finished(folder.path(), &["serve", "--app-id", "a.b"]);
    assert_eq!(code, 1);
    assert!(output.contains("parameter app-id cannot contain dots"), "{output}");
    let missing = ["serve", "--app-id", "a", "--resources-path", "nowhere"];
    let (code, output) = finished(folder.path(), &missing);
    assert!(code == 1 && output.contains("nowhere"), "{output}");
}

#[test]
fn healthz_waits_for_the_application() {
    let folder = TempDir::new().unwrap();
    let app = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let app_port = app.local_addr().unwrap().port();
    drop(app);
    let arguments = ["--state-store", "memory", "--app-port", &app_port.to_string()];
    let (_sidecar, port) = Steadfast::serve(folder.path(), &arguments);
    let mut client = Client::new(port);
    assert_eq!(client.send("GET", "/v1.0/healthz", "").status, 500);
    assert_eq!(client.send("GET", "/v1.0/healthz/outbound", "").status, 204);
    let _app = std::net::TcpListener::bind(("127.0.0.1", app_port)).unwrap();
    eventually("the app is reached", || client.send("GET", "/v1.0/healthz", "").status == 204);
}

#[test]
fn a_link_called_daprd_serves_with_an_empty_environment() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "s.yaml", &sqlite("s", "a.db"));
    let link = folder.path().join("daprd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_steadfast"), &link).unwrap();
    let mut daprd = std::process::Command::new(&link);
    daprd
        .args([
            "-app-id",
            "cart",
            "--mode",
            "standalone",
            "--dapr-http-port",
            "0",
            "--dapr-grpc-port",
            "0",
        ])
        .args(RESOURCES)
        .env_clear()
        .current_dir(folder.path())
        .stdout(std::process::Stdio::piped())
        .stderr(std::process::Stdio::piped());
    let mut sidecar = Steadfast::start(daprd);
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    let health = Client::new(port).send("GET", "/v1.0/healthz/outbound", "");
    assert_eq!(health.status, 204);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
}
