//! What the process opens to others, and what it tells them.

use std::{
    collections::HashSet,
    fs::{self, Permissions},
    os::unix::{
        fs::{MetadataExt, PermissionsExt},
        process::CommandExt,
    },
    process::{Command, Stdio},
};

use procfs::process::{FDTarget, Process};
use sidecar_client::{GrpcStore, HttpStore, Protocol};
use state::{Change, Format, Key, Read, Store, Ttl, Write};
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command};

/// A user who is not the one of the tests. Source: Debian's `nobody`.
const NOBODY: u32 = 65534;

/// Whether the tests may be other users.
fn is_root() -> bool {
    let is_root = rustix::process::geteuid().is_root();
    if !is_root {
        eprintln!("skipped: it takes root to be another user");
    }
    is_root
}

#[test]
fn nothing_is_listened_on_but_three_ports_of_the_loopback() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().unwrap();
    let flags = ["--state-store", "memory", "-G", "0", "-M", "0"];
    let (sidecar, port) = Steadfast::serve(folder.path(), &flags);
    let process = Process::new(sidecar.child.id().cast_signed()).unwrap();
    let sockets: HashSet<u64> = process
        .fd()
        .unwrap()
        .filter_map(|it| match it.ok()?.target {
            FDTarget::Socket(inode) => Some(inode),
            _ => None,
        })
        .collect();
    let tcp = procfs::net::tcp().unwrap().into_iter().chain(procfs::net::tcp6().unwrap());
    let own: Vec<_> = tcp.filter(|it| sockets.contains(&it.inode)).collect();
    let udp = procfs::net::udp().unwrap().into_iter().chain(procfs::net::udp6().unwrap());
    assert_eq!(udp.filter(|it| sockets.contains(&it.inode)).count(), 0);
    let metrics = sidecar.told_port("metrics server is running on port ");
    let expected = HashSet::from([port, sidecar.grpc_port(), metrics]);
    let ports: HashSet<u16> = own.iter().map(|it| it.local_address.port()).collect();
    assert_eq!(ports, expected);
    for it in &own {
        assert!(it.local_address.ip().is_loopback(), "{it:?}");
    }
}

#[test]
fn sockets_are_closed_to_other_users_wherever_they_are() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().unwrap();
    // Somebody has made the folder, for everybody.
    let sockets = folder.path().join("sockets");
    fs::create_dir(&sockets).unwrap();
    for it in [folder.path(), &sockets] {
        fs::set_permissions(it, Permissions::from_mode(0o755)).unwrap();
    }
    let start = ["serve", "--app-id", "app", "--state-store", "memory", "-u", "sockets"];
    let mut sidecar = Steadfast::start(command(folder.path(), &start));
    sidecar.line_with("dapr initialized");
    let control = sockets.join("control");
    fs::write(&control, "").unwrap();
    fs::set_permissions(&control, Permissions::from_mode(0o666)).unwrap();
    let may_write = |name: &str| {
        let script = format!("[ -w {} ]", sockets.join(name).display());
        Command::new("sh").args(["-c", &script]).uid(NOBODY).status().unwrap().success()
    };
    assert!(may_write("control"), "the folder is not what keeps them out");
    assert!(!may_write("dapr-app-http.socket") && !may_write("dapr-app-grpc.socket"));
}

