//! `explain`, `components` and `doctor`.

use std::{fs, net::TcpListener, os::unix::fs::PermissionsExt, path::Path};

#[cfg(feature = "redis")]
use real_servers::process::Port;
use serde_json::Value;
use tempfile::TempDir;

use super::{Said, component, done, say, with_sqlite};

/// The findings of the doctor about something, as `level text`.
fn findings<'a>(report: &'a Value, about: &str) -> Vec<(&'a str, &'a str)> {
    let all = report["findings"].as_array().unwrap().iter();
    let these = all.filter(|it| it["about"].as_str().unwrap().contains(about));
    these.map(|it| (it["level"].as_str().unwrap(), it["text"].as_str().unwrap())).collect()
}

fn has(report: &Value, about: &str, level: &str, words: &str) -> bool {
    findings(report, about).iter().any(|(it, text)| *it == level && text.contains(words))
}

fn doctor(folder: &Path) -> (i32, Value) {
    let said = say(folder, &["doctor", "-a", "app", "--json"], b"");
    (said.code, said.json())
}

#[test]
fn the_name_of_a_stored_key_is_explained() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    component(folder, "a", "state.sqlite", &[("connectionString", "a.db")]);
    let with = |name: &str, prefix: &str| {
        let settings = [("connectionString", "b.db"), ("keyPrefix", prefix)];
        component(folder, name, "state.sqlite", &settings);
    };
    with("b", "name");
    with("c", "none");
    with("d", "team");
    with("e", "namespace");
    let explain = |more: &[&str]| -> Said {
        say(folder, &[&["explain", "key", "k", "-a", "app"], more].concat(), b"")
    };
    let stores = explain(&["--json"]).json();
    let stores = stores["stores"].as_array().unwrap();
    let stored: Vec<_> = stores.iter().map(|it| it["storedKey"].as_str().unwrap()).collect();
    assert_eq!(stored, ["app||k", "b||k", "k", "team||k", "app||k"]);
    let text = explain(&["--store", "e"]).text().to_owned();
    assert!(text.contains("stored as  app||k"), "{text}");
    assert!(text.contains("NAMESPACE is not set"), "{text}");
    // It is true.
    done(folder, &["set", "k", "1", "--store", "b"]);
    assert_eq!(done(folder, &["get", "b||k", "--raw-keys", "--store", "b"]).text(), "1");
    assert!(!folder.join("a.db").exists(), "no store was opened for it");

    for (key, words) in
        [("a||b", "input key/keyPrefix 'a||b' can't contain '||'"), ("", "required")]
    {
        let said = say(folder, &["explain", "key", key, "-a", "app"], b"");
        assert_eq!(said.code, 1);
        assert!(said.err.contains(words), "{said:?}");
    }
}

#[test]
fn components_are_listed_with_what_is_wrong() {
    let folder = with_sqlite();
    let folder = folder.path();
    let components =
        |more: &[&str]| say(folder, &[&["components", "-a", "app"], more].concat(), b"");
    let list = components(&[]);
    assert_eq!(list.code, 0, "{list:?}");
    let lines: Vec<_> =
        list.text().lines().map(|it| it.split_whitespace().collect::<Vec<_>>()).collect();
    assert_eq!(lines[0], ["NAME", "TYPE", "VERSION", "SCOPES", "SOURCE", "STATUS"]);
    assert_eq!(
        lines[1],
        ["statestore", "state.sqlite", "v1", "all", "components/statestore.yaml:1", "ok"]
    );

    let more = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: pubsub}\nspec: {type: pubsub.redis, version: v1}\n---\n\
        apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: theirs}\nspec: {type: state.redis, version: v1}\nscopes: [cart, shop]\n---\n\
        apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: odd}\nspec: {type: state.cassandra, version: v1}\n---\n\
        apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata: {name: broken}\nspec: {version: v1}\n";
    fs::write(folder.join("components/more.yaml"), more).unwrap();
    let said = components(&["-o", "json"]);
    assert_eq!(said.code, 1, "{said:?}");
    let all = said.json();
    let status = |name: &str| {
        let mut rows = all["components"].as_array().unwrap().iter();
        rows.find(|it| it["name"] == name).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status("statestore"), "ok");
    assert_eq!(status("pubsub"), "passed over: it is not a state store");
    assert_eq!(status("theirs"), "passed over: its scopes do not name this application");
    assert_eq!((status("odd").as_str(), status("broken").as_str()), ("wrong", "wrong"));
    let problems = all["problems"].to_string();
    assert!(problems.contains("couldn't find state store state.cassandra"), "{problems}");
    assert!(
        problems.contains("`spec.type` is missing")
            && problems.contains("write `type: state.redis`")
    );
    assert_eq!(components(&["--json"]).out, said.out);
    let list = components(&[]);
    assert!(list.err.contains("more.yaml:20:7: `spec.type` is missing"), "{list:?}");
    assert!(list.text().contains("cart,shop"), "{list:?}");
    let yaml = components(&["-o", "yaml"]);
    assert!(
        yaml.text().contains("- name: \"theirs\"\n  scopes: [\"cart\",\"shop\"]\n"),
        "{yaml:?}"
    );
}

