//! The commands that work on stores and component files without a sidecar, on SQLite and on real servers.

use std::{
    fs,
    io::Write,
    path::Path,
    process::{Output, Stdio},
};

use serde_json::Value;
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command};

mod diagnosis;
mod moving;

/// What a command has said.
#[derive(Debug)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: Vec<u8>,
    pub(crate) err: String,
}

impl Said {
    fn text(&self) -> &str {
        std::str::from_utf8(&self.out).unwrap()
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.out).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }
}

/// Runs `steadfast` as the application `app`, with this on standard input.
pub(crate) fn say(folder: &Path, arguments: &[&str], input: &[u8]) -> Said {
    let mut command = command(folder, arguments);
    let mut child = command.stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_vec();
    let writer = std::thread::spawn(move || {
        // Whoever does not read it closes it.
        let _ = stdin.write_all(&input);
    });
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    writer.join().unwrap();
    Said { code: status.code().unwrap(), out: stdout, err: String::from_utf8(stderr).unwrap() }
}

/// Runs `steadfast state` as the application `app`.
pub(crate) fn state(folder: &Path, arguments: &[&str]) -> Said {
    say(folder, &[&["state"], arguments, &["-a", "app"]].concat(), b"")
}

/// As [`state`], which has to succeed.
pub(crate) fn done(folder: &Path, arguments: &[&str]) -> Said {
    let said = state(folder, arguments);
    assert_eq!(said.code, 0, "{arguments:?}: {said:?}");
    said
}

/// Writes a component file.
pub(crate) fn component(folder: &Path, name: &str, kind: &str, settings: &[(&str, &str)]) {
    let (kind, version) = kind.split_once('/').unwrap_or((kind, "v1"));
    let mut yaml = format!(
        "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {name}\nspec:\n  type: {kind}\n  \
         version: {version}\n  metadata:\n"
    );
    for (name, value) in settings {
        yaml += &format!("  - name: {name}\n    value: {value:?}\n");
    }
    fs::create_dir_all(folder.join("components")).unwrap();
    fs::write(folder.join("components").join(format!("{name}.yaml")), yaml).unwrap();
}

/// A folder with a SQLite store called `statestore`.
pub(crate) fn with_sqlite() -> TempDir {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "statestore", "state.sqlite", &[("connectionString", "state.db")]);
    folder
}

