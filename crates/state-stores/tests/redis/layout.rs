//! The data itself: what Dapr has written is read, and what is written Dapr can read. Source: spec/stores.md 2.1.

use real_servers::redis::{Options, Redis, Reply};
use state::{FailureKind, Found, Outcome, Precondition, Write};

use crate::support::{
    arrange, delete, etag, expiring, fields, get, kind, matches, open, outcome, put, try_get, value,
};

/// Two hours.
const LONG: std::time::Duration = std::time::Duration::from_secs(7200);

#[tokio::test]
async fn what_dapr_has_written_is_read() {
    let server = Redis::start(&Options::default()).await.unwrap();
    arrange(
        &server,
        &[
            &["HSET", "app||plain", "data", r#"{"a":1}"#, "version", "3"],
            &["HSET", "app||marked", "data", "\"x\"", "version", "1", "first-write", "0"],
            &["HSET", "app||bytes", "data", "", "version", "2"],
            &["SET", "app||legacy", "old"],
            &["HSET", "app||dying", "data", "1", "version", "1"],
            &["EXPIRE", "app||dying", "7200"],
        ],
    )
    .await;
    let store = open(server.address(), &[]).await;
    let item = get(&store, "app||plain").await.unwrap();
    assert_eq!((&item.value[..], item.etag.unwrap().as_str()), (&br#"{"a":1}"#[..], "3"));
    assert_eq!(item.expires_at, None);
    assert_eq!(value(&store, "app||marked").await, "\"x\"");
    assert_eq!(value(&store, "app||bytes").await, "");
    assert_eq!(value(&store, "app||legacy").await, "old");
    let expires_at = get(&store, "app||dying").await.unwrap().expires_at.unwrap();
    let left = expires_at.duration_since(std::time::SystemTime::now()).unwrap();
    assert!(left <= LONG && left > LONG / 2, "{left:?}");
}

#[tokio::test]
async fn what_is_written_has_the_fields_that_dapr_reads() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    store.write(&put("app||k", r#"{"b": 1.10}"#)).await.unwrap();
    let version = etag(&store, "app||k").await;
    let written = fields(&server, "app||k").await;
    let pairs: Vec<_> = written.iter().map(|(name, value)| (&**name, &**value)).collect();
    assert_eq!(pairs, [("data", r#"{"b": 1.10}"#), ("version", &version)]);
    // Dapr counts versions up with HINCRBY, reads them as whole numbers, and compares them as text.
    assert_eq!(version.parse::<i64>().unwrap().to_string(), version);
    let next = server.command(&["HINCRBY", "app||k", "version", "1"]).await.unwrap();
    let next = next.integer().unwrap().to_string();
    assert_eq!(etag(&store, "app||k").await, next);
    let stale = store.write(&put("app||k", "2").when(matches(&version))).await;
    assert_eq!(outcome(stale), Outcome::Conflict);
    store.write(&put("app||k", "2").when(matches(&next))).await.unwrap();
}

#[tokio::test]
async fn a_create_leaves_the_marker_and_later_writes_keep_it() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    let marker = async || {
        let fields = fields(&server, "app||k").await;
        fields.into_iter().find(|(name, _)| name == "first-write").map(|it| it.1)
    };
    store.write(&put("app||k", "1").when(Precondition::Absent)).await.unwrap();
    assert_eq!(marker().await.as_deref(), Some("0"));
    let current = etag(&store, "app||k").await;
    store.write(&put("app||k", "2").when(matches(&current))).await.unwrap();
    assert_eq!(marker().await.as_deref(), Some("0"));
    store.write(&put("app||k", "3")).await.unwrap();
    assert_eq!(marker().await.as_deref(), Some("0"));
    // What Dapr has created without the marker does not get one by the way.
    arrange(&server, &[&["HSET", "app||k2", "data", "1", "version", "1"]]).await;
    let second = store.write(&put("app||k2", "2").when(Precondition::Absent)).await;
    assert_eq!(outcome(second), Outcome::Conflict);
    store.write(&put("app||k2", "2")).await.unwrap();
    assert_eq!(fields(&server, "app||k2").await.len(), 2);
}

#[tokio::test]
async fn versions_are_the_servers_time_and_never_less_than_one_more() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    arrange(&server, &[&["HSET", "app||old", "data", "1", "version", "41"]]).await;
    store.write(&put("app||old", "2")).await.unwrap();
    let time = server.command(&["TIME"]).await.unwrap().array().unwrap();
    let seconds: u64 = time[0].clone().text().unwrap().parse().unwrap();
    let version: u64 = etag(&store, "app||old").await.parse().unwrap();
    assert!(version / 1_000_000 <= seconds && version / 1_000_000 + 60 > seconds, "{version}");
    // Ahead of the clock, as after it was set back.
    let ahead = "8000000000000000";
    arrange(&server, &[&["HSET", "app||ahead", "data", "1", "version", ahead]]).await;
    store.write(&put("app||ahead", "2")).await.unwrap();
    assert_eq!(etag(&store, "app||ahead").await, "8000000000000001");
    // A transaction that writes, removes and writes makes a newer version each time.
    let writes = [put("app||ahead", "3"), delete("app||ahead"), put("app||ahead", "4")];
    let written = store.transact(&writes).await.unwrap();
    let versions: Vec<_> = written.iter().filter_map(|it| it.etag.as_ref()).collect();
    assert_eq!(versions[0].as_str(), "8000000000000002");
    assert_eq!(versions[1].as_str(), "8000000000000003");
}

#[tokio::test]
async fn a_legacy_string_has_an_etag_and_becomes_a_hash_when_it_is_written() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    arrange(&server, &[&["SET", "app||k", "old"], &["SET", "app||gone", "old"]]).await;
    let legacy = etag(&store, "app||k").await;
    assert_eq!(etag(&store, "app||gone").await, legacy, "it is made of the value");
    let create = store.write(&put("app||k", "1").when(Precondition::Absent)).await;
    assert_eq!(outcome(create), Outcome::Conflict);
    assert_eq!(
        outcome(store.write(&put("app||k", "1").when(matches("1"))).await),
        Outcome::Conflict
    );
    store.write(&put("app||k", "new").when(matches(&legacy))).await.unwrap();
    assert_eq!(value(&store, "app||k").await, "new");
    assert_eq!(fields(&server, "app||k").await.len(), 2);
    store.write(&delete("app||gone").when(matches(&legacy))).await.unwrap();
    assert_eq!(get(&store, "app||gone").await, None);
}

#[tokio::test]
async fn what_is_not_ours_is_refused_and_left_alone() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    arrange(
        &server,
        &[
            &["RPUSH", "list", "1"],
            &["SADD", "set", "1"],
            &["ZADD", "zset", "1", "1"],
            &["XADD", "stream", "*", "a", "1"],
            &["HSET", "hash", "name", "1"],
            &["HSET", "half", "version", "1"],
            &["HSET", "word", "data", "1", "version", "one"],
            &["HSET", "huge", "data", "1", "version", "9007199254740991"],
        ],
    )
    .await;
    let dump = async |name: &str| server.command(&["DUMP", name]).await.unwrap();
    for name in ["list", "set", "zset", "stream", "hash", "half", "word", "huge"] {
        let before = dump(name).await;
        // A hash that lacks its value can be given one, and what has a value can be read.
        if !matches!(name, "word" | "huge") {
            let read = try_get(&store, name).await.unwrap_err();
            assert_eq!(kind(&read), FailureKind::Corrupt, "{name}: {read}");
        }
        if name == "half" {
            continue;
        }
        let writes: [Write; 3] =
            [put(name, "1"), delete(name), put(name, "1").when(Precondition::Absent)];
        for write in writes {
            let answer = store.write(&write).await.unwrap_err();
            assert_eq!(kind(&answer), FailureKind::Corrupt, "{name}: {answer}");
            let writes = [put("innocent", "1"), write];
            assert_eq!(kind(&store.transact(&writes).await.unwrap_err()), FailureKind::Corrupt);
        }
        assert_eq!(dump(name).await, before, "{name} was changed");
    }
    assert_eq!(get(&store, "innocent").await, None);
}

#[tokio::test]
async fn lifetimes_are_those_of_redis_and_a_write_without_one_ends_them() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    let left = async |name: &str| server.command(&["PTTL", name]).await.unwrap().integer().unwrap();
    store.write(&expiring("k", "1", LONG)).await.unwrap();
    let expires = left("k").await;
    assert!(expires > 7_100_000 && expires <= 7_200_000, "{expires}");
    store.write(&put("k", "2")).await.unwrap();
    assert_eq!(left("k").await, -1);
    let default = open(server.address(), &[("ttlInSeconds", "60")]).await;
    default.write(&put("k", "3")).await.unwrap();
    let expires = left("k").await;
    assert!(expires > 50_000 && expires <= 60_000, "{expires}");
    // Who says "never" gets it, whatever the default is.
    let mut write = put("k", "4");
    if let state::Change::Put { ttl, .. } = &mut write.change {
        *ttl = state::Ttl::Never;
    }
    default.write(&write).await.unwrap();
    assert_eq!(left("k").await, -1);
}

#[tokio::test]
async fn the_time_at_which_a_value_expires_stays_the_same() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    store.write(&expiring("k", "1", LONG)).await.unwrap();
    let first = get(&store, "k").await.unwrap().expires_at;
    assert!(first.is_some());
    for _ in 0..5_000 {
        assert_eq!(get(&store, "k").await.unwrap().expires_at, first);
    }
}

#[tokio::test]
async fn a_conflict_says_what_was_found() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[]).await;
    arrange(&server, &[&["HSET", "k", "data", "1", "version", "7"]]).await;
    let answer = store.write(&put("k", "2").when(matches("6"))).await;
    let Err(state::Error::Conflict(conflict)) = answer else { panic!("{answer:?}") };
    assert_eq!(*conflict.found(), Found::Version(state::ETag::new("7").unwrap()));
    for (etag, expected) in [("six", FailureKind::InvalidETag), ("-1", FailureKind::InvalidETag)] {
        let answer = store.write(&put("k", "2").when(matches(etag))).await.unwrap_err();
        assert_eq!(kind(&answer), expected);
        // As in Dapr, only a save says that it could not be one.
        assert_eq!(outcome(store.write(&delete("k").when(matches(etag))).await), Outcome::Conflict);
    }
    for etag in ["*", "-", "07", "+7", " 7", "7.0"] {
        let answer = store.write(&put("k", "2").when(matches(etag))).await;
        assert_ne!(outcome(answer), Outcome::Unknown, "{etag}");
        assert_eq!(outcome(store.write(&delete("k").when(matches(etag))).await), Outcome::Conflict);
    }
    assert_eq!(value(&store, "k").await, "1");
    assert!(matches!(server.command(&["EXISTS", "k"]).await.unwrap(), Reply::Integer(1)));
}
