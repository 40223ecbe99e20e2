//! What an application sees of the state API, request by request.

use std::{sync::Arc, time::SystemTime};

use serde_json::{Value, json};
use state::{Key, Store, Write};

use crate::support::{APP_ID, Connection, Served, connection::Reply, memory};

mod support;

/// An application's view of a sidecar over memory.
struct Api {
    connection: Connection,
    /// What lies beneath all layers.
    store: Arc<dyn Store>,
    _served: Served,
}

impl Api {
    async fn new() -> Api {
        let store = memory().await;
        let served = Served::store(store.clone()).await;
        Api { connection: served.connect().await, store, _served: served }
    }

    async fn call(&mut self, method: &str, path: &str, body: &str) -> Reply {
        self.call_with(method, path, &[], body).await
    }

    /// `path` is what follows the name of the store.
    async fn call_with(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Reply {
        let target = format!("/v1.0/state/statestore{path}");
        self.connection.call(method, &target, headers, body).await
    }

    async fn save(&mut self, items: &str) -> Reply {
        self.call("POST", "", items).await
    }

    async fn get(&mut self, key: &str) -> Reply {
        self.call("GET", &format!("/{key}"), "").await
    }

    /// The version that `key` has now.
    async fn etag(&mut self, key: &str) -> String {
        self.get(key).await.header("etag").expect("it is present").to_owned()
    }

    async fn transact(&mut self, operations: &str) -> Reply {
        self.call("POST", "/transaction", &format!(r#"{{"operations":{operations}}}"#)).await
    }

    async fn bulk(&mut self, keys: &str) -> Value {
        let reply = self.call("POST", "/bulk", &format!(r#"{{"keys":{keys}}}"#)).await;
        assert_eq!(reply.status, 200, "{reply:?}");
        reply.json()
    }

    /// Puts bytes where no save over HTTP could.
    async fn put_beneath(&self, key: &str, value: &'static [u8]) {
        let key = Key::stored(&format!("{APP_ID}||{key}"));
        self.store.write(&Write::put(key, value)).await.expect("memory takes anything");
    }
}

#[tokio::test]
async fn values_come_back_byte_for_byte() {
    let mut api = Api::new().await;
    for json in [
        "9007199254740993",
        r#"{"b":1.10,"a":[1,  2],"b":2}"#,
        r#""caf\u00e9 <&> é \/""#,
        "-0",
        "1e400",
        "false",
        "\"\"",
    ] {
        assert_eq!(api.save(&format!(r#"[{{"key":"k","value": {json} }}]"#)).await.status, 204);
        let found = api.get("k").await;
        assert_eq!((found.status, found.body.as_str()), (200, json));
        assert_eq!(found.header("content-type"), Some("application/json"));
    }
}

#[tokio::test]
async fn null_is_a_value_and_so_is_one_that_was_left_out() {
    let mut api = Api::new().await;
    assert_eq!(api.save(r#"[{"key":"a","value":null},{"key":"b"}]"#).await.status, 204);
    assert_eq!(api.get("a").await.body, "null");
    assert_eq!(api.get("b").await.body, "null");
}

#[tokio::test]
async fn absent_key_is_204_and_an_empty_value_is_200() {
    let mut api = Api::new().await;
    let absent = api.get("k").await;
    assert_eq!((absent.status, absent.body.as_str()), (204, ""));
    assert_eq!(absent.header("etag"), None);
    api.put_beneath("k", b"").await;
    let empty = api.get("k").await;
    assert_eq!((empty.status, empty.body.as_str()), (200, ""));
    assert!(empty.header("etag").is_some());
}

#[tokio::test]
async fn saving_nothing_succeeds() {
    let mut api = Api::new().await;
    assert_eq!(api.save("[]").await.status, 204);
    assert_eq!(api.save("null").await.status, 204);
    assert_eq!(api.transact("[]").await.status, 204);
    assert_eq!(api.call("POST", "/transaction", "null").await.status, 204);
    assert_eq!(api.bulk("[]").await, json!([]));
    assert_eq!(api.call("POST", "/bulk", "null").await.body, "[]\n");
}

#[tokio::test]
async fn put_is_the_same_as_post() {
    let mut api = Api::new().await;
    assert_eq!(api.call("PUT", "", r#"[{"key":"k","value":1}]"#).await.status, 204);
    let operations = r#"{"operations":[{"operation":"upsert","request":{"key":"l","value":2}}]}"#;
    assert_eq!(api.call("PUT", "/transaction", operations).await.status, 204);
    let found = api.call("PUT", "/bulk", r#"{"keys":["k","l"]}"#).await.json();
    assert_eq!((&found[0]["data"], &found[1]["data"]), (&json!(1), &json!(2)));
}

#[tokio::test]
async fn untidy_paths_mean_the_same() {
    let mut api = Api::new().await;
    for path in ["", "/", "//", "?", "/?", "/."] {
        assert_eq!(
            api.call("POST", path, r#"[{"key":"k","value":1}]"#).await.status,
            204,
            "{path}"
        );
    }
    for path in ["/k", "/k?", "/k/", "/%6B", "/k?other=1&&"] {
        assert_eq!(api.call("GET", path, "").await.body, "1", "{path}");
    }
    assert_eq!(api.connection.call("GET", "//v1.0//state/statestore/k", &[], "").await.body, "1");
    let absolute = "http://localhost:3500/v1.0/state/statestore/k";
    assert_eq!(api.connection.call("GET", absolute, &[], "").await.body, "1");
}

#[tokio::test]
async fn slashes_in_keys_may_be_plain_or_encoded() {
    let mut api = Api::new().await;
    assert_eq!(api.save(r#"[{"key":"a/b/c","value":1}]"#).await.status, 204);
    assert_eq!(api.get("a/b/c").await.body, "1");
    assert_eq!(api.get("a%2Fb%2Fc").await.body, "1");
    assert_eq!(api.get("a%252Fb%252Fc").await.status, 204, "decoded once");
    assert_eq!(api.call("DELETE", "/a/b/c", "").await.status, 204);
    assert_eq!(api.get("a/b/c").await.status, 204);
}

#[tokio::test]
async fn keys_that_look_like_routes_are_keys() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"bulk","value":1},{"key":"transaction","value":2}]"#).await;
    assert_eq!(api.get("bulk").await.body, "1");
    assert_eq!(api.get("transaction").await.body, "2");
}

#[tokio::test]
async fn save_of_one_item_and_its_get_tell_the_same_etag() {
    let mut api = Api::new().await;
    let saved = api.save(r#"[{"key":"k","value":1}]"#).await;
    assert_eq!(saved.status, 204);
    assert_eq!(saved.header("etag"), Some(api.etag("k").await.as_str()));
    let several = api.save(r#"[{"key":"k","value":1},{"key":"l","value":1}]"#).await;
    assert_eq!(several.header("etag"), None, "of which of them?");
}

#[tokio::test]
async fn preferred_representation_tells_every_etag() {
    let mut api = Api::new().await;
    let prefer = [("Prefer", "respond-async, return=representation")];
    let items = r#"[{"key":"k","value":1},{"key":"l","value":2}]"#;
    let saved = api.call_with("POST", "", &prefer, items).await;
    assert_eq!(saved.status, 200);
    assert_eq!(saved.header("preference-applied"), Some("return=representation"));
    let etags = (api.etag("k").await, api.etag("l").await);
    let expected = json!([{"key": "k", "etag": etags.0}, {"key": "l", "etag": etags.1}]);
    assert_eq!(saved.json(), expected);

    let operations = r#"{"operations":[{"operation":"delete","request":{"key":"k"}},
        {"operation":"upsert","request":{"key":"l","value":3}}]}"#;
    let done = api.call_with("POST", "/transaction", &prefer, operations).await;
    assert_eq!(done.json(), json!([{"key": "k"}, {"key": "l", "etag": api.etag("l").await}]));
}

#[tokio::test]
async fn body_that_is_json_in_a_json_string_is_applied() {
    let mut api = Api::new().await;
    let wrapped = r#""[{\"key\": \"order\", \"value\": {\"id\": 7}}]""#;
    let saved = api.save(wrapped).await;
    assert_eq!(saved.status, 200, "the guide's own client checks for just that");
    assert_eq!(saved.json()[0]["key"], "order");
    assert_eq!(api.get("order").await.body, r#"{"id": 7}"#);
}

#[tokio::test]
async fn options_of_the_body_win_over_the_query_and_those_over_headers() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1}]"#).await;
    let plain = r#"[{"key":"k","value":2}]"#;
    let of = |it| format!(r#"[{{"key":"k","value":2,"options":{{"concurrency":"{it}"}}}}]"#);
    let (first, last) = ([("concurrency", "first-write")], [("concurrency", "last-write")]);
    let (first_query, last_query) = ("?concurrency=first-write", "?concurrency=last-write");
    let cases: [(&str, &[(&str, &str)], &str, u16); 7] = [
        ("", &[], &of("first-write"), 409),
        ("", &first, plain, 409),
        (first_query, &[], plain, 409),
        (last_query, &last, &of("first-write"), 409),
        (first_query, &last, plain, 409),
        (first_query, &first, &of("last-write"), 204),
        (last_query, &first, plain, 204),
    ];
    for (query, headers, body, status) in cases {
        let saved = api.call_with("POST", query, headers, body).await;
        assert_eq!(saved.status, status, "{query} {headers:?} {body}");
    }
}

#[tokio::test]
async fn etag_guards_under_either_concurrency() {
    let mut api = Api::new().await;
    for concurrency in ["first-write", "last-write", ""] {
        api.save(r#"[{"key":"k","value":1}]"#).await;
        let etag = api.etag("k").await;
        let item = |etag: &str| {
            let options = format!(r#"{{"concurrency":"{concurrency}"}}"#);
            format!(r#"[{{"key":"k","value":2,"etag":"{etag}","options":{options}}}]"#)
        };
        assert_eq!(api.save(&item(&etag)).await.status, 204, "{concurrency}");
        assert_eq!(api.save(&item(&etag)).await.status, 409, "{concurrency}");
    }
}

#[tokio::test]
async fn numeric_etag_counts_as_its_text() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1}]"#).await;
    let reply = api.save(r#"[{"key":"k","value":2,"etag":7}]"#).await;
    assert_eq!(reply.status, 409, "not malformed, and not unconditional");
    assert_eq!(api.save(r#"[{"key":"k","value":2,"etag":""}]"#).await.status, 204);
    assert_eq!(api.save(r#"[{"key":"k","value":2,"etag":null}]"#).await.status, 204);
}

#[tokio::test]
async fn conflict_says_what_is_there_and_changes_nothing() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1}]"#).await;
    let etag = api.etag("k").await;
    let reply = api.save(r#"[{"key":"k","value":2,"etag":"stale"}]"#).await;
    assert_eq!((reply.status, reply.header("state-outcome")), (409, Some("conflict")));
    let body = reply.json();
    assert_eq!(
        (&body["errorCode"], &body["outcome"]),
        (&json!("ERR_STATE_SAVE"), &json!("conflict"))
    );
    assert_eq!(body["details"][0]["metadata"]["currentETag"], etag);
    assert_eq!(api.get("k").await.body, "1");
    assert_eq!(api.etag("k").await, etag);
}

#[tokio::test]
async fn if_match_is_the_etag_of_the_item() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1}]"#).await;
    let item = r#"[{"key":"k","value":2}]"#;
    let stale = api.call_with("POST", "", &[("If-Match", "stale")], item).await;
    assert_eq!(stale.status, 409);
    let etag = api.etag("k").await;
    let plain = api.call_with("POST", "", &[("If-Match", &etag)], item).await;
    assert_eq!(plain.status, 204);
    let quoted = format!("\"{}\"", api.etag("k").await);
    assert_eq!(api.call_with("POST", "", &[("If-Match", &quoted)], item).await.status, 204);
    let etag = api.etag("k").await;
    let query = "?concurrency=first-write";
    let first_write = api.call_with("POST", query, &[("If-Match", &etag)], item).await;
    assert_eq!(first_write.status, 204, "an ETag is no contradiction to first-write");
}

#[tokio::test]
async fn if_none_match_creates_once() {
    let mut api = Api::new().await;
    let create = [("If-None-Match", "*")];
    let item = r#"[{"key":"k","value":1}]"#;
    assert_eq!(api.call_with("POST", "", &create, item).await.status, 204);
    assert_eq!(api.call_with("POST", "", &create, item).await.status, 409);
}

#[tokio::test]
async fn delete_honours_its_condition() {
    let mut api = Api::new().await;
    assert_eq!(api.call("DELETE", "/k", "").await.status, 204, "absent already");
    let first_write = "/k?concurrency=first-write";
    assert_eq!(api.call("DELETE", first_write, "").await.status, 204);
    api.save(r#"[{"key":"k","value":1}]"#).await;
    assert_eq!(api.call("DELETE", first_write, "").await.status, 409);
    let stale = api.call_with("DELETE", "/k", &[("If-Match", "stale")], "").await;
    assert_eq!((stale.status, &stale.json()["errorCode"]), (409, &json!("ERR_STATE_DELETE")));
    assert_eq!(api.get("k").await.body, "1");
    let etag = api.etag("k").await;
    let current = [("If-Match", etag.as_str())];
    assert_eq!(api.call_with("DELETE", "/k", &current, "").await.status, 204);
    assert_eq!(api.call_with("DELETE", "/k", &current, "").await.status, 409);
    assert_eq!(api.get("k").await.status, 204);
}

#[tokio::test]
async fn ttl_of_the_query_wins_over_the_item_s_own() {
    let mut api = Api::new().await;
    let item = r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":"60"}}]"#;
    api.save(item).await;
    assert!(within(&api.get("k").await, 50, 61));
    api.call("POST", "?metadata.ttlInSeconds=1000", item).await;
    assert!(within(&api.get("k").await, 990, 1001));
    api.call("POST", "?metadata.ttlInSeconds=-1", item).await;
    assert_eq!(api.get("k").await.header("metadata.ttlexpiretime"), None);
}

#[tokio::test]
async fn bulk_get_tells_the_same_expiry_as_a_get() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":60}}]"#).await;
    let told = api.get("k").await.header("metadata.ttlexpiretime").unwrap().to_owned();
    assert_eq!(told.len(), "2026-08-21T20:12:09Z".len());
    assert_eq!(api.bulk(r#"["k"]"#).await[0]["metadata"]["ttlExpireTime"], told);
}

#[tokio::test]
async fn expired_value_reads_as_absent() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1,"metadata":{"ttlInSeconds":"1"}}]"#).await;
    tokio::time::sleep(std::time::Duration::from_millis(1100)).await;
    assert_eq!(api.get("k").await.status, 204);
    assert_eq!(api.bulk(r#"["k"]"#).await, json!([{"key": "k"}]));
}

#[tokio::test]
async fn bulk_get_does_not_read_more_than_fits() {
    let mut api = Api::new().await;
    let large = format!("\"{}\"", "x".repeat(3 << 20));
    assert_eq!(api.save(&format!(r#"[{{"key":"large","value":{large}}}]"#)).await.status, 204);
    let keys = vec!["large"; 100];
    let answers = api.bulk(&json!(keys).to_string()).await;
    let answers = answers.as_array().unwrap();
    assert_eq!(answers.len(), 100);
    assert!(answers[..32].iter().all(|it| it["error"].is_null()));
    assert!(answers[32..].iter().all(|it| it["error"].as_str().unwrap().contains("64 MiB")));
}

#[tokio::test]
async fn bulk_get_answers_every_key_in_order() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"a","value":{"x": 1.10}},{"key":"b","value":null}]"#).await;
    api.put_beneath("bytes", b"\x00\xff").await;
    let reply = api.call("POST", "/bulk", r#"{"keys":["b","absent","a","bytes","a"]}"#).await;
    assert!(reply.body.contains(r#""data":{"x": 1.10}"#), "{}", reply.body);
    assert!(reply.body.ends_with("]\n"));
    let found = reply.json();
    assert_eq!(found.as_array().unwrap().len(), 5);
    assert_eq!((&found[0]["key"], &found[0]["data"]), (&json!("b"), &Value::Null));
    assert!(found[0].as_object().unwrap().contains_key("data"), "null is not absent");
    assert_eq!(found[1], json!({"key": "absent"}));
    assert_eq!(found[2]["etag"], api.etag("a").await);
    assert_eq!(found[2].get("encoding"), None);
    assert_eq!((&found[3]["data"], &found[3]["encoding"]), (&json!("AP8="), &json!("base64")));
    assert_eq!(found[4], found[2]);
}

#[tokio::test]
async fn key_too_long_for_the_store_refuses_the_whole_request() {
    let mut api = Api::new().await;
    let long = "k".repeat(3000);
    let items = format!(r#"[{{"key":"a","value":1}},{{"key":"{long}","value":2}}]"#);
    let operations = r#"[{"operation":"upsert","request":{"key":"a","value":1}},
                        {"operation":"delete","request":{"key":"LONG"}}]"#;
    for reply in [
        api.save(&items).await,
        api.transact(&operations.replace("LONG", &long)).await,
        api.call("POST", "/bulk", &format!(r#"{{"keys":["a","{long}"]}}"#)).await,
        api.get(&long).await,
        api.call("DELETE", &format!("/{long}"), "").await,
    ] {
        assert_eq!((reply.status, reply.header("state-outcome")), (400, Some("not_applied")));
        assert!(reply.body.contains("3000 bytes"), "{}", reply.body);
    }
    assert_eq!(api.get("a").await.status, 204, "nothing was saved");
}

#[tokio::test]
async fn partial_failure_of_a_save_tells_the_outcome_of_every_item() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"b","value":1}]"#).await;
    let version = api.etag("b").await;
    let reply = api
        .save(
            r#"[{"key":"a","value":1},{"key":"b","value":2,"etag":"stale"},{"key":"c","value":4}]"#,
        )
        .await;
    let body = reply.json();
    assert_eq!(reply.status, 409);
    assert_eq!(body["outcome"], "unknown", "part of the request was applied");
    let items = body["items"].as_array().unwrap();
    let outcomes: Vec<_> = items.iter().map(|it| it["outcome"].as_str().unwrap()).collect();
    assert_eq!(outcomes, ["ok", "conflict", "ok"]);
    assert_eq!(items[0]["etag"], api.etag("a").await);
    assert_eq!(items[1]["currentETag"], version);
    assert_eq!((api.get("b").await.body, api.get("c").await.body), ("1".into(), "4".into()));
}

#[tokio::test]
async fn save_of_which_nothing_was_applied_is_a_conflict() {
    let mut api = Api::new().await;
    let items = r#"[{"key":"a","value":1,"etag":"stale"},{"key":"b","value":2,"etag":"stale"}]"#;
    let reply = api.save(items).await;
    assert_eq!((reply.status, reply.header("state-outcome")), (409, Some("conflict")));
    assert_eq!(api.get("b").await.status, 204);
}

#[tokio::test]
async fn transaction_applies_its_operations_in_order() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"gone","value":1}]"#).await;
    let reply = api
        .transact(
            r#"[{"operation":"upsert","request":{"key":"k","value":1}},
                {"operation":"delete","request":{"key":"gone"}},
                {"operation":"upsert","request":{"key":"k","value":2}}]"#,
        )
        .await;
    assert_eq!((reply.status, reply.body.as_str()), (204, ""));
    assert_eq!(api.get("k").await.body, "2");
    assert_eq!(api.get("gone").await.status, 204);
}

#[tokio::test]
async fn conflict_in_a_transaction_names_the_operation_and_nothing_is_written() {
    let mut api = Api::new().await;
    api.save(r#"[{"key":"k","value":1}]"#).await;
    let reply = api
        .transact(
            r#"[{"operation":"upsert","request":{"key":"new","value":1}},
                {"operation":"upsert","request":{"key":"k","value":2,"etag":"stale"}},
                {"operation":"delete","request":{"key":"k"}}]"#,
        )
        .await;
    let body = reply.json();
    assert_eq!((reply.status, &body["errorCode"]), (409, &json!("ERR_STATE_TRANSACTION")));
    assert!(body["message"].as_str().unwrap().contains(r#"operation 1 (key "k")"#), "{body}");
    assert_eq!(body["details"][0]["metadata"]["operation"], "1");
    assert_eq!(body["details"][0]["metadata"]["currentETag"], api.etag("k").await);
    assert_eq!(api.get("k").await.body, "1");
    assert_eq!(api.get("new").await.status, 204);
}

#[tokio::test]
async fn metadata_of_a_transaction_is_that_of_every_operation() {
    let mut api = Api::new().await;
    let body = r#"{"metadata":{"ttlInSeconds":"60"},"operations":[
        {"operation":"upsert","request":{"key":"common","value":1}},
        {"operation":"delete","request":{"key":"gone"}},
        {"operation":"upsert","request":{"key":"own","value":1,
            "metadata":{"ttlInSeconds":"1000"}}}]}"#;
    assert_eq!(api.call("POST", "/transaction", body).await.status, 204);
    assert!(within(&api.get("common").await, 50, 61));
    assert!(within(&api.get("own").await, 990, 1001));
    api.call("POST", "/transaction?metadata.ttlInSeconds=500", body).await;
    assert!(within(&api.get("own").await, 490, 501), "the query wins");
}

#[tokio::test]
async fn strong_consistency_is_accepted_from_every_place() {
    let mut api = Api::new().await;
    let strong = [("consistency", "strong")];
    let item = r#"[{"key":"k","value":1,"options":{"consistency":"strong"}}]"#;
    assert_eq!(api.save(item).await.status, 204);
    assert_eq!(api.call("GET", "/k?consistency=strong", "").await.body, "1");
    assert_eq!(api.call_with("GET", "/k", &strong, "").await.body, "1");
    let found = api.call("POST", "/bulk?consistency=strong", r#"{"keys":["k"]}"#).await;
    assert_eq!(found.json()[0]["data"], 1);
    assert_eq!(api.call_with("DELETE", "/k", &strong, "").await.status, 204);
}

/// Whether the value that was read expires in this many seconds from now.
fn within(reply: &Reply, least: u64, most: u64) -> bool {
    let time = reply.header("metadata.ttlexpiretime").expect("it expires");
    let time = humantime::parse_rfc3339(time).expect("a time of RFC 3339");
    let seconds = time.duration_since(SystemTime::now()).expect("it is yet to come").as_secs();
    (least..=most).contains(&seconds)
}

#[tokio::test]
async fn a_time_to_live_that_is_wrong_is_refused_also_where_it_would_not_count() {
    let mut api = Api::new().await;
    let soon = "?metadata.ttlInSeconds=soon";
    let item = r#"[{"key":"k","metadata":{"ttlInSeconds":"soon"}}]"#;
    for (suffix, body) in [
        (soon.to_owned(), "[]"),
        (soon.to_owned(), r#"[{"key":"k"}]"#),
        ("?metadata.ttlInSeconds=60".to_owned(), item),
        (format!("/transaction{soon}"), "null"),
        (format!("/bulk{soon}"), r#"{"keys":[]}"#),
        (
            "/bulk?metadata.ttlInSeconds=60".to_owned(),
            r#"{"keys":["k"],"metadata":{"ttlInSeconds":"soon"}}"#,
        ),
        ("/transaction".to_owned(), r#"{"operations":[],"metadata":{"ttlInSeconds":"soon"}}"#),
    ] {
        let reply = api.call_with("POST", &suffix, &[], body).await;
        assert_eq!(reply.status, 400, "{suffix} {body}");
        assert!(reply.body.contains("ttlInSeconds"), "{reply:?}");
    }
    assert_eq!(api.get("k").await.status, 204, "nothing was saved");
}
