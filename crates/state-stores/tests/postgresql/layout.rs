//! The data itself: what Dapr has written is read, and what is written Dapr can read. Source: spec/stores.md 2.2, 2.3.

use std::{
    sync::Arc,
    time::{Duration, SystemTime},
};

use real_servers::postgres::{Options, Postgres};
use state::{Change, FailureKind, Format, Outcome, Precondition, Store, Ttl, Write};

use crate::support::{
    VERSIONS, etag, expiring, get, kind, matches, open, outcome, put, try_get, value,
};

async fn server() -> Postgres {
    Postgres::start(&Options::default()).await.unwrap()
}

fn opaque(name: &str, value: &'static [u8]) -> Write {
    let value = value.into();
    let change = Change::Put { value, format: Format::Opaque, ttl: Ttl::Unsaid };
    Write::new(crate::support::key(name), change)
}

/// The row of a key, as text.
async fn row(server: &Postgres, table: &str, key: &str) -> String {
    server.ask(&format!("SELECT {table}::text FROM {table} WHERE key = '{key}'")).await.unwrap()
}

#[tokio::test]
async fn the_first_layout_is_read_and_written_as_dapr_does() {
    let server = server().await;
    let store = open(&server.url(), "v1", &[]).await;
    server
        .run(
            "INSERT INTO v1_state (key, value, isbinary, expiredate) VALUES
                 ('app||json', '{\"a\": 1}', false, NULL),
                 ('app||bytes', '\"AAH/\"', true, NULL),
                 ('app||dying', '1', false, now() + interval '2 hours'),
                 ('app||dead', '1', false, now() - interval '1 second')",
        )
        .await
        .unwrap();
    assert_eq!(value(&store, "app||json").await, r#"{"a": 1}"#);
    let xmin = server.ask("SELECT xmin::text FROM v1_state WHERE key = 'app||json'").await.unwrap();
    assert_eq!(etag(&store, "app||json").await, xmin);
    assert_eq!(&get(&store, "app||bytes").await.unwrap().value[..], b"\x00\x01\xff");
    let left = get(&store, "app||dying").await.unwrap().expires_at.unwrap();
    let left = left.duration_since(SystemTime::now()).unwrap();
    assert!(left > Duration::from_secs(7000) && left <= Duration::from_secs(7200), "{left:?}");
    assert_eq!(get(&store, "app||dead").await, None);

    store.write(&opaque("app||raw", b"\x00\x01\xff")).await.unwrap();
    store.write(&put("app||new", r#"{"b": 1.10}"#)).await.unwrap();
    let written =
        "SELECT value::text || isbinary::text || (expiredate IS NULL)::text FROM v1_state";
    let written =
        async |key: &str| server.ask(&format!("{written} WHERE key = '{key}'")).await.unwrap();
    assert_eq!(written("app||raw").await, "\"AAH/\"truetrue");
    assert_eq!(written("app||new").await, "{\"b\": 1.10}falsetrue");
}

#[tokio::test]
async fn numbers_that_jsonb_would_change_come_back_as_they_were_written() {
    let server = server().await;
    let store = open(&server.url(), "v1", &[]).await;
    for text in
        ["1e3", "-0", "1E400", "[1.10, 1e2]", r#""\u0000""#, r#"{"a":1,"a":2}"#, r#""\ud800""#]
    {
        store.write(&put("k", text)).await.unwrap();
        assert_eq!(value(&store, "k").await, text);
        let binary =
            server.ask("SELECT isbinary::text FROM v1_state WHERE key = 'k'").await.unwrap();
        assert_eq!(binary, "true", "{text}");
    }
    // What it does not change is there for everybody to look at.
    store.write(&put("k", r#"{"b": 9007199254740993, "a": 1.10}"#)).await.unwrap();
    let b = server.ask("SELECT value->>'b' FROM v1_state WHERE key = 'k'").await.unwrap();
    assert_eq!(b, "9007199254740993");
    assert!(!store.capabilities().exact_values);
}

#[tokio::test]
async fn an_etag_of_the_first_layout_is_a_number_and_others_are_invalid() {
    let server = server().await;
    let store = open(&server.url(), "v1", &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    for text in ["x", "-1", "4294967296", "7f7f7f7f-0000-4000-8000-000000000000"] {
        for write in [put("k", "2"), crate::support::delete("k")] {
            let error = store.write(&write.when(matches(text))).await.unwrap_err();
            assert_eq!(kind(&error), FailureKind::InvalidETag, "{text}");
        }
        let error = store.transact(&[put("k", "2").when(matches(text))]).await.unwrap_err();
        assert_eq!(kind(&error), FailureKind::InvalidETag, "{text}");
    }
    assert_eq!(value(&store, "k").await, "1");
}

#[tokio::test]
async fn the_second_layout_is_read_and_written_as_dapr_does() {
    let server = server().await;
    let store = open(&server.url(), "v2", &[]).await;
    let theirs = "0b5d3c1a-5f2e-4d6b-9c3f-2f1f5f6a7b8c";
    server
        .run(&format!(
            "INSERT INTO v2_state (key, value, etag) VALUES ('app||k', '{{\"a\": 1}}', '{theirs}')"
        ))
        .await
        .unwrap();
    assert_eq!(value(&store, "app||k").await, r#"{"a": 1}"#);
    assert_eq!(etag(&store, "app||k").await, theirs);
    store.write(&put("app||k", "2").when(matches(theirs))).await.unwrap();
    let ours = etag(&store, "app||k").await;
    let stored = server.ask("SELECT etag::text FROM v2_state WHERE key = 'app||k'").await.unwrap();
    assert_eq!(ours, stored);
    let rest = "SELECT (updated_at IS NOT NULL)::text || convert_from(value, 'UTF8') FROM v2_state";
    assert_eq!(server.ask(rest).await.unwrap(), "true2");
    store.write(&opaque("app||raw", b"\x00\xff")).await.unwrap();
    let raw = "SELECT encode(value, 'hex') FROM v2_state WHERE key = 'app||raw'";
    assert_eq!(server.ask(raw).await.unwrap(), "00ff");
    // An ETag that this layout could not have made is just not that of the row.
    let answer = store.write(&put("app||k", "3").when(matches("bad-etag"))).await;
    assert_eq!(outcome(answer), Outcome::Conflict);
    let answer =
        store.transact(&[put("x", "1"), put("app||k", "3").when(matches("bad-etag"))]).await;
    let state::Error::Conflict(conflict) = answer.unwrap_err() else { panic!() };
    assert_eq!(conflict.position(), 1);
    assert_eq!(get(&store, "x").await, None);
}

#[tokio::test]
async fn a_write_keeps_what_a_row_has_beside_the_value() {
    let server = server().await;
    for (version, made) in [("v1", "insertdate"), ("v2", "created_at")] {
        let store = open(&server.url(), version, &[]).await;
        store.write(&put("k", "1")).await.unwrap();
        let kept =
            format!("SELECT row_id::text || {made}::text FROM {version}_state WHERE key = 'k'");
        let before = server.ask(&kept).await.unwrap();
        store.write(&put("k", "2")).await.unwrap();
        store.write_many(&[put("k", "3"), put("l", "1")]).await;
        let etag = etag(&store, "k").await;
        store.write(&put("k", "4").when(matches(&etag))).await.unwrap();
        assert_eq!(server.ask(&kept).await.unwrap(), before, "{version}");
    }
}

#[tokio::test]
async fn expired_rows_are_removed_by_one_of_those_who_share_the_table() {
    let server = server().await;
    for version in VERSIONS {
        let stores: Vec<Arc<dyn Store>> =
            futures::future::join_all((0..3).map(|_| open_sweeping(&server, version))).await;
        stores[0].write(&expiring("dying", "1", Duration::from_secs(1))).await.unwrap();
        stores[1].write(&put("lasting", "1")).await.unwrap();
        let count = format!("SELECT count(*)::text FROM {version}_state");
        real_servers::until("the removal of the expired row", || async {
            Ok(server.ask(&count).await? == "1")
        })
        .await
        .unwrap();
        assert_eq!(value(&stores[2], "lasting").await, "1");
        let key = if version == "v1" { "last-cleanup" } else { "last-cleanup-state-v2-v2_" };
        // Dapr reads it as a time.
        let last =
            format!("SELECT (value::timestamptz <= now())::text FROM meta WHERE key = '{key}'");
        assert_eq!(server.ask(&last).await.unwrap(), "true");
    }
}

async fn open_sweeping(server: &Postgres, version: &str) -> Arc<dyn Store> {
    open(&server.url(), version, &[("cleanupInterval", "1s")]).await
}

#[tokio::test]
async fn a_value_that_cannot_be_understood_is_said_to_be_so_and_others_are_read() {
    let server = server().await;
    let store = open(&server.url(), "v1", &[]).await;
    store.write(&put("good", "1")).await.unwrap();
    server
        .run("INSERT INTO v1_state (key, value, isbinary) VALUES ('bad', '1', true)")
        .await
        .unwrap();
    let error = try_get(&store, "bad").await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Corrupt);
    let reads = ["bad", "good"].map(|it| state::Read::new(crate::support::key(it)));
    let answers = store.get_many(&reads).await;
    assert!(answers[0].is_err() && answers[1].as_ref().unwrap().is_some());
    // It can be replaced.
    store.write(&put("bad", "2")).await.unwrap();
    assert!(row(&server, "v1_state", "bad").await.contains("bad"));
    assert_eq!(value(&store, "bad").await, "2");
    let answer = store.write(&put("bad", "3").when(Precondition::Absent)).await;
    assert_eq!(outcome(answer), Outcome::Conflict);
}
