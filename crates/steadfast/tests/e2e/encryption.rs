//! Encrypted values: from the component file to the bytes on the disk, and through a rotation of keys.

use std::{
    fs,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    thread,
};

use rusqlite::Connection;
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{Client, Steadfast, command, eventually, finished};

const OLD: &str = "00112233445566778899aabbccddeeff00112233445566778899aabbccddeeff";
const NEW: &str = "ffeeddccbbaa99887766554433221100";
const CANARY: &str = "canary-5f1e";

/// Writes a component with these settings, besides its file, and the secrets `old` and `new`.
fn component(folder: &Path, settings: &[&str]) {
    on(folder, "state.sqlite", "{name: connectionString, value: state.db}", settings);
}

/// The same for a store of this type, which a setting says the place of.
fn on(folder: &Path, store: &str, place: &str, settings: &[&str]) {
    let components = folder.join("components");
    fs::create_dir_all(&components).unwrap();
    fs::write(folder.join("secrets.json"), json!({ "old": OLD, "new": NEW }).to_string()).unwrap();
    let settings: String = settings.iter().map(|it| format!("  - {it}\n")).collect();
    let text = format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: vault}}
spec:
  type: secretstores.local.file
  version: v1
  metadata:
  - {{name: secretsFile, value: secrets.json}}
---
apiVersion: dapr.io/v1alpha1
kind: Component
metadata: {{name: statestore}}
spec:
  type: {store}
  version: v1
  metadata:
  - {place}
{settings}auth: {{secretStore: vault}}
"
    );
    fs::write(components.join("a.yaml"), text).unwrap();
}

fn key(field: &str, secret: &str) -> String {
    format!("{{name: {field}EncryptionKey, secretKeyRef: {{name: {secret}}}}}")
}

fn serve(folder: &Path) -> (Steadfast, u16) {
    Steadfast::serve(folder, &["--resources-path", "components", "--log-level", "debug"])
}

/// Ends a sidecar; returns what it has logged.
fn end(mut sidecar: Steadfast) -> String {
    sidecar.signal("TERM");
    assert_eq!(sidecar.wait().code(), Some(0));
    sidecar.output()
}

fn rekey(folder: &Path, more: &[&str]) -> (i32, String) {
    let arguments = ["rekey", "--app-id", "app", "--resources-path", "components"];
    finished(folder, &[&arguments, more].concat())
}

/// The result of `rekey`, with its exit code.
fn rekeyed(folder: &Path, more: &[&str]) -> (i32, Value) {
    let (code, output) = rekey(folder, &[more, &["--json"]].concat());
    let from = output.find('{').unwrap_or_else(|| panic!("{output}"));
    (code, serde_json::from_str(&output[from..]).unwrap())
}

/// What the database has for a key: Dapr's layout keeps bytes in base64.
fn stored(folder: &Path, key: &str) -> (String, bool) {
    let database = Connection::open(folder.join("state.db")).unwrap();
    let select = "SELECT value, is_binary FROM state WHERE key = ?";
    database.query_row(select, [key], |it| Ok((it.get(0)?, it.get(1)?))).unwrap()
}

fn count(found: &Value, form: &str, key: &str) -> u64 {
    let all = found["found"].as_array().unwrap();
    let it = all.iter().find(|it| it["form"] == form && it["encryptionKey"] == key);
    it.map_or(0, |it| it["count"].as_u64().unwrap())
}

