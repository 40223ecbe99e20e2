//! Keys and values as Dapr has them. Source: Dapr's `state.etcd`, `Set`, `doSet` and `doGet`.

use std::time::{Duration, SystemTime};

use real_servers::etcd::{Etcd, Options};
use state::{FailureKind, Precondition};

use crate::support::{
    VERSIONS, etag, expiring, get, kind, matches, open, outcome, put, put_raw, raw, text_of,
    try_get, try_open, value,
};

#[tokio::test]
async fn a_key_is_behind_the_prefix_and_a_slash_also_if_there_is_no_prefix() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    for (prefix, stored) in [("", "/app||k"), ("dapr", "dapr/app||k"), ("/a/", "/a//app||k")] {
        let endpoints = etcd.endpoints();
        let properties = [("endpoints", endpoints.as_str()), ("keyPrefixPath", prefix)];
        let store = try_open("v1", &properties).await.unwrap();
        store.write(&put("app||k", "{\"a\": 1.10}")).await.unwrap();
        assert_eq!(raw(&etcd, stored).await.unwrap(), b"{\"a\": 1.10}");
        let page = store.list("app||", None, 10).await.unwrap();
        assert_eq!(page.keys.len(), 1, "{page:?}");
    }
}

#[tokio::test]
async fn the_second_version_keeps_a_value_in_dapr_s_envelope() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    store.write(&put("k", "17")).await.unwrap();
    let bytes = raw(&etcd, "v2/k").await.unwrap();
    // The data, the time, and no time to live, which Dapr writes as an empty message.
    assert_eq!(&bytes[..4], b"\x0a\x0217");
    assert_eq!(bytes[4], 0x12);
    assert_eq!(&bytes[bytes.len() - 2..], b"\x1a\0");
    store.write(&expiring("k", "17", Duration::from_secs(100))).await.unwrap();
    let bytes = raw(&etcd, "v2/k").await.unwrap();
    assert_eq!(&bytes[bytes.len() - 4..], b"\x1a\x02\x08\x64");
}

#[tokio::test]
async fn what_dapr_has_written_is_read_and_compared() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let now = SystemTime::UNIX_EPOCH.elapsed().unwrap().as_secs();
    // The same with no time to live, with one of zero, and with one of 100 seconds.
    let mut with_time = b"\x0a\x0217\x12\x06\x08".to_vec();
    let mut rest = now;
    while rest >= 0x80 {
        with_time.push((rest & 0x7f) as u8 | 0x80);
        rest >>= 7;
    }
    with_time.push(rest as u8);
    let permanent: [Vec<u8>; 3] =
        [b"\x0a\x0217".to_vec(), with_time.clone(), { [with_time.as_slice(), b"\x1a\0"].concat() }];
    let v2 = open(&etcd.endpoints(), "v2", &[]).await;
    for bytes in permanent {
        put_raw(&etcd, "v2/k", &bytes, 0).await;
        let item = get(&v2, "k").await.unwrap();
        assert_eq!((&item.value[..], item.expires_at), (&b"17"[..], None));
    }
    let granted = etcd.post("/v3/lease/grant", r#"{"TTL":"100"}"#).await.unwrap();
    let lease = text_of(&granted, "ID").unwrap().parse().unwrap();
    put_raw(&etcd, "v2/k", &[with_time.as_slice(), b"\x1a\x02\x08\x64"].concat(), lease).await;
    put_raw(&etcd, "v1/k", b"17", lease).await;
    for version in VERSIONS {
        let store = open(&etcd.endpoints(), version, &[]).await;
        let item = get(&store, "k").await.unwrap();
        let left = item.expires_at.unwrap().duration_since(SystemTime::now()).unwrap();
        assert!(left > Duration::from_secs(90) && left <= Duration::from_secs(101), "{left:?}");
        let stale = store.write(&put("k", "1").when(Precondition::Absent)).await;
        assert_eq!(outcome(stale), state::Outcome::Conflict);
        let current = etag(&store, "k").await;
        store.write(&put("k", "18").when(matches(&current))).await.unwrap();
        assert_eq!(value(&store, "k").await, "18");
        assert_eq!(get(&store, "k").await.unwrap().expires_at, None);
    }
}

#[tokio::test]
async fn an_etag_is_the_revision_and_nothing_else_is() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v1", &[]).await;
    let written = store.write(&put("k", "1")).await.unwrap();
    let etag = written.etag.unwrap();
    assert!(etag.as_str().parse::<u64>().unwrap() > 1);
    for foreign in ["bad-etag", "0", "-1", &format!("0{}", etag.as_str())] {
        let answer = store.write(&put("k", "2").when(matches(foreign))).await;
        assert_eq!(outcome(answer), state::Outcome::Conflict, "{foreign}");
        let answer = store.write(&put("absent", "2").when(matches(foreign))).await;
        assert_eq!(outcome(answer), state::Outcome::Conflict, "{foreign}");
    }
}

#[tokio::test]
async fn what_the_other_version_has_written_is_said_to_be_so() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    put_raw(&etcd, "v2/k", b"{\"a\": 1}", 0).await;
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    let error = try_get(&store, "k").await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Corrupt);
    assert!(error.to_string().contains("keyPrefixPath"), "{error}");
}

#[tokio::test]
async fn nothing_that_callers_write_is_more_than_data() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    for version in VERSIONS {
        crate::injection::is_data(&open(&etcd.endpoints(), version, &[]).await).await;
    }
}
