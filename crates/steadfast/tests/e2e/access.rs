//! Who may call: tokens, users, and sockets in the place of ports.

use std::{
    fs,
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream, process::CommandExt},
    path::Path,
    process::Command,
};

use sidecar_client::GrpcStore;
use state::{Change, Format, Key, Read as ReadKey, Store, Ttl, Write as WriteKey};
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command};

const GET: &str = "/v1.0/state/statestore/k";

/// The status of a request with this token, if any.
fn status(port: u16, token: Option<&str>) -> u16 {
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    ask(&mut stream, token)
}

fn ask(stream: &mut (impl Read + Write), token: Option<&str>) -> u16 {
    let token = token.map(|it| format!("dapr-api-token: {it}\r\n")).unwrap_or_default();
    let request =
        format!("GET {GET} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n{token}\r\n");
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    answer.split(' ').nth(1).unwrap().parse().unwrap()
}

/// A run whose application tells its variables and waits.
fn run(folder: &Path, more: &[&str]) -> (Steadfast, u16, String, String) {
    let script =
        "echo told $DAPR_API_TOKEN $DAPR_GRPC_PORT $DAPR_GRPC_ENDPOINT end; exec sleep 600";
    let start = ["run", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"];
    let arguments = [&start, more, &["--", "sh", "-c", script]].concat();
    let mut job = Steadfast::start(command(folder, &arguments));
    let port = if more.contains(&"-u") { 0 } else { job.port() };
    let line = job.line_with("told ");
    let words: Vec<&str> = line.split("told ").nth(1).unwrap().split(' ').collect();
    let (token, grpc) = match words[..] {
        [token, grpc, "end"] => (token, grpc),
        [grpc, "end"] => ("", grpc),
        _ => panic!("{line}"),
    };
    let (token, grpc) = (token.to_owned(), grpc.to_owned());
    (job, port, token, grpc)
}

#[test]
fn each_run_has_a_token_that_its_application_knows() {
    let folder = TempDir::new().unwrap();
    let (_job, port, token, _) = run(folder.path(), &[]);
    let (_other, _, other_token, _) = run(folder.path(), &[]);
    assert!(token.len() >= 32 && token != other_token, "{token} {other_token}");
    assert_eq!(status(port, Some(&token)), 204);
    assert_eq!(status(port, Some(&other_token)), 401);
    assert_eq!(status(port, None), 204, "a process of the same user could read the token anyway");
}

#[test]
fn other_users_have_to_know_the_token() {
    let folder = TempDir::new().unwrap();
    let (_job, port, token, _) = run(folder.path(), &[]);
    if !rustix::process::geteuid().is_root() {
        eprintln!("skipped: it takes root to be another user");
        return;
    }
    let as_nobody = |header: &str| {
        let request = format!("GET {GET} HTTP/1.1\\r\\nHost: localhost\\r\\n{header}\\r\\n");
        let script =
            format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; head -1 <&3");
        let output = Command::new("bash").args(["-c", &script]).uid(65534).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(as_nobody(""), "HTTP/1.1 401 Unauthorized");
    let header = format!("dapr-api-token: {token}\\r\\n");
    assert_eq!(as_nobody(&header), "HTTP/1.1 204 No Content");
}

#[test]
fn token_of_the_environment_is_asked_of_everybody() {
    let folder = TempDir::new().unwrap();
    let start = ["run", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"];
    let mut sidecar = command(folder.path(), &start);
    sidecar.env("DAPR_API_TOKEN", "new").env("DAPR_API_TOKEN_SECONDARY", "old");
    let mut job = Steadfast::start(sidecar);
    let port = job.port();
    job.line_with("dapr initialized");
    for (token, expected) in
        [(Some("new"), 204), (Some("old"), 204), (Some("no"), 401), (None, 401)]
    {
        assert_eq!(status(port, token), expected, "{token:?}");
    }
    let mut alone = command(folder.path(), &start);
    alone.env("DAPR_API_TOKEN_SECONDARY", "old");
    let mut job = Steadfast::start(alone);
    assert_eq!(job.wait().code(), Some(1));
    assert!(job.output().contains("DAPR_API_TOKEN is not"));
}

#[test]
fn a_run_that_is_told_so_has_no_token() {
    let folder = TempDir::new().unwrap();
    let (_job, port, token, _) = run(folder.path(), &["--no-api-token"]);
    assert_eq!(token, "");
    assert_eq!(status(port, Some("anything")), 204);
}

#[tokio::test]
async fn grpc_has_a_port_of_its_own() {
    let folder = TempDir::new().unwrap();
    let (_job, port, token, grpc) = run(folder.path(), &[]);
    let address = format!("http://127.0.0.1:{grpc}");
    let store = GrpcStore::connect(&address, "statestore", Some(&token)).await.unwrap();
    let key = Key::new("k").unwrap();
    let change = Change::Put { value: "{}".into(), format: Format::Json, ttl: Ttl::Unsaid };
    let written = store.write(&WriteKey::new(key.clone(), change)).await.unwrap();
    let found = store.get(&ReadKey::new(key)).await.unwrap().unwrap();
    assert_eq!(found.etag, written.etag);
    assert_eq!(Client::new(port).get("k").body, "{}", "both fronts have the same state");
    assert!(GrpcStore::connect(&address, "statestore", Some("wrong")).await.is_err());
}

#[test]
fn sockets_take_the_place_of_ports() {
    let folder = TempDir::new().unwrap();
    let sockets = folder.path().join("sockets");
    let (mut job, _, token, endpoint) = run(folder.path(), &["-u", "sockets"]);
    let (http, grpc) = (sockets.join("dapr-app-http.socket"), sockets.join("dapr-app-grpc.socket"));
    assert_eq!(endpoint, format!("unix://{}", grpc.display()));
    let mode = |it: &Path| fs::metadata(it).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(&sockets), mode(&http), mode(&grpc)), (0o700, 0o600, 0o600));
    let status = |token| ask(&mut UnixStream::connect(&http).unwrap(), token);
    assert_eq!((status(Some(&token)), status(None), status(Some("wrong"))), (204, 204, 401));
    let mut over_grpc = UnixStream::connect(&grpc).unwrap();
    over_grpc.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").unwrap();
    let mut frame = [0; 9];
    over_grpc.read_exact(&mut frame).unwrap();
    assert_eq!(frame[3], 4, "the server's settings come first");
    drop(over_grpc);
    job.signal("TERM");
    job.wait();
    assert!(!http.exists() && !grpc.exists(), "the files are removed at the end");
}
