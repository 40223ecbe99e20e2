//! Changes of files while the sidecar serves.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, eventually};

const RESOURCES: &[&str] = &["--resources-path", "components"];

fn file(folder: &Path, name: &str) -> PathBuf {
    let components = folder.join("components");
    fs::create_dir_all(&components).unwrap();
    components.join(name)
}

fn sqlite(name: &str, connection_string: &str, more: &str) -> String {
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: {name}}}
spec:
  type: state.sqlite
  version: v1
  metadata:
  - {{name: connectionString, value: {connection_string}}}
{more}"
    )
}

/// What the metadata says of a component.
fn entry(client: &mut Client, name: &str) -> Option<Value> {
    let answer = client.send("GET", "/v1.0/metadata", "");
    let metadata: Value = serde_json::from_str(&answer.body).unwrap();
    let components = metadata["components"].as_array().unwrap();
    components.iter().find(|it| it["name"] == name).cloned()
}

#[test]
fn no_request_is_lost_while_components_are_replaced() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), "s.yaml");
    fs::write(&path, sqlite("statestore", "state.db", "")).unwrap();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), RESOURCES);
    let done = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..4)
        .map(|i| {
            let done = done.clone();
            thread::spawn(move || {
                let (mut client, mut count) = (Client::new(port), 0);
                while !done.load(Ordering::Relaxed) {
                    count += 1;
                    let saved = client.save(&format!("k{i}"), &count.to_string());
                    assert_eq!(saved.status, 204, "{saved:?}");
                    let path = format!("/v1.0/state/statestore/k{i}");
                    let found = client.send("GET", &path, "");
                    assert_eq!(found.body, count.to_string(), "{found:?}");
                }
                count
            })
        })
        .collect();
    for i in 1..=20 {
        let more = format!("  - {{name: busyTimeout, value: {}ms}}\n", 2000 + i);
        fs::write(&path, sqlite("statestore", "state.db", &more)).unwrap();
        sidecar.line_with("Component updated: statestore");
    }
    done.store(true, Ordering::Relaxed);
    for it in clients {
        assert!(it.join().unwrap() > 20);
    }
    // Those that were replaced are closed: nothing is left open but the last.
    let pid = sidecar.child.id();
    eventually("the replaced stores are closed", || {
        let open = fs::read_dir(format!("/proc/{pid}/fd")).unwrap();
        let databases = open
            .filter_map(|it| fs::read_link(it.unwrap().path()).ok())
            .filter(|it| it.ends_with("state.db"))
            .count();
        databases < 12
    });
}

#[test]
fn components_come_and_go_with_their_files() {
    let folder = TempDir::new().unwrap();
    fs::write(file(folder.path(), "a.yaml"), sqlite("statestore", "a.db", "")).unwrap();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), RESOURCES);
    let mut client = Client::new(port);
    let save = |client: &mut Client, store: &str| {
        client.send("POST", &format!("/v1.0/state/{store}"), r#"[{"key": "k", "value": 1}]"#)
    };
    assert_eq!(save(&mut client, "other").status, 400);
    fs::write(file(folder.path(), "b.yaml"), sqlite("other", "b.db", "")).unwrap();
    sidecar.line_with("Component loaded: other");
    assert_eq!(save(&mut client, "other").status, 204);
    // A file under another name is the same component.
    fs::rename(file(folder.path(), "b.yaml"), file(folder.path(), "c.yaml")).unwrap();
    fs::write(file(folder.path(), "d.yaml"), sqlite("third", "d.db", "")).unwrap();
    sidecar.line_with("Component loaded: third");
    assert!(!sidecar.has_said("Component removed: other"));
    for name in ["a.yaml", "c.yaml", "d.yaml"] {
        fs::remove_file(file(folder.path(), name)).unwrap();
    }
    eventually("no store is left", || save(&mut client, "other").status == 500);
    assert!(save(&mut client, "other").body.contains("ERR_STATE_STORE_NOT_CONFIGURED"));
    fs::write(file(folder.path(), "a.yaml"), sqlite("statestore", "a.db", "")).unwrap();
    eventually("the store is back", || save(&mut client, "statestore").status == 204);
}