#[test]
fn a_healthy_machine_has_no_failures_and_nothing_is_created() {
    let folder = with_sqlite();
    let folder = folder.path();
    let (code, report) = doctor(folder);
    assert_eq!(code, 0, "{report:#}");
    assert!(has(&report, "statestore", "ok", "is not there yet"), "{report:#}");
    assert!(!folder.join("state.db").exists());
    assert!(has(&report, "component files", "ok", "1 state stores for app"), "{report:#}");
    assert!(has(&report, "localhost", "ok", "127.0.0.1"), "{report:#}");

    done(folder, &["set", "k", "1"]);
    let (code, report) = doctor(folder);
    assert_eq!(code, 0, "{report:#}");
    for words in [
        "was open after",
        "answers in",
        "survive a crash of the store, a power loss",
        "MiB are free",
    ] {
        assert!(
            has(&report, "statestore", "ok", words) || has(&report, "statestore", "warn", words),
            "{words}: {report:#}"
        );
    }
    let text = say(folder, &["doctor", "-a", "app"], b"");
    assert!(text.text().contains(" failures\n"), "{text:?}");
}

#[test]
fn what_is_broken_is_found_with_a_remedy() {
    let folder = TempDir::new().unwrap();
    let folder = folder.path();
    // Whoever has the port already has it just as well.
    let _taken = TcpListener::bind(("127.0.0.1", 3500));
    component(folder, "nofolder", "state.sqlite", &[("connectionString", "no/such/state.db")]);
    component(
        folder,
        "mistaken",
        "state.sqlite",
        &[("connectionString", "a.db"), ("timeout", "soon")],
    );
    fs::write(folder.join("a.db"), "").unwrap();
    #[cfg(feature = "redis")]
    let nobody = Port::find().unwrap();
    #[cfg(feature = "redis")]
    {
        let address = nobody.address().to_string();
        component(
            folder,
            "away",
            "state.redis",
            &[("redisHost", &address), ("redisPassword", "hunter2")],
        );
    }
    let file = folder.join("components/away.yaml");
    let (code, report) = doctor(folder);
    assert_eq!(code, 1, "{report:#}");
    assert!(has(&report, "port 3500", "warn", "in use by"), "{report:#}");
    assert!(has(&report, "nofolder", "fail", "no/such of the database is not there"), "{report:#}");
    assert!(has(&report, "mistaken", "fail", "timeout"), "{report:#}");
    if cfg!(feature = "redis") {
        assert!(has(&report, "away", "fail", "cannot be opened"), "{report:#}");
        fs::set_permissions(&file, fs::Permissions::from_mode(0o644)).unwrap();
        let (_, report) = doctor(folder);
        assert!(
            has(&report, "away.yaml", "warn", "other users may read or write it"),
            "{report:#}"
        );
        fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).unwrap();
        let (_, report) = doctor(folder);
        assert!(has(&report, "away.yaml", "ok", "for this user alone"), "{report:#}");
        assert!(!report.to_string().contains("hunter2"));
    }
    let failures = report["findings"].as_array().unwrap().iter().filter(|it| it["level"] == "fail");
    assert_eq!(failures.count(), report["failures"].as_u64().unwrap() as usize);

    fs::write(folder.join("components/bad.yaml"), "kind: Component\nmetadata: {name: x}\n")
        .unwrap();
    let (code, report) = doctor(folder);
    assert_eq!(code, 1);
    assert!(has(&report, "bad.yaml:1", "fail", "no `apiVersion`"), "{report:#}");
}

#[cfg(feature = "redis")]
#[tokio::test(flavor = "multi_thread")]
async fn a_server_that_forgets_is_found_out_and_stays_as_it_is() {
    use real_servers::redis::{Options, Redis};
    let server = Redis::start(&Options::default().setting("appendonly", "no")).await.unwrap();
    let folder = TempDir::new().unwrap();
    component(
        folder.path(),
        "statestore",
        "state.redis",
        &[("redisHost", &server.address().to_string())],
    );
    let (code, report) = doctor(folder.path());
    assert_eq!(code, 0, "warnings are no failures: {report:#}");
    assert!(has(&report, "statestore", "warn", "set `appendonly yes`"), "{report:#}");
    assert!(has(&report, "statestore", "warn", "may not survive a crash"), "{report:#}");
    assert!(has(&report, "statestore", "ok", "appendonly = no"), "{report:#}");
    assert!(has(&report, "statestore", "ok", "answers in"), "{report:#}");
    let keys = server.command(&["DBSIZE"]).await.unwrap().integer().unwrap();
    assert_eq!(keys, 0, "nothing was written");
}

#[test]
fn without_component_files_the_doctor_says_where_they_would_be() {
    let folder = TempDir::new().unwrap();
    let (code, report) = doctor(folder.path());
    assert_eq!(code, 0, "{report:#}");
    assert!(has(&report, "component files", "warn", ".dapr/components is not there"), "{report:#}");
}
