//! Export, import and copy.

use std::{
    collections::BTreeSet,
    fs,
    path::Path,
    thread,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use serde_json::{Value, json};

use super::{component, done, say, state, values, with_sqlite};
use crate::support::{Client, Steadfast, command, eventually};

/// A second SQLite store beside the first.
fn add_sqlite(folder: &Path, name: &str) {
    let file = format!("{name}.db");
    component(folder, name, "state.sqlite", &[("connectionString", &file)]);
}

/// Writes lines for an import: so many values of so many bytes.
fn write_lines(file: &Path, count: usize, len: usize) {
    let text = "x".repeat(len);
    let line = |i| format!("{}\n", json!({ "key": format!("k{i:06}"), "value": text }));
    fs::write(file, (0..count).map(line).collect::<String>()).unwrap();
}

/// The keys in an export, each of which is there once; fails unless the export is whole.
fn keys_of(file: &Path) -> BTreeSet<String> {
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<Value> = text.lines().map(|it| serde_json::from_str(it).unwrap()).collect();
    let keys: Vec<_> =
        lines.iter().filter_map(|it| it["key"].as_str().map(str::to_owned)).collect();
    assert!(lines[0]["steadfast"]["begin"].is_object(), "{}", lines[0]);
    assert_eq!(lines.last().unwrap()["steadfast"]["end"]["records"], keys.len());
    let unique: BTreeSet<String> = keys.iter().cloned().collect();
    assert_eq!(unique.len(), keys.len(), "a key is there twice");
    unique
}

fn expiry(folder: &Path, store: &str, key: &str) -> SystemTime {
    let got = done(folder, &["get", key, "--store", store, "--json"]).json();
    humantime::parse_rfc3339(got["expiresAt"].as_str().unwrap()).unwrap()
}

fn apart(one: SystemTime, other: SystemTime) -> Duration {
    one.duration_since(other).unwrap_or_else(|e| e.duration())
}

#[test]
fn what_is_exported_is_imported_byte_for_byte() {
    let folder = with_sqlite();
    add_sqlite(folder.path(), "second");
    let folder = folder.path();
    for (key, value) in values() {
        assert_eq!(say(folder, &["state", "set", &key, "-", "-a", "app"], &value).code, 0);
    }
    done(folder, &["set", "lives", "1", "--ttl", "1h"]);
    let said = done(folder, &["export", "all.jsonl", "--json"]);
    assert_eq!(said.json()["records"], values().len() + 1);
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &fs::metadata(folder.join("all.jsonl")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o600, "it has all the values");
    assert_eq!(state(folder, &["export", "all.jsonl"]).code, 1, "it is never replaced");
    let summary = done(folder, &["import", "all.jsonl", "--store", "second", "--json"]).json();
    assert_eq!(summary["created"], values().len() + 1);
    assert_eq!((&summary["complete"], &summary["etags"]), (&json!(true), &json!("new")));
    for (key, value) in values() {
        assert!(done(folder, &["get", &key, "--store", "second"]).out == value, "{key}");
    }
    let late = apart(expiry(folder, "statestore", "lives"), expiry(folder, "second", "lives"));
    assert!(late <= Duration::from_secs(1), "{late:?}");

    // Once more, nothing happens.
    let summary = done(folder, &["import", "all.jsonl", "--store", "second", "--json"]).json();
    assert_eq!(
        (&summary["created"], &summary["unchanged"]),
        (&json!(0), &json!(values().len() + 1))
    );
    // Standard output and input are files, too.
    let exported = done(folder, &["export", "--prefix", "value"]);
    let import = ["state", "import", "-", "--store", "second", "-a", "third", "--json"];
    let said = say(folder, &import, &exported.out);
    assert_eq!(said.json()["created"], values().len(), "{said:?}");
}

#[test]
fn a_value_that_is_there_already_stays_unless_told_otherwise() {
    let folder = with_sqlite();
    let folder = folder.path();
    done(folder, &["set", "a", "1"]);
    done(folder, &["set", "b", "2"]);
    done(folder, &["export", "f"]);
    done(folder, &["set", "a", "\"newer\""]);
    done(folder, &["delete", "b"]);
    let said = state(folder, &["import", "f", "--json"]);
    assert_eq!((said.code, &said.json()["existing"]), (1, &json!(1)), "{said:?}");
    assert!(said.err.contains("f:2: \"a\": another value is there already"), "{said:?}");
    assert_eq!(said.json()["created"], 1, "what follows is not lost");
    assert_eq!(done(folder, &["get", "a"]).text(), "\"newer\"");
    let skipped = done(folder, &["import", "f", "--if-exists", "skip", "--json"]).json();
    assert_eq!((&skipped["skipped"], &skipped["unchanged"]), (&json!(1), &json!(1)));
    assert_eq!(done(folder, &["get", "a"]).text(), "\"newer\"");
    let replaced = done(folder, &["import", "f", "--if-exists", "overwrite", "--json"]).json();
    assert_eq!((&replaced["overwritten"], &replaced["unchanged"]), (&json!(1), &json!(1)));
    assert_eq!(done(folder, &["get", "a"]).text(), "1");
}

#[test]
fn a_bad_line_is_named_and_the_others_are_saved() {
    let folder = with_sqlite();
    let folder = folder.path();
    let past = "2020-01-01T00:00:00Z";
    let lines = format!(
        "{{\"key\":\"a\",\"value\":1}}\nno json\n{{\"key\":\"x||y\",\"value\":1}}\n\n\
         {{\"key\":\"old\",\"value\":1,\"expiresAt\":{past:?}}}\n{{\"key\":\"b\",\"base64\":\"{}\"}}\n\
         {{\"key\":\"b\",\"value\":7}}\n{{\"key\":\"c\",\"val",
        STANDARD.encode([0, 255])
    );
    fs::write(folder.join("f"), lines).unwrap();
    let said = state(folder, &["import", "f", "--json"]);
    assert_eq!(said.code, 1);
    let summary = said.json();
    let counts = ["created", "badLines", "expired", "existing"].map(|it| summary[it].as_u64());
    assert_eq!(counts, [Some(2), Some(3), Some(1), Some(1)], "{said:?}");
    for words in
        ["f:2: the line is no object", "f:3: ", "f:7: \"b\": another", "f:8: the line ends"]
    {
        assert!(said.err.contains(words), "{words}: {said:?}");
    }
    assert_eq!(done(folder, &["list"]).text(), "a\nb\n");
    assert_eq!(done(folder, &["get", "b"]).out, [0, 255], "the first of two stays");

    done(folder, &["export", "whole"]);
    let whole = fs::read_to_string(folder.join("whole")).unwrap();
    let cut = whole.rsplit_once("{\"steadfast\"").unwrap().0;
    fs::write(folder.join("cut"), cut).unwrap();
    let said = state(folder, &["import", "cut"]);
    assert_eq!(said.code, 1, "half an export must not pass for a whole one");
    assert!(said.err.contains("the export was interrupted"), "{said:?}");
}

#[test]
fn an_export_that_was_killed_goes_on_without_loss_or_duplicates() {
    let folder = with_sqlite();
    let folder = folder.path();
    write_lines(&folder.join("lines"), 12_000, 2000);
    done(folder, &["import", "lines"]);
    let file = folder.join("export");
    let mut interrupted = 0;
    for _ in 0..3 {
        let before = fs::metadata(&file).map_or(0, |it| it.len());
        let arguments = ["state", "export", "export", "--continue", "-a", "app"];
        let mut process = Steadfast::start(command(folder, &arguments));
        eventually("something more is written", || {
            fs::metadata(&file).is_ok_and(|it| it.len() > before + (2 << 20))
                || process.child.try_wait().unwrap().is_some()
        });
        process.child.kill().unwrap();
        process.wait();
        interrupted += usize::from(!fs::read_to_string(&file).unwrap().contains("\"end\""));
    }
    assert!(interrupted > 0, "it was too fast to be killed");
    done(folder, &["export", "export", "--continue"]);
    assert_eq!(keys_of(&file).len(), 12_000);
    let said = done(folder, &["export", "export", "--continue"]);
    assert!(said.err.contains("complete already"), "{said:?}");
    // The file of something else is not gone on with.
    let other = state(folder, &["export", "export", "--continue", "--prefix", "k1"]);
    assert_eq!(other.code, 1);
    assert!(other.err.contains("name another file"), "{other:?}");
}

#[test]
fn an_import_that_was_killed_is_finished_by_another() {
    let folder = with_sqlite();
    let folder = folder.path();
    write_lines(&folder.join("lines"), 40_000, 500);
    done(folder, &["set", "first", "1"]);
    let database = rusqlite::Connection::open(folder.join("state.db")).unwrap();
    let rows = || -> i64 {
        database.query_row("SELECT count(*) FROM state", [], |row| row.get(0)).unwrap()
    };
    let arguments = ["state", "import", "lines", "-a", "app"];
    let mut process = Steadfast::start(command(folder, &arguments));
    eventually("some are saved", || rows() > 2000);
    process.child.kill().unwrap();
    process.wait();
    let saved = rows() - 1;
    assert!(saved < 40_000, "it was too fast to be killed");
    let summary = done(folder, &["import", "lines", "--json"]).json();
    assert_eq!(summary["unchanged"], saved, "{summary}");
    assert_eq!(summary["created"], 40_000 - saved, "{summary}");
    assert_eq!(rows(), 40_001);
}

#[test]
fn an_import_loses_no_value_that_others_save_meanwhile() {
    const COUNT: usize = 3000;
    let folder = with_sqlite();
    let path = folder.path();
    write_lines(&path.join("lines"), COUNT, 100);
    let (_sidecar, port) = Steadfast::serve(path, &["--resources-path", "components"]);
    let writer = thread::spawn(move || {
        let mut client = Client::new(port);
        // From the other end, so that the two meet.
        let save = |i: usize| {
            let body = format!(
                "[{{\"key\":\"k{i:06}\",\"value\":\"writer\",\"options\":{{\"concurrency\":\"first-write\"}}}}]"
            );
            match client.send("POST", "/v1.0/state/statestore", &body).status {
                204 => true,
                409 => false,
                other => panic!("{other}"),
            }
        };
        let mut saved: Vec<bool> = (0..COUNT).rev().map(save).collect();
        saved.reverse();
        saved
    });
    let import = state(path, &["import", "lines", "--json"]);
    let saved = writer.join().unwrap();
    let by_writer = saved.iter().filter(|it| **it).count();
    let summary = import.json();
    assert_eq!(summary["created"], COUNT - by_writer, "{summary}");
    assert_eq!(summary["existing"], by_writer, "{summary}");
    let database = rusqlite::Connection::open(path.join("state.db")).unwrap();
    let mut statement = database.prepare("SELECT value FROM state ORDER BY key").unwrap();
    let values = statement.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for (i, value) in values.enumerate() {
        assert_eq!(
            value.unwrap() == "\"writer\"",
            saved[i],
            "k{i:06}: each was saved by one of the two"
        );
    }
}

/// However the two meet, an import replaces what it has seen, or says that it has not.
#[test]
fn an_import_that_overwrites_replaces_only_what_it_has_seen() {
    let folder = with_sqlite();
    let path = folder.path();
    let (_sidecar, port) = Steadfast::serve(path, &["--resources-path", "components"]);
    fs::write(path.join("f"), "{\"key\":\"counter\",\"value\":0}\n").unwrap();
    let stop = std::sync::Arc::new(std::sync::atomic::AtomicBool::new(false));
    let stopped = stop.clone();
    let writer = thread::spawn(move || {
        let mut client = Client::new(port);
        let mut writes = 0_u64;
        while !stopped.load(std::sync::atomic::Ordering::Relaxed) {
            writes += 1;
            assert_eq!(client.save("counter", &writes.to_string()).status, 204);
        }
        writes
    });
    let mut outcomes = BTreeSet::new();
    for _ in 0..20 {
        let said = state(path, &["import", "f", "--if-exists", "overwrite", "--json"]);
        let summary = said.json();
        for it in ["created", "overwritten", "changed"] {
            if summary[it] == 1 {
                assert_eq!(said.code, i32::from(it == "changed"), "{said:?}");
                outcomes.insert(it);
            }
        }
    }
    stop.store(true, std::sync::atomic::Ordering::Relaxed);
    assert!(writer.join().unwrap() > 20);
    assert!(
        !outcomes.is_empty()
            && outcomes.iter().all(|it| ["created", "overwritten", "changed"].contains(it))
    );
}

#[cfg(all(feature = "postgresql", feature = "redis"))]
#[tokio::test(flavor = "multi_thread")]
async fn stores_of_other_types_get_the_same_values_and_expiry_times() {
    use real_servers::{postgres, redis};
    let redis = redis::Redis::start(&redis::Options::default()).await.unwrap();
    let postgres = postgres::Postgres::start(&postgres::Options::default()).await.unwrap();
    let folder = with_sqlite();
    let folder = folder.path();
    component(folder, "redis", "state.redis", &[("redisHost", &redis.address().to_string())]);
    component(folder, "v2", "state.postgresql/v2", &[("connectionString", &postgres.url())]);
    let json = [
        ("connectionString", &*postgres.url()),
        ("tableName", "json"),
        ("metadataTableName", "json_meta"),
    ];
    component(folder, "v1", "state.postgresql/v1", &json);
    for (key, value) in values() {
        assert_eq!(say(folder, &["state", "set", &key, "-", "-a", "app"], &value).code, 0);
    }
    done(folder, &["set", "lives", "1", "--ttl", "1h"]);
    let count = values().len() + 1;
    let mut from = "statestore";
    for to in ["redis", "v2", "v1"] {
        let copy = ["copy", "--from", from, "--to", to, "--verify", "--json"];
        let summary = done(folder, &copy).json();
        assert_eq!(summary["created"], count, "{to}: {summary}");
        assert_eq!(summary["verified"]["same"], count, "{to}: {summary}");
        assert_eq!(summary["exactValues"], to != "v1", "{summary}");
        let late = apart(expiry(folder, from, "lives"), expiry(folder, to, "lives"));
        assert!(late <= Duration::from_secs(1), "{to}: {late:?}");
        if to != "v1" {
            for (key, value) in values() {
                assert!(done(folder, &["get", &key, "--store", to]).out == value, "{key} in {to}");
            }
            from = to;
        }
        // Once more, nothing is left to do.
        assert_eq!(done(folder, &copy).json()["unchanged"], count);
    }
    done(folder, &["set", "lives", "2", "--store", "v2"]);
    done(folder, &["set", "new", "2", "--store", "redis"]);
    let copy = ["copy", "--from", "redis", "--to", "v2", "--if-exists", "skip", "--verify"];
    let said = state(folder, &copy);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.err.contains("\"lives\" is different"), "{said:?}");
    assert_eq!(done(folder, &["get", "new", "--store", "v2"]).text(), "2");
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_store_of_many_applications_moves_as_a_whole() {
    use real_servers::redis::{Options, Redis};
    let server = Redis::start(&Options::default()).await.unwrap();
    let folder = with_sqlite();
    let folder = folder.path();
    component(folder, "redis", "state.redis", &[("redisHost", &server.address().to_string())]);
    for app in ["one", "two"] {
        for i in 0..50 {
            let key = format!("k{i}");
            let set = ["state", "set", &key, app, "-a", app, "--store", "redis"];
            assert_eq!(say(folder, &set, b"").code, 0);
        }
    }
    let copy =
        ["copy", "--from-store", "redis", "--to-store", "components:statestore", "--raw-keys"];
    done(folder, &[&copy[..], &["--verify"]].concat());
    for app in ["one", "two"] {
        assert_eq!(say(folder, &["state", "get", "k7", "-a", app], b"").text(), app);
    }
    done(folder, &["export", "all", "--store", "redis", "--raw-keys"]);
    assert_eq!(keys_of(&folder.join("all")).len(), 100);
    let said = state(folder, &["import", "all"]);
    assert_eq!(said.code, 1);
    assert!(said.err.contains("import it with --raw-keys"), "{said:?}");
    let summary = done(folder, &["import", "all", "--raw-keys", "--json"]).json();
    assert_eq!(summary["unchanged"], 100, "{summary}");
    assert_eq!(state(folder, &["copy", "--from", "redis", "--to", "redis"]).code, 1);
}

/// A store that ends in the middle is said to have ended, and the import is finished later.
#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn an_import_stops_when_its_store_does() {
    use real_servers::redis::{Options, Redis};
    let server = Redis::start(&Options::default()).await.unwrap();
    let folder = with_sqlite();
    let folder = folder.path();
    component(folder, "redis", "state.redis", &[("redisHost", &server.address().to_string())]);
    write_lines(&folder.join("lines"), 20_000, 500);
    let arguments = ["state", "import", "lines", "-a", "app", "--store", "redis"];
    let mut process = Steadfast::start(command(folder, &arguments));
    let mut size = 0;
    while size < 1000 {
        size = server.command(&["DBSIZE"]).await.unwrap().integer().unwrap();
    }
    server.process().kill().unwrap();
    assert_eq!(process.wait().code(), Some(1));
    let output = process.output();
    assert!(output.contains("stopped after line"), "{output}");
    assert!(output.contains("NOT COMPLETE"), "{output}");
}
