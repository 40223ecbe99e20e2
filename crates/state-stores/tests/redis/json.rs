//! The JSON form, on a server with RedisJSON: the library that `STEADFAST_REDIS_JSON` names.

use std::{collections::BTreeMap, env, sync::Arc};

use real_servers::redis::{Options, Redis};
use state::{Change, Format, Metadata, Precondition, Store, Ttl, Write};

use crate::support::{arrange, delete, etag, fields, get, key, matches, open, put, value};

/// A server with RedisJSON, and a store on it; `None`, and a line that says so, where nobody has said what to load.
async fn server() -> Option<(Redis, Arc<dyn Store>)> {
    let Ok(library) = env::var("STEADFAST_REDIS_JSON") else {
        eprintln!("skipped: STEADFAST_REDIS_JSON names no RedisJSON; ./test fetches one");
        return None;
    };
    let server = Redis::start(&Options::default().setting("loadmodule", &library)).await.unwrap();
    let store = open(server.address(), &[]).await;
    Some((server, store))
}

fn json(write: Write) -> Write {
    let content_type = ("contentType".to_owned(), "application/json".to_owned());
    Write { metadata: Metadata::from_iter([content_type]), ..write }
}

async fn document(server: &Redis, name: &str) -> String {
    server.command(&["JSON.GET", name]).await.unwrap().text().unwrap()
}