/// Values that somebody might want to change.
pub(crate) fn values() -> Vec<(String, Vec<u8>)> {
    let large: Vec<u8> =
        (0..3_000_000_u32).map(|it| (it.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    let values: [&[u8]; 9] = [
        b"",
        b"null",
        b"{ \"b\" :  1.50,\t\"a\":[ 9007199254740993, 1e2 ] }\n",
        b" 1",
        b"\"caf\xc3\xa9\"",
        b"no json\r\n",
        &[0, 255, 10, 13, 128],
        b"{\"a\":1,\"a\":2}",
        &large,
    ];
    values.iter().enumerate().map(|(i, it)| (format!("value {i}/\u{e9}"), it.to_vec())).collect()
}

/// Saves all the [`values`] and looks whether they come back as they were.
fn values_come_back(folder: &Path, store: &str) {
    for (key, value) in values() {
        let set = ["state", "set", &key, "-", "--store", store, "-a", "app"];
        let said = say(folder, &set, &value);
        assert_eq!(said.code, 0, "{said:?}");
        let got = done(folder, &["get", &key, "--store", store]);
        assert!(got.out == value, "{key} in {store}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn values_come_back_byte_for_byte() {
    let folder = with_sqlite();
    values_come_back(folder.path(), "statestore");
    #[cfg(feature = "redis")]
    {
        use real_servers::redis::{Options, Redis};
        let server = Redis::start(&Options::default()).await.unwrap();
        let address = server.address().to_string();
        component(folder.path(), "other", "state.redis", &[("redisHost", &address)]);
        values_come_back(folder.path(), "other");
    }
}

#[test]
fn a_sidecar_and_the_commands_see_the_same() {
    let folder = with_sqlite();
    let arguments = ["--resources-path", "components"];
    let (_sidecar, port) = Steadfast::serve(folder.path(), &arguments);
    let mut client = Client::new(port);
    assert_eq!(client.save("k", "{\"a\":  1}").status, 204);
    assert_eq!(done(folder.path(), &["get", "k"]).text(), "{\"a\":  1}", "and no line end");
    done(folder.path(), &["set", "k", "{\"b\": 2}"]);
    assert_eq!(client.get("k").body, "{\"b\": 2}");
    done(folder.path(), &["delete", "k"]);
    assert_eq!(client.get("k").status, 204);
    fs::write(folder.path().join("v"), [0, 1]).unwrap();
    done(folder.path(), &["set", "k", "@v"]);
    assert_eq!(done(folder.path(), &["get", "k"]).out, [0, 1]);
}

#[test]
fn conditions_are_kept_and_exit_codes_tell() {
    let folder = with_sqlite();
    let (folder, json) = (folder.path(), "--json");
    let absent = state(folder, &["get", "k"]);
    assert_eq!((absent.code, absent.out.len()), (3, 0), "{absent:?}");
    assert_eq!(state(folder, &["get", "k", json]).json()["absent"], true);
    let first = done(folder, &["set", "k", "1", "--create", json]).json();
    let again = state(folder, &["set", "k", "2", "--create", json]);
    assert_eq!((again.code, &again.json()["outcome"]), (4, &Value::from("conflict")), "{again:?}");
    let etag = first["etag"].as_str().unwrap();
    let second = done(folder, &["set", "k", "2", "--etag", etag, json]).json();
    assert_ne!(first["etag"], second["etag"]);
    let stale = state(folder, &["set", "k", "3", "--etag", etag]);
    assert_eq!(stale.code, 4);
    assert!(stale.err.contains("nothing changed"), "{stale:?}");
    assert_eq!(state(folder, &["delete", "k", "--etag", etag]).code, 4);
    let got = done(folder, &["get", "k", json]).json();
    assert_eq!((&got["value"], &got["etag"]), (&Value::from(2), &second["etag"]));
    assert!(got.get("expiresAt").is_none());
    done(folder, &["delete", "k", "--etag", second["etag"].as_str().unwrap()]);
    done(folder, &["delete", "k"]);

    done(folder, &["set", "k", "1", "--ttl", "1h"]);
    let got = done(folder, &["get", "k", json]).json();
    let expires_at = humantime::parse_rfc3339(got["expiresAt"].as_str().unwrap()).unwrap();
    let left = expires_at.duration_since(std::time::SystemTime::now()).unwrap().as_secs();
    assert!((3590..=3601).contains(&left), "{left}");

    for (arguments, code, words) in [
        (&["get", "a||b"][..], 1, "can't contain '||'; use another separator"),
        (&["get", ""], 1, "\"key\" is a required field"),
        (&["get", "k", "--store", "other"], 1, "there is statestore"),
        (&["get", "k", "--resources-path", "nowhere"], 1, "nowhere"),
        (&["set", "k", "@nowhere"], 1, "nothing was saved"),
        (&["get", "k", "--stor", "x"], 2, "--store"),
    ] {
        let said = state(folder, arguments);
        assert_eq!(said.code, code, "{arguments:?}: {said:?}");
        assert!(said.err.contains(words), "{arguments:?}: {said:?}");
    }
}

#[test]
fn keys_are_listed_in_order_and_in_pages() {
    let folder = with_sqlite();
    let folder = folder.path();
    for key in ["b", "a", "user/2", "user/1", "user/3"] {
        done(folder, &["set", key, "1"]);
    }
    let other = ["state", "set", "mine", "1", "-a", "other"];
    assert_eq!(say(folder, &other, b"").code, 0);
    assert_eq!(done(folder, &["list"]).text(), "a\nb\nuser/1\nuser/2\nuser/3\n");
    let page = done(folder, &["list", "user/", "--limit", "2"]);
    assert_eq!(page.text(), "user/1\nuser/2\n");
    assert!(page.err.contains("--after \"user/2\""), "{page:?}");
    let page = done(folder, &["list", "user/", "--after", "user/2", "--json"]).json();
    assert_eq!(page, serde_json::json!({ "keys": ["user/3"], "more": false }));
    let all = done(folder, &["list", "--raw-keys"]);
    assert_eq!(all.text(), "app||a\napp||b\napp||user/1\napp||user/2\napp||user/3\nother||mine\n");
    assert_eq!(done(folder, &["get", "other||mine", "--raw-keys"]).text(), "1");
}

#[test]
fn a_store_in_the_memory_of_a_sidecar_is_out_of_reach() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), "statestore", "state.in-memory", &[]);
    for arguments in [&["get", "k"][..], &["set", "k", "1"], &["list"], &["export"]] {
        let said = state(folder.path(), arguments);
        assert_eq!(said.code, 1, "{said:?}");
        assert!(said.err.contains("use the API of the sidecar"), "{said:?}");
    }
}