#[test]
fn a_file_with_a_mistake_leaves_what_there_was() {
    let folder = TempDir::new().unwrap();
    let path = file(folder.path(), "s.yaml");
    let good = sqlite("statestore", "state.db", "");
    fs::write(&path, &good).unwrap();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), RESOURCES);
    let mut client = Client::new(port);
    let bad = [
        (good.replace("  type:", "  typo:"), "`spec.type` is missing"),
        (good.replace("  metadata:", "  metadata"), "what the file had before stays in use"),
        (good.replace("state.sqlite", "state.sqlit"), "couldn't find state store"),
        (good.replace("connectionString", "conectionString"), "missing connection string"),
        (good.replace("value: state.db", "value: nowhere/state.db"), "/nowhere; create it"),
    ];
    for (text, expected) in bad {
        fs::write(&path, text).unwrap();
        sidecar.line_with(expected);
        assert_eq!(client.save("k", "1").status, 204, "{expected}");
        fs::write(&path, &good).unwrap();
        eventually("the mistake is forgotten", || {
            entry(&mut client, "statestore").unwrap().get("updateError").is_none()
        });
    }
    // As while somebody saves it.
    fs::write(&path, "").unwrap();
    fs::write(file(folder.path(), "t.yaml"), sqlite("other", "other.db", "")).unwrap();
    sidecar.line_with("Component loaded: other");
    assert_eq!(client.save("k", "1").status, 204);
    // Opened while it is still there, the one before goes on until the new one can be reached.
    fs::write(&path, good.replace("value: state.db", "value: nowhere/state.db")).unwrap();
    eventually("the metadata says what is wrong", || {
        let entry = entry(&mut client, "statestore").unwrap();
        entry["status"] == "ready"
            && entry["updateError"].as_str().is_some_and(|it| it.contains("s.yaml:1"))
    });
    fs::create_dir(folder.path().join("nowhere")).unwrap();
    sidecar.line_with("Component updated: statestore");
    assert_eq!(client.send("GET", "/v1.0/state/statestore/k", "").status, 204);
}

#[test]
fn a_hangup_makes_the_sidecar_read_its_files_and_nothing_else() {
    let folder = TempDir::new().unwrap();
    let configuration = |features: &str, denied: &str| {
        let text = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Configuration\nmetadata: {{name: c}}\nspec:\n  features: [{features}]\n  api: {{denied: [{denied}]}}\n"
        );
        fs::write(folder.path().join("config.yaml"), text).unwrap();
    };
    configuration("{name: HotReload, enabled: false}", "");
    fs::write(file(folder.path(), "s.yaml"), sqlite("statestore", "state.db", "")).unwrap();
    let arguments = [RESOURCES, &["--config", "config.yaml"]].concat();
    let (mut sidecar, port) = Steadfast::serve(folder.path(), &arguments);
    let mut client = Client::new(port);
    assert!(!sidecar.has_said("Hot reloading"));
    fs::write(file(folder.path(), "t.yaml"), sqlite("other", "other.db", "")).unwrap();
    configuration(
        "{name: HotReload, enabled: false}",
        "{name: shutdown, version: v1.0, protocol: http}",
    );
    sidecar.signal("HUP");
    sidecar.line_with("Received signal 'SIGHUP'");
    sidecar.line_with("Component loaded: other");
    // The connection is still the same.
    let refused = client.send("POST", "/v1.0/shutdown", "");
    assert_eq!(refused.status, 404, "{refused:?}");
    assert!(refused.body.contains("ERR_DIRECT_INVOKE") && refused.body.contains("spec.api"));
    configuration("{name: HotReload}", "{name: shutdown}");
    sidecar.signal("HUP");
    sidecar.line_with("the configuration stays as it was");
    assert_eq!(client.save("k", "1").status, 204);
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
}

#[test]
fn a_configuration_with_a_mistake_ends_the_start() {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("config.yaml"), "kind: Configuration\nspec: {trasing: {}}\n")
        .unwrap();
    for (name, expected) in
        [("config.yaml", "did you mean `tracing`?"), ("none.yaml", "cannot be opened")]
    {
        let arguments = ["serve", "--app-id", "app", "--config", name, "--state-store", "memory"];
        let (code, output) = crate::support::finished(folder.path(), &arguments);
        assert_eq!(code, 1);
        assert!(
            output.contains("error loading configuration") && output.contains(expected),
            "{output}"
        );
    }
}