#[test]
fn other_processes_of_the_user_cannot_look_into_it_and_are_known_all_the_same() {
    if !is_root() {
        return;
    }
    let folder = TempDir::new().unwrap();
    std::os::unix::fs::chown(folder.path(), Some(NOBODY), None).unwrap();
    let start = ["run", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"];
    let mut run = command(folder.path(), &[&start[..], &["--", "sleep", "600"]].concat());
    run.uid(NOBODY);
    if let Err(e) = Command::new(env!("CARGO_BIN_EXE_steadfast"))
        .arg("--version")
        .uid(NOBODY)
        .stdout(Stdio::null())
        .status()
    {
        eprintln!("skipped: other users may not run what is built here: {e}");
        return;
    }
    let mut job = Steadfast::start(run);
    let port = job.port();
    job.line_with("up and running");
    let own = format!("/proc/{}/environ", job.child.id());
    assert_eq!(fs::metadata(&own).unwrap().uid(), 0, "the system keeps it from the user");
    let as_user = |user: u32| {
        let request = "GET /v1.0/state/statestore/k HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n";
        let script =
            format!("exec 3<>/dev/tcp/127.0.0.1/{port}; printf '{request}' >&3; head -1 <&3");
        let output = Command::new("bash").args(["-c", &script]).uid(user).output().unwrap();
        String::from_utf8_lossy(&output.stdout).trim().to_owned()
    };
    assert_eq!(as_user(NOBODY), "HTTP/1.1 204 No Content");
    assert_eq!(as_user(NOBODY - 1), "HTTP/1.1 401 Unauthorized");
}

#[test]
fn sidecar_may_open_many_files_and_its_application_as_many_as_before() {
    let folder = TempDir::new().unwrap();
    let steadfast = env!("CARGO_BIN_EXE_steadfast");
    let script = format!(
        "ulimit -Sn 300; exec {steadfast} run --app-id app --state-store memory -H 0 -G 0 -- \
         sh -c 'echo told $(ulimit -Sn) end; exec sleep 600'"
    );
    let mut shell = Command::new("sh");
    shell.args(["-c", &script]).current_dir(folder.path()).env("HOME", folder.path());
    shell.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut job = Steadfast::start(shell);
    job.line_with("told 300 end");
    let limits = fs::read_to_string(format!("/proc/{}/limits", job.child.id())).unwrap();
    let files = limits.lines().find(|it| it.starts_with("Max open files")).unwrap();
    let words: Vec<&str> = files.split_whitespace().collect();
    assert_eq!(words[3], words[4], "as many as there may be: {files}");
}

/// Secrets in every place where one may stand, each with these letters in it.
const CANARY: &str = "canary";

const SERVERS: &str = "
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: redis}
spec:
  type: state.redis
  version: v1
  ignoreErrors: true
  metadata:
  - {name: redisHost, value: \"127.0.0.1:1\"}
  - {name: redisPassword, value: canary-redis}
  - {name: redisMaxRetries, value: \"0\"}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: mysql}
spec:
  type: state.mysql
  version: v1
  ignoreErrors: true
  metadata:
  - {name: connectionString, value: \"app:canary-mysql@tcp(127.0.0.1:1)/\"}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: postgresql}
spec:
  type: state.postgresql
  version: v2
  ignoreErrors: true
  metadata:
  - {name: connectionString, value: \"host=127.0.0.1 port=1 user=app password=canary-pg connect_timeout=1\"}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: etcd}
spec:
  type: state.etcd
  version: v2
  ignoreErrors: true
  metadata:
  - {name: endpoints, value: \"127.0.0.1:1\"}
  - {name: username, value: app}
  - {name: password, value: canary-etcd}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {name: typo}
spec:
  type: state.redis
  version: v1
  ignoreErrors: true
  metadata:
  - {name: redisHost, value: \"127.0.0.1:1\"}
  - {name: redisPasswort, value: canary-typo}
  - {name: redisDB, value: canary-number}
";

/// The same over the other forms of the API, whose libraries have logs of their own.
fn over_http2(port: u16, grpc_port: u16) {
    let calling = async {
        let (token, key) = (Some("canary-first"), Key::new("canary-key").unwrap());
        let http = format!("http://127.0.0.1:{port}");
        let http = HttpStore::connect_over(Protocol::Http2, &http, "statestore", token);
        let grpc = format!("http://127.0.0.1:{grpc_port}");
        let grpc = GrpcStore::connect(&grpc, "statestore", token);
        let stores: [Box<dyn Store>; 2] =
            [Box::new(http.await.unwrap()), Box::new(grpc.await.unwrap())];
        for store in stores {
            let value = "\"canary-value\"".into();
            let change = Change::Put { value, format: Format::Json, ttl: Ttl::Unsaid };
            store.write(&Write::new(key.clone(), change)).await.unwrap();
            assert!(store.get(&Read::new(key.clone())).await.unwrap().is_some());
        }
        let grpc = format!("http://127.0.0.1:{grpc_port}");
        assert!(GrpcStore::connect(&grpc, "statestore", Some("canary-wrong")).await.is_err());
    };
    tokio::runtime::Runtime::new().unwrap().block_on(calling);
}

#[test]
fn secrets_keys_and_values_are_told_to_nobody() {
    let folder = TempDir::new().unwrap();
    let components = folder.path().join("components");
    fs::create_dir(&components).unwrap();
    fs::write(components.join("servers.yaml"), SERVERS).unwrap();
    for json in ["--log-as-json=false", "--log-as-json=true"] {
        let arguments = [
            "serve",
            "--app-id",
            "app",
            "--dapr-http-port",
            "0",
            "--resources-path",
            "components",
            "--state-store",
            "memory",
            "--log-level",
            "debug",
            json,
        ];
        let mut start = command(folder.path(), &arguments);
        start
            .env("DAPR_API_TOKEN", "canary-first")
            .env("DAPR_API_TOKEN_SECONDARY", "canary-second");
        start.env("APP_API_TOKEN", "canary-app").env("SOME_PASSWORD", "canary-environment");
        let mut sidecar = Steadfast::start(start);
        let port = sidecar.port();
        sidecar.line_with("dapr initialized");
        let mut client = Client::new(port);
        let mut told = String::new();
        // What is in a request may be in its own answer, and is not looked for there: only what others have sent before.
        let mut ask = |method: &str, path: &str, body: &str, is_own: bool| {
            let path = format!("{path} HTTP/1.1\r\ndapr-api-token: canary-second\r\nx:");
            let answer = client.send(method, &path, body);
            assert_ne!(answer.status, 401);
            if !is_own {
                told += &answer.head;
                told += &answer.body;
            }
        };
        let save =
            r#"[{"key":"canary-key","value":"canary-value","metadata":{"x":"canary-metadata"}}]"#;
        ask("POST", "/v1.0/state/statestore", save, true);
        for store in ["statestore", "redis", "mysql", "postgresql", "etcd", "typo", "none"] {
            let path = format!("/v1.0/state/{store}");
            ask("POST", &path, save, true);
            ask("POST", &path, "{", false);
            ask("POST", &path, r#"[{"key":"canary-key","value":1,"etag":"canary-etag"}]"#, true);
            ask("POST", &format!("{path}/bulk"), r#"{"keys":["canary-key"]}"#, true);
            let operations = r#"{"operations":[{"operation":"canary-operation","request":{"key":"canary-key"}}]}"#;
            ask("POST", &format!("{path}/transaction"), operations, true);
            ask("GET", &format!("{path}/canary-key?consistency=canary-option"), "", true);
            ask("DELETE", &format!("{path}/canary-key?canary-parameter=%zz"), "", true);
            ask("GET", &format!("{path}/other"), "", false);
        }
        for (method, path) in [
            ("GET", "/v1.0/metadata"),
            ("GET", "/v1.0/healthz"),
            ("GET", "/v1.0/healthz/outbound"),
            ("PATCH", "/v1.0/metadata"),
        ] {
            ask(method, path, "", false);
        }
        ask("GET", "/canary-path", "", true);
        over_http2(port, sidecar.grpc_port());
        let mut stranger = Client::new(port);
        let path = "/v1.0/metadata HTTP/1.1\r\ndapr-api-token: canary-wrong\r\nx:";
        told += &stranger.send("GET", path, "").body;
        sidecar.signal("TERM");
        sidecar.wait();
        let output = sidecar.output();
        assert!(output.contains("state operation"), "it has logged what it could: {output}");
        for (what, text) in [("an answer", &told), ("the log", &output)] {
            let found = text.lines().find(|it| it.contains(CANARY));
            assert_eq!(found, None, "{what} tells a secret");
        }
    }
}
