//! Secrets: where they come from in Kubernetes, and that they stay secret.

use std::{
    fs,
    io::{Read, Write},
    net::TcpListener,
    path::Path,
    process::Command,
    sync::Arc,
    thread,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, crypto::ring, pki_types::PrivateKeyDer};
use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually};

const TOKEN: &str = "hunter-token";

/// A pod: a folder with component files, a service account, and the API server of its cluster.
struct Pod {
    folder: TempDir,
    port: u16,
}

impl Pod {
    /// With one secret, `redis` in the namespace `prod`, whose `password` is `hunter2`.
    fn new() -> Pod {
        let folder = TempDir::new().unwrap();
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let port = api_server(&authority);
        let account = folder.path().join("account");
        fs::create_dir_all(&account).unwrap();
        fs::write(account.join("ca.crt"), authority.pem()).unwrap();
        fs::write(account.join("token"), TOKEN).unwrap();
        fs::write(account.join("namespace"), "prod").unwrap();
        fs::create_dir_all(folder.path().join("components")).unwrap();
        Pod { folder, port }
    }

    /// A component without a store's own settings, but with this secret.
    fn component(&self, name: &str, more: &str, secret: &str) {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: {name}}}
spec:
  type: state.in-memory
  version: v1
{more}
  metadata:
  - {{name: password, secretKeyRef: {{name: {secret}, key: password}}}}
"
        );
        let file = self.folder.path().join("components").join(format!("{name}.yaml"));
        fs::write(file, text).unwrap();
    }

    fn command(&self, more: &[&str]) -> Command {
        let mut arguments = vec![
            "serve",
            "--app-id",
            "app",
            "--dapr-http-port",
            "0",
            "--log-level",
            "debug",
            "--resources-path",
            "components",
        ];
        arguments.extend(more);
        let mut command = command(self.folder.path(), &arguments);
        command
            .env("KUBERNETES_SERVICE_HOST", "127.0.0.1")
            .env("KUBERNETES_SERVICE_PORT", self.port.to_string())
            .env("STEADFAST_SERVICE_ACCOUNT_DIR", "account");
        command
    }

    /// Runs to an end that must be a failure; returns what was printed.
    fn fails(&self, more: &[&str]) -> String {
        let mut process = Steadfast::start(self.command(more));
        assert_eq!(process.wait().code(), Some(1));
        checked(process.output())
    }
}

/// What was printed, which no secret may be in.
fn checked(output: String) -> String {
    assert!(!output.contains("hunter"), "{output}");
    output
}

