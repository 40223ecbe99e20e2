//! In the place of daprd: its flags, its ports, its way to end.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    thread,
    time::Instant,
};

use real_servers::process::Port;
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished};

fn metadata(client: &mut Client) -> Value {
    serde_json::from_str(&client.send("GET", "/v1.0/metadata", "").body).unwrap()
}

/// An application that says whether it is well.
struct App {
    port: u16,
    is_well: Arc<AtomicBool>,
    asked: Arc<AtomicU32>,
}

impl App {
    fn start() -> App {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (is_well, asked) = (Arc::new(AtomicBool::new(true)), Arc::new(AtomicU32::new(0)));
        let (well, count) = (is_well.clone(), asked.clone());
        thread::spawn(move || {
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let mut line = String::new();
                BufReader::new(&stream).read_line(&mut line).unwrap();
                if !line.starts_with("GET /ready ") {
                    continue;
                }
                count.fetch_add(1, Ordering::SeqCst);
                let status =
                    if well.load(Ordering::SeqCst) { "204 No Content" } else { "503 Busy" };
                let _ = write!(stream, "HTTP/1.1 {status}\r\nconnection: close\r\n\r\n");
            }
        });
        App { port, is_well, asked }
    }
}

#[test]
fn probes_have_a_port_of_their_own() {
    let folder = TempDir::new().unwrap();
    let [public_port, internal_port] = [(); 2].map(|()| Port::find().unwrap());
    let [public, internal] = [&public_port, &internal_port].map(|it| it.number().to_string());
    let mut command = command(
        folder.path(),
        &[
            "daprd",
            "--app-id",
            "app",
            "--dapr-http-port",
            "0",
            "--state-store",
            "memory",
            "--dapr-public-port",
            &public,
            "--dapr-internal-grpc-port",
            &internal,
        ],
    );
    command.env("DAPR_API_TOKEN", "secret");
    let mut sidecar = Steadfast::start(command);
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    TcpStream::connect(internal_port.address()).unwrap();
    let mut client = Client::new(public_port.number());
    assert_eq!(client.send("GET", "/v1.0/healthz", "").status, 204);
    assert_eq!(client.send("GET", "/v1.0/healthz/outbound", "").status, 204);
    assert_eq!(metadata(&mut client)["id"], "app");
    for (method, path) in [
        ("GET", "/v1.0/state/statestore/k"),
        ("POST", "/v1.0/state/statestore"),
        ("PUT", "/v1.0/metadata/k"),
        ("POST", "/v1.0/shutdown"),
    ] {
        let answer = client.send(method, path, "");
        assert_eq!(answer.status, 404, "{method} {path}: {answer:?}");
    }
    assert_eq!(Client::new(port).send("GET", "/v1.0/metadata", "").status, 401);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn the_application_is_asked_for_its_health_and_may_hold_up_the_end() {
    let folder = TempDir::new().unwrap();
    let app = App::start();
    let app_port = app.port.to_string();
    let (mut sidecar, port) = Steadfast::serve(
        folder.path(),
        &[
            "--state-store",
            "memory",
            "--app-port",
            &app_port,
            "--enable-app-health-check",
            "--app-health-check-path",
            "ready",
            "--app-health-probe-interval",
            "1",
            "--app-health-threshold",
            "1",
            "--dapr-block-shutdown-duration",
            "1h",
        ],
    );
    sidecar.has_said_or_says("App entered healthy status");
    let mut client = Client::new(port);
    let health = metadata(&mut client)["appConnectionProperties"]["health"].clone();
    assert_eq!(health["healthCheckPath"], "/ready");
    assert_eq!(health["healthProbeInterval"], "1s");
    assert_eq!(health["healthProbeTimeout"], "500ms");
    assert_eq!(health["healthThreshold"], 1);
    sidecar.signal("TERM");
    sidecar.line_with("Blocking graceful shutdown for 3600s or until app reports unhealthy...");
    // It goes on as if nothing had happened.
    assert_eq!(client.save("k", "1").status, 204);
    let asked = app.asked.load(Ordering::SeqCst);
    eventually("it is asked again", || app.asked.load(Ordering::SeqCst) > asked);
    app.is_well.store(false, Ordering::SeqCst);
    sidecar.line_with("App reported unhealthy, entering shutdown...");
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn a_blocked_end_is_over_after_its_time_and_at_a_second_signal() {
    let folder = TempDir::new().unwrap();
    let block = |duration| {
        let flags = ["--state-store", "memory", "--dapr-block-shutdown-duration", duration];
        let (mut sidecar, _) = Steadfast::serve(folder.path(), &flags);
        sidecar.signal("TERM");
        sidecar.line_with("Blocking graceful shutdown");
        sidecar
    };
    let mut sidecar = block("100ms");
    sidecar.line_with("Block shutdown period expired, entering shutdown...");
    assert_eq!(sidecar.wait().code(), Some(0));
    let mut sidecar = block("1h");
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(1));
}

#[test]
fn scripts_can_wait_and_ask_what_was_built() {
    let folder = TempDir::new().unwrap();
    let link = folder.path().join("daprd");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_steadfast"), &link).unwrap();
    let said = |argument: &str| {
        let output = std::process::Command::new(&link).arg(argument).env_clear().output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(said("--version").contains(env!("CARGO_PKG_VERSION")));
    assert!(said("--build-info").contains(env!("CARGO_PKG_VERSION")));
    let free = Port::find().unwrap();
    let port = free.number().to_string();
    let waiting =
        Steadfast::start(command(folder.path(), &["daprd", "--wait", "--dapr-http-port", &port]));
    let begun = Instant::now();
    let flags = ["serve", "--app-id", "app", "--dapr-http-port", &port, "--state-store", "memory"];
    let mut sidecar = Steadfast::start(command(folder.path(), &flags));
    let mut waiting = waiting;
    assert_eq!(waiting.wait().code(), Some(0));
    sidecar.line_with("dapr initialized");
    assert!(begun.elapsed().as_secs() < 170, "it waits for 60 s at most, and is patient no longer");
}

#[test]
fn http_2_can_be_switched_off() {
    let folder = TempDir::new().unwrap();
    for (value, is_spoken) in [("", true), ("true", false)] {
        let mut command = command(
            folder.path(),
            &["serve", "--app-id", "app", "--dapr-http-port", "0", "--state-store", "memory"],
        );
        command.env("DAPR_HTTP_DISABLE_H2C", value);
        let mut sidecar = Steadfast::start(command);
        let port = sidecar.port();
        sidecar.line_with("dapr initialized");
        let mut stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
        let mut frame = [0; 9];
        let answered = std::io::Read::read_exact(&mut stream, &mut frame).is_ok();
        // The answer begins with a SETTINGS frame, or else with a line of HTTP/1.1, or is none.
        assert_eq!(answered && frame[3] == 4, is_spoken, "{frame:?}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused() {
    let folder = TempDir::new().unwrap();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = taken.local_addr().unwrap().port().to_string();
    let base = ["daprd", "--app-id", "app", "--state-store", "memory", "--dapr-http-port", "0"];
    for (flags, code, expected) in [
        (vec!["--dapr-public-port", &taken], 1, "--dapr-public-port"),
        (
            vec![
                "--enable-app-health-check",
                "--app-health-probe-interval",
                "1",
                "--app-health-probe-timeout",
                "2000",
            ],
            1,
            "longer than",
        ),
        (vec!["--mode", "moon"], 2, "standalone"),
        (vec!["--dapr-block-shutdown-duration", "soon"], 2, "not a duration"),
    ] {
        let (exit, output) = finished(folder.path(), &[&base[..], &flags].concat());
        assert!(exit == code && output.contains(expected), "{exit} {output}");
    }
    fs::remove_dir_all(folder.path()).unwrap();
}