#[test]
fn neither_values_nor_keys_are_anywhere_but_where_they_belong() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[&key("primary", "old"), "{name: timeout, value: 21s}"]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    for i in 0..20 {
        let value = format!(r#"{{"secret": "{CANARY}", "n": {i}}}"#);
        assert_eq!(client.save(&format!("k{i}"), &value).status, 204);
        assert_eq!(client.get(&format!("k{i}")).body, value, "to the byte");
    }
    assert_eq!(client.save("empty", r#""""#).status, 204);
    assert_eq!(client.get("empty").body, r#""""#);
    let metadata = client.send("GET", "/v1.0/metadata", "").body;
    let log = end(sidecar);
    assert!(log.contains("Automatic encryption enabled for state store statestore"), "{log}");
    for text in [&log, &metadata] {
        assert!(!text.contains(CANARY) && !text.to_lowercase().contains(OLD), "{text}");
    }
    let key_bytes: Vec<u8> = (0..OLD.len())
        .step_by(2)
        .map(|i| u8::from_str_radix(&OLD[i..i + 2], 16).unwrap())
        .collect();
    for file in ["state.db", "state.db-wal", "state.db-shm"] {
        let Ok(bytes) = fs::read(folder.path().join(file)) else { continue };
        for secret in [CANARY.as_bytes(), OLD.as_bytes(), &key_bytes] {
            assert!(!bytes.windows(secret.len()).any(|it| it == secret), "{file}");
        }
    }
    assert!(stored(folder.path(), "app||k1").1, "it is kept as bytes, as in Dapr");
}

#[test]
fn a_sidecar_does_not_start_with_keys_that_it_cannot_use() {
    for (settings, expected) in [
        (vec![key("primary", "nowhere")], "has no secret `nowhere`"),
        (vec![key("secondary", "old")], "values would be stored in plain text"),
        (vec!["{name: encryptionFormat, value: dapr}".to_owned()], "and no primaryEncryptionKey"),
        (
            vec![format!("{{name: primaryEncryptionKey, value: {OLD}}}")],
            "primaryEncryptionKey is not taken from a secret store",
        ),
        (
            vec![format!("{{name: primaryEncrpytionKey, value: {OLD}}}")],
            "did you mean `primaryEncryptionKey`?",
        ),
        (
            vec![key("primary", "old"), "{name: encryptionFormat, value: rot13}".to_owned()],
            "encryptionFormat is steadfast, steadfast-only or dapr",
        ),
        (vec![key("primary", "word")], "the key is not hexadecimal"),
        (vec![key("primary", "short")], "the key has 2 bytes, and needs 16, 24 or 32"),
        (
            vec![
                "{name: primaryEncryptionKey, secretKeyRef: {name: both, key: a}}".to_owned(),
                "{name: secondaryEncryptionKey, secretKeyRef: {name: both, key: b}}".to_owned(),
            ],
            "two different keys have the name `both`",
        ),
    ] {
        let folder = TempDir::new().unwrap();
        let settings: Vec<&str> = settings.iter().map(String::as_str).collect();
        component(folder.path(), &settings);
        let secrets = json!({
            "old": { "old": OLD }, "both": { "a": OLD, "b": NEW },
            "word": { "word": "canary-word" }, "short": { "short": "0a0b" },
        });
        fs::write(folder.path().join("secrets.json"), secrets.to_string()).unwrap();
        let file = folder.path().join("components/a.yaml");
        let multivalued = "secrets.json}\n  - {name: multiValued, value: true}";
        fs::write(&file, fs::read_to_string(&file).unwrap().replace("secrets.json}", multivalued))
            .unwrap();
        let serve = ["serve", "-a", "app", "-H", "0", "-G", "0", "-d", "components"];
        let (code, output) = finished(folder.path(), &serve);
        assert_eq!(code, 1, "{output}");
        assert!(output.contains(expected), "{expected}\nis not in\n{output}");
        assert!(!output.contains(OLD) && !output.contains("canary"), "{output}");
        assert_eq!(rekey(folder.path(), &[]).0, 3);
        assert!(!folder.path().join("state.db").exists(), "nothing was opened");
    }
}

#[test]
fn a_store_that_was_in_plain_text_is_refused_until_it_was_taken_in() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[]);
    let (sidecar, port) = serve(folder.path());
    assert_eq!(Client::new(port).save("k", &format!(r#""{CANARY}""#)).status, 204);
    end(sidecar);

    component(folder.path(), &[&key("primary", "old")]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    let refused = client.get("k");
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.body.contains("steadfast rekey --from-plaintext"), "{refused:?}");
    client.save("other", "2");
    let body = r#"{"keys":["k","other"]}"#;
    let bulk = client.send("POST", "/v1.0/state/statestore/bulk", body);
    let items: Value = serde_json::from_str(&bulk.body).unwrap();
    assert_eq!((bulk.status, &items[1]["data"]), (200, &json!(2)), "{bulk:?}");
    assert!(items[0]["error"].as_str().unwrap().contains("is not encrypted"), "{bulk:?}");
    assert!(![refused.body, bulk.body].concat().contains(CANARY));

    let (code, left) = rekeyed(folder.path(), &[]);
    assert_eq!((code, &left["notEncrypted"], &left["rewritten"]), (1, &json!(1), &json!(0)));
    assert!(stored(folder.path(), "app||k").0.contains(CANARY), "it is left alone");
    let (code, planned) = rekeyed(folder.path(), &["--from-plaintext", "--dry-run"]);
    assert_eq!((code, &planned["rewritten"]), (1, &json!(1)), "{planned}");
    assert!(stored(folder.path(), "app||k").0.contains(CANARY), "it was only asked");
    let (code, done) = rekeyed(folder.path(), &["--from-plaintext"]);
    assert_eq!((code, &done["rewritten"]), (0, &json!(1)), "{done}");
    assert_eq!(client.get("k").body, format!(r#""{CANARY}""#));
    let (code, again) = rekeyed(folder.path(), &["--from-plaintext"]);
    assert_eq!((code, &again["rewritten"]), (0, &json!(0)), "{again}");
    assert!(!end(sidecar).contains(CANARY));
}

#[test]
fn a_rotation_under_concurrent_writes_loses_nothing() {
    const KEYS: usize = 300;
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[&key("primary", "old")]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    for i in 0..KEYS {
        client.save(&format!("k{i}"), &i.to_string());
    }
    let ttl = r#"[{"key":"short","value":1,"metadata":{"ttlInSeconds":"1000"}}]"#;
    client.send("POST", "/v1.0/state/statestore", ttl);
    client.save("counter", "0");
    let expiry = |client: &mut Client| {
        let head = client.get("short").head;
        head.lines().find(|it| it.contains("ttlexpiretime")).map(str::to_owned)
    };
    let expires = expiry(&mut client).unwrap();
    end(sidecar);

    // This one still writes with the old key, so that `rekey` has to look again and again.
    component(folder.path(), &[&key("primary", "old"), &key("secondary", "new")]);
    let (writer, port) = serve(folder.path());
    component(folder.path(), &[&key("primary", "new"), &key("secondary", "old")]);
    let (sidecar, new_port) = serve(folder.path());
    let stopped = Arc::new(AtomicBool::new(false));
    let count_up = |port: u16, stopped: Arc<AtomicBool>| {
        move || {
            let (mut client, mut done) = (Client::new(port), 0);
            while !stopped.load(Relaxed) {
                let read = client.get("counter");
                let etag = read.head.lines().find_map(|it| it.strip_prefix("etag: ")).unwrap();
                let next = read.body.parse::<u64>().unwrap() + 1;
                let body = format!(r#"[{{"key":"counter","value":{next},"etag":"{etag}"}}]"#);
                match client.send("POST", "/v1.0/state/statestore", &body).status {
                    204 => done += 1,
                    409 => {}
                    other => panic!("{other}"),
                }
                // And one that is written without looking.
                let key = format!("k{}", done as usize % KEYS);
                assert_eq!(client.save(&key, &format!(r#""{done}""#)).status, 204);
            }
            done
        }
    };
    let writers = [port, new_port].map(|it| thread::spawn(count_up(it, stopped.clone())));
    let mut client = Client::new(new_port);
    let counter = |client: &mut Client| client.get("counter").body.parse::<u64>().unwrap();
    eventually("they count", || counter(&mut client) > 5);
    let (_, found) = rekeyed(folder.path(), &["--dry-run"]);
    assert!(count(&found, "steadfast", "old") > 0, "{found}");
    let (code, _) = rekeyed(folder.path(), &[]);
    assert!(code == 0 || code == 2, "{code}");
    let at_rekey = counter(&mut client);
    eventually("they go on", || counter(&mut client) > at_rekey + 5);
    stopped.store(true, Relaxed);
    let done: u64 = writers.map(|it| it.join().unwrap()).iter().sum();
    assert_eq!(counter(&mut client), done, "an acknowledged update is lost");

    end(writer);
    let (code, done) = rekeyed(folder.path(), &[]);
    assert_eq!(code, 0, "{done}");
    let (code, found) = rekeyed(folder.path(), &["--dry-run"]);
    assert_eq!(code, 0, "{found}");
    assert_eq!(count(&found, "steadfast", "new"), KEYS as u64 + 2, "{found}");
    let seconds = |it: &str| it.rsplit(':').next().unwrap().trim_end_matches('z').parse::<i64>();
    let now = expiry(&mut client).unwrap();
    let off = (seconds(&now).unwrap() - seconds(&expires).unwrap()).rem_euclid(60);
    assert!(off <= 2, "it expired {expires}, and now {now}");
    end(sidecar);

    component(folder.path(), &[&key("primary", "new")]);
    let (_sidecar, port) = serve(folder.path());
    for i in 0..KEYS {
        let read = Client::new(port).get(&format!("k{i}"));
        assert_eq!(read.status, 200, "{read:?}");
    }
}

#[test]
fn values_of_dapr_s_form_are_read_written_and_left_behind() {
    let folder = TempDir::new().unwrap();
    let format = |name: &str| format!("{{name: encryptionFormat, value: {name}}}");
    component(folder.path(), &[&key("primary", "new"), &format("dapr")]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    client.save("k", r#"{"n": 1.10}"#);
    assert_eq!(client.get("k").body, r#"{"n": 1.10}"#);
    let log = end(sidecar);
    assert!(log.contains("4 billion"), "{log}");
    let (value, is_binary) = stored(folder.path(), "app||k");
    // Base64 of `…||new`, whatever the remainder of the length is.
    assert!(is_binary && ["fHxuZXc=", "x8bmV3", "8fG5ldw=="].iter().any(|it| value.ends_with(it)));

    component(folder.path(), &[&key("primary", "new"), &format("steadfast-only")]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    let refused = client.get("k");
    assert_eq!(refused.status, 500);
    assert!(refused.body.contains("run `steadfast rekey`"), "{refused:?}");
    let (code, done) = rekeyed(folder.path(), &[]);
    assert_eq!((code, count(&done, "dapr", "new")), (0, 1), "{done}");
    assert_eq!(client.get("k").body, r#"{"n": 1.10}"#);
    end(sidecar);

    component(folder.path(), &[&key("primary", "new"), &format("dapr")]);
    let (code, back) = rekeyed(folder.path(), &[]);
    assert_eq!((code, count(&back, "steadfast", "new"), &back["rewritten"]), (0, 1, &json!(1)));
    let (_sidecar, port) = serve(folder.path());
    assert_eq!(Client::new(port).get("k").body, r#"{"n": 1.10}"#);
}

#[test]
fn a_value_that_was_moved_in_the_database_is_told_by_rekey_and_left_alone() {
    let folder = TempDir::new().unwrap();
    component(folder.path(), &[&key("primary", "old")]);
    let (sidecar, port) = serve(folder.path());
    let mut client = Client::new(port);
    client.save("poor", "1");
    client.save("rich", "1000000");
    let database = Connection::open(folder.path().join("state.db")).unwrap();
    let swap = "UPDATE state SET value = (SELECT value FROM state WHERE key = 'app||rich') WHERE \
                key = 'app||poor'";
    assert_eq!(database.execute(swap, []).unwrap(), 1);
    let refused = client.get("poor");
    assert_eq!(refused.status, 500, "{refused:?}");
    assert!(refused.body.contains("moved here from another key"), "{refused:?}");
    let (code, output) = rekey(folder.path(), &[]);
    assert_eq!(code, 1, "{output}");
    assert!(output.contains("1 that cannot be decrypted") && output.contains("poor"), "{output}");
    end(sidecar);
    // A store without keys is none for `rekey`, and neither is one that is not there.
    component(folder.path(), &[]);
    let (code, output) = rekey(folder.path(), &[]);
    assert!(code == 3 && output.contains("has no primaryEncryptionKey"), "{output}");
    let (code, output) = rekey(folder.path(), &["--store", "other"]);
    assert!(code == 3 && output.contains("there are: statestore"), "{output}");
    let mut wrong = Steadfast::start(command(folder.path(), &["rekey", "--app", "x"]));
    assert_eq!(wrong.wait().code(), Some(3));
}

/// Saves values with and without an expiry, rotates the key, and reads them.
#[cfg(any(feature = "redis", feature = "postgresql", feature = "mysql"))]
fn rotates_on(store: &str, place: &str) {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    on(folder, store, place, &[&key("primary", "old"), "{name: encryptionFormat, value: dapr}"]);
    let (sidecar, port) = serve(folder);
    let mut client = Client::new(port);
    let value = r#"{"b": 1.10, "a": 9007199254740993}"#;
    assert_eq!(client.save("k", value).status, 204);
    let ttl = r#"[{"key":"short","value":1,"metadata":{"ttlInSeconds":"1000"}}]"#;
    assert_eq!(client.send("POST", "/v1.0/state/statestore", ttl).status, 204);
    end(sidecar);
    on(folder, store, place, &[&key("primary", "new"), &key("secondary", "old")]);
    let (code, done) = rekeyed(folder, &[]);
    assert_eq!(
        (code, count(&done, "dapr", "old"), &done["rewritten"]),
        (0, 2, &json!(2)),
        "{done}"
    );
    on(folder, store, place, &[&key("primary", "new")]);
    let (_sidecar, port) = serve(folder);
    let mut client = Client::new(port);
    assert_eq!(client.get("k").body, value, "to the byte, whatever columns the store has");
    let short = client.get("short");
    assert!(short.body == "1" && short.head.contains("ttlexpiretime"), "{short:?}");
    assert!(!client.get("k").head.contains("ttlexpiretime"));
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_on_redis() {
    use real_servers::redis::{Options, Redis};
    let server = Redis::start(&Options::default()).await.unwrap();
    let place = format!("{{name: redisHost, value: \"{}\"}}", server.address());
    tokio::task::block_in_place(|| rotates_on("state.redis", &place));
}

#[cfg(feature = "postgresql")]
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_on_postgresql() {
    use real_servers::postgres::{Options, Postgres};
    let server = Postgres::start(&Options::default()).await.unwrap();
    let place = format!("{{name: connectionString, value: {:?}}}", server.url());
    // Version v1, with a column of JSON.
    tokio::task::block_in_place(|| rotates_on("state.postgresql", &place));
}

#[cfg(feature = "mysql")]
#[tokio::test(flavor = "multi_thread")]
async fn keys_are_rotated_on_mariadb() {
    use real_servers::mysql::{Mysql, Options, PASSWORD, USER};
    let server = Mysql::start(&Options::default()).await.unwrap();
    let source = format!("{USER}:{PASSWORD}@tcp({})/", server.address());
    let place = format!("{{name: connectionString, value: {source:?}}}");
    tokio::task::block_in_place(|| rotates_on("state.mysql", &place));
}