/// Knows one Secret, and only those who have the token.
fn api_server(authority: &CertifiedIssuer<'_, KeyPair>) -> u16 {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap();
    let config = Arc::new(config);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let head = String::from_utf8(head).unwrap();
            let (status, body) = match () {
                () if !head.contains(&format!("Bearer {TOKEN}\r\n")) => ("401 Unauthorized", "{}"),
                () if head.starts_with("GET /api/v1/namespaces/prod/secrets/redis ") => {
                    ("200 OK", r#"{"data":{"password":"aHVudGVyMg=="}}"#)
                }
                () => ("404 Not Found", r#"{"message":"not found"}"#),
            };
            let head = format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n", body.len());
            let _ = stream.write_all(format!("{head}{body}").as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    port
}

fn components(client: &mut Client) -> Vec<Value> {
    let metadata = client.send("GET", "/v1.0/metadata", "").body;
    let metadata: Value = serde_json::from_str(&metadata).unwrap();
    metadata["components"].as_array().unwrap().clone()
}

#[test]
fn in_kubernetes_secrets_come_from_the_cluster_and_stay_secret() {
    let pod = Pod::new();
    pod.component("statestore", "", "redis");
    pod.component("other", "  ignoreErrors: true", "mysql");
    let mut process = Steadfast::start(pod.command(&[]));
    let port = process.port();
    process.line_with("dapr initialized");
    let mut client = Client::new(port);
    assert_eq!(client.save("k", "1").status, 204);

    // The one whose secret is not there is, and says why.
    let components = components(&mut client);
    let of = |name: &str| components.iter().find(|it| it["name"] == name).unwrap().clone();
    assert_eq!(of("statestore")["status"], "ready");
    let other = of("other");
    assert_eq!((&other["status"], &other["type"]), (&"rejected".into(), &"state.in-memory".into()));
    let reason = "there is no Secret `mysql` in the namespace `prod`";
    assert!(other["error"].as_str().unwrap().contains(reason), "{other}");
    let refused = client.send("GET", "/v1.0/state/other/k", "");
    assert_eq!(refused.status, 503, "{refused:?}");
    assert!(refused.body.contains(reason), "{refused:?}");
    checked(format!("{components:?}{refused:?}"));
    assert_eq!(client.send("GET", "/v1.0/healthz", "").status, 204);

    process.signal("TERM");
    assert!(process.wait().success());
    let output = checked(process.output());
    assert!(output.contains(reason), "{output}");
}

#[test]
fn a_secret_that_cannot_be_had_ends_the_start_and_says_why() {
    let pod = Pod::new();
    pod.component("statestore", "", "mysql");
    let output = pod.fails(&[]);
    assert!(output.contains("statestore.yaml:9:5: metadata field `password`"), "{output}");
    assert!(output.contains("kubectl create secret generic mysql -n prod"), "{output}");

    pod.component("statestore", "", "redis");
    let output = pod.fails(&["--disable-builtin-k8s-secret-store"]);
    assert!(output.contains("switched off by `--disable-builtin-k8s-secret-store`"), "{output}");

    let account = pod.folder.path().join("account");
    fs::write(account.join("token"), "hunter-old").unwrap();
    let output = pod.fails(&[]);
    assert!(output.contains("does not know the service account's token"), "{output}");
    fs::remove_file(account.join("token")).unwrap();
    let output = pod.fails(&[]);
    assert!(output.contains("automountServiceAccountToken: true"), "{output}");
}

#[test]
fn a_component_that_may_fail_is_never_absent_without_a_word() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, spec: &str| {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n\
             spec: {{ignoreErrors: true, version: v1, {spec}}}\n"
        );
        let components = folder.path().join("components");
        fs::create_dir_all(&components).unwrap();
        fs::write(Path::new(&components).join(format!("{name}.yaml")), text).unwrap();
    };
    write("misspelt", "type: state.in-memory, metdata: []");
    write("unknown", "type: state.mongodb");
    write(
        "parked",
        "type: state.in-memory, metadata: [{name: a, secretKeyRef: {name: b}}, {name: c, value: \
         hunter2}]",
    );
    write("good", "type: state.in-memory");
    let (_sidecar, port) = Steadfast::serve(folder.path(), &["--resources-path", "components"]);
    let components = components(&mut Client::new(port));
    let found: Vec<_> = components
        .iter()
        .map(|it| {
            let text = |name: &str| it[name].as_str().unwrap_or_default().to_owned();
            assert_eq!(text("version"), "v1");
            (text("name"), text("status"), text("error"))
        })
        .collect();
    let expected = [
        ("good", "ready", ""),
        ("misspelt", "rejected", "did you mean `metadata`?"),
        ("parked", "rejected", "does not say which secret store `b` is in"),
        ("unknown", "rejected", "couldn't find state store state.mongodb/v1"),
    ];
    assert_eq!(found.len(), expected.len());
    for ((name, status, error), (expected_name, expected_status, reason)) in
        found.iter().zip(expected)
    {
        assert_eq!((name.as_str(), status.as_str()), (expected_name, expected_status));
        assert!(error.contains(reason) && !error.contains("hunter"), "{error}");
    }
}

#[test]
fn what_the_configuration_refuses_is_refused_and_what_is_mended_is_used() {
    let folder = TempDir::new().unwrap();
    let components_folder = folder.path().join("components");
    fs::create_dir_all(&components_folder).unwrap();
    let component = |name: &str, spec: &str| {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {{name: {name}}}\n\
             spec: {{ignoreErrors: true, {spec}}}\nauth: {{secretStore: vault}}\n"
        );
        // As editors do: never half a file.
        let (draft, file) = (format!("{name}.draft"), format!("{name}.yaml"));
        fs::write(components_folder.join(&draft), text).unwrap();
        fs::rename(components_folder.join(draft), components_folder.join(file)).unwrap();
    };
    let uses = |secret: &str| {
        format!("type: state.in-memory, metadata: [{{name: a, secretKeyRef: {{name: {secret}}}}}]")
    };
    component("vault", "type: secretstores.local.env");
    component("scoped", &uses("A_SECRET"));
    component("absent", &uses("B_SECRET"));
    component("denied", "type: State.Redis");
    component("good", "type: state.in-memory");
    fs::write(
        folder.path().join("config.yaml"),
        "apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata: {name: config}
spec:
  components: {deny: [state.redis/v1]}
  secrets:
    scopes: [{storeName: vault, defaultAccess: deny}]
",
    )
    .unwrap();
    let arguments = [
        "serve",
        "--app-id",
        "app",
        "--dapr-http-port",
        "0",
        "--resources-path",
        "components",
        "--config",
        "config.yaml",
    ];
    let mut command = command(folder.path(), &arguments);
    command.env("A_SECRET", "hunter2");
    let mut process = Steadfast::start(command);
    process.line_with(
        "component 'denied' cannot be loaded because components of type 'denied (State.Redis/)' \
         are not allowed",
    );
    process.line_with("the secret scopes keep secret `A_SECRET` of `vault` from the application");
    let port = process.port();
    process.line_with("dapr initialized");
    let mut client = Client::new(port);
    let mut has = |expected: &[(&str, &str, &str)]| {
        let components = components(&mut client);
        let text = |it: &Value, name: &str| it[name].as_str().unwrap_or_default().to_owned();
        components.len() == expected.len()
            && components.iter().zip(expected).all(|(it, (name, status, reason))| {
                text(it, "name") == *name
                    && text(it, "status") == *status
                    && text(it, "error").contains(reason)
            })
    };
    let good = ("good", "ready", "");
    let scoped = ("scoped", "ready", "");
    assert!(has(&[("absent", "rejected", "`B_SECRET`"), good, scoped]));

    component("absent", "type: state.in-memory");
    eventually("a component is mended", || has(&[("absent", "ready", ""), good, scoped]));
    fs::remove_file(components_folder.join("absent.yaml")).unwrap();
    component("new", "type: state.in-memory, metdata: []");
    eventually("a new one is rejected", || {
        has(&[good, ("new", "rejected", "did you mean `metadata`?"), scoped])
    });
    fs::remove_file(components_folder.join("new.yaml")).unwrap();
    eventually("it is gone with its file", || has(&[good, scoped]));
    process.signal("TERM");
    assert!(process.wait().success());
    let output = process.output();
    assert_eq!(output.matches("`B_SECRET` is not set").count(), 1, "{output}");
    checked(output);
}