#[tokio::test]
async fn documents_have_the_layout_of_dapr() {
    let Some((server, store)) = server().await else { return };
    store.write(&json(put("k", r#"{"a": 1, "b": "é"}"#))).await.unwrap();
    let version = etag(&store, "k").await;
    let expected = format!(r#"{{"data":{{"a":1,"b":"é"}},"version":{version}}}"#);
    assert_eq!(document(&server, "k").await, expected);
    assert_eq!(value(&store, "k").await, r#"{"a":1,"b":"é"}"#);
    store.write(&json(put("k", "[2]")).when(matches(&version))).await.unwrap();
    assert_eq!(value(&store, "k").await, "[2]");
    let create = json(put("new", "1")).when(Precondition::Absent);
    store.write(&create).await.unwrap();
    assert!(document(&server, "new").await.contains(r#""first-write":0"#));
    assert!(store.write(&create).await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn documents_of_dapr_are_read_compared_and_removed() {
    let Some((server, store)) = server().await else { return };
    let text = r#"{"data":{"price":3.141592653589,"id":9007199254740993},"version":17}"#;
    arrange(&server, &[&["JSON.SET", "k", "$", text], &["JSON.SET", "odd", "$", "{\"a\":1}"]])
        .await;
    assert_eq!(etag(&store, "k").await, "17");
    assert_eq!(value(&store, "k").await, r#"{"price":3.141592653589,"id":9007199254740993}"#);
    assert!(store.write(&delete("k").when(matches("16"))).await.unwrap_err().is_conflict());
    store.write(&delete("k").when(matches("17"))).await.unwrap();
    assert_eq!(get(&store, "k").await, None);
    assert!(store.write(&put("odd", "1")).await.is_err());
    assert_eq!(document(&server, "odd").await, "{\"a\":1}");
}

#[tokio::test]
async fn what_a_document_would_change_is_stored_as_bytes() {
    let Some((server, store)) = server().await else { return };
    for text in ["1.10", "-0", "18446744073709551616", "[1e999]", r#""\ud800""#] {
        store.write(&json(put("k", text))).await.unwrap();
        assert_eq!(value(&store, "k").await, text);
        assert_eq!(fields(&server, "k").await[0], ("data".to_owned(), text.to_owned()));
    }
    // Without the content type, and for what is not JSON, it is bytes as well.
    store.write(&put("k", "{}")).await.unwrap();
    assert_eq!(fields(&server, "k").await[0].1, "{}");
    let opaque = Change::Put { value: "{".into(), format: Format::Opaque, ttl: Ttl::Unsaid };
    store.write(&json(Write::new(key("k"), opaque))).await.unwrap();
    assert_eq!(value(&store, "k").await, "{");
}

#[tokio::test]
async fn what_the_module_does_not_take_is_stored_whole_all_the_same() {
    let Some((server, store)) = server().await else { return };
    let deep = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    for depth in [100, 101, 126, 127, 500] {
        store.write(&put("k", "\"old\"")).await.unwrap();
        store.write(&json(put("k", &deep(depth)))).await.unwrap();
        assert_eq!(value(&store, "k").await, deep(depth));
        let both = [put("a", &depth.to_string()), json(put("k", &deep(depth)))];
        store.transact(&both).await.unwrap();
        assert_eq!(value(&store, "a").await, depth.to_string());
    }
    // A user who may not write documents, and one from whom that right is taken later.
    arrange(&server, &[&["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all", "-json.set"]])
        .await;
    let login = [("redisUsername", "app"), ("redisPassword", "secret")];
    let without = open(server.address(), &login).await;
    without.write(&json(put("k", "{}"))).await.unwrap();
    assert_eq!(fields(&server, "k").await[0].1, "{}");
    arrange(&server, &[&["ACL", "SETUSER", "app", "+json.set"]]).await;
    let store = open(server.address(), &login).await;
    store.write(&json(put("k", "{}"))).await.unwrap();
    arrange(&server, &[&["ACL", "SETUSER", "app", "-json.set"]]).await;
    let etag = etag(&store, "k").await;
    store.transact(&[put("a", "1"), json(put("k", "[1]")).when(matches(&etag))]).await.unwrap();
    assert_eq!(value(&store, "k").await, "[1]");
}

#[tokio::test]
async fn a_full_memory_refuses_documents_and_makes_nothing_else_of_them() {
    let Some((server, store)) = server().await else { return };
    store.write(&json(put("k", "{}"))).await.unwrap();
    arrange(&server, &[&["CONFIG", "SET", "maxmemory", "1"]]).await;
    let full = open(server.address(), &[]).await;
    for store in [&store, &full] {
        for write in [json(put("k", "[1]")), json(put("new", "[1]"))] {
            let error = store.write(&write).await.unwrap_err();
            assert_eq!(error.outcome(), state::Outcome::NotApplied, "{error}");
        }
    }
    assert_eq!(value(&store, "k").await, "{}");
    arrange(&server, &[&["CONFIG", "SET", "maxmemory", "0"]]).await;
    full.write(&json(put("k", "[1]"))).await.unwrap();
    assert!(document(&server, "k").await.contains("\"data\":[1]"));
}

#[tokio::test]
async fn a_key_may_change_its_form_and_its_version_goes_on() {
    let Some((server, store)) = server().await else { return };
    arrange(&server, &[&["HSET", "k", "data", "1", "version", "8000000000000000"]]).await;
    store.write(&json(put("k", "{}"))).await.unwrap();
    assert_eq!(document(&server, "k").await, r#"{"data":{},"version":8000000000000001}"#);
    store.write(&put("k", "2").when(matches("8000000000000001"))).await.unwrap();
    assert_eq!(etag(&store, "k").await, "8000000000000002");
    let ttl = std::time::Duration::from_secs(60);
    let expiring = json(crate::support::expiring("k", "{}", ttl));
    let etags = store.transact(&[expiring, json(put("l", "[1]"))]).await.unwrap();
    assert_eq!(etags[0].etag.as_ref().unwrap().as_str(), "8000000000000003");
    let left = server.command(&["PTTL", "k"]).await.unwrap().integer().unwrap();
    assert!(left > 50_000 && left <= 60_000);
    store.write(&json(put("k", "{}"))).await.unwrap();
    assert_eq!(server.command(&["PTTL", "k"]).await.unwrap().integer().unwrap(), -1);
    let found: BTreeMap<String, String> = fields(&server, "none").await.into_iter().collect();
    assert!(found.is_empty());
}
