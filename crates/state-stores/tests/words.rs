//! The words that tests of every store are written in.

#![allow(dead_code, reason = "every store's tests have this file, and none needs all of it")]

use std::{sync::Arc, time::Duration};

use state::{
    Change, Consistency, ETag, Error, FailureKind, Format, Item, Key, Outcome, Precondition, Read,
    Result, Store, Ttl, Write, Written,
};
use tokio::time::{Instant, sleep};

/// How long a sidecar may take to serve again when everything else does. Source: semantics.md, I14.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How often to look again.
const INTERVAL: Duration = Duration::from_millis(20);

pub(crate) fn key(name: &str) -> Key {
    Key::stored(name)
}

pub(crate) fn put(name: &str, value: &str) -> Write {
    let value = value.to_owned().into();
    Write::new(key(name), Change::Put { value, format: Format::Json, ttl: Ttl::Unsaid })
}

pub(crate) fn expiring(name: &str, value: &str, ttl: Duration) -> Write {
    let value = value.to_owned().into();
    Write::new(key(name), Change::Put { value, format: Format::Json, ttl: Ttl::After(ttl) })
}

pub(crate) fn delete(name: &str) -> Write {
    Write::delete(key(name))
}

pub(crate) fn strong(write: Write) -> Write {
    Write { consistency: Consistency::Strong, ..write }
}

pub(crate) fn matches(etag: &str) -> Precondition {
    Precondition::Matches(ETag::new(etag).unwrap())
}

pub(crate) async fn get(store: &Arc<dyn Store>, name: &str) -> Option<Item> {
    try_get(store, name).await.unwrap()
}

pub(crate) async fn try_get(store: &Arc<dyn Store>, name: &str) -> Result<Option<Item>> {
    store.get(&Read { consistency: Consistency::Strong, ..Read::new(key(name)) }).await
}

/// The value of a key that is there.
pub(crate) async fn value(store: &Arc<dyn Store>, name: &str) -> String {
    String::from_utf8(get(store, name).await.expect("the key is there").value.to_vec()).unwrap()
}

/// The ETag of a key that is there.
pub(crate) async fn etag(store: &Arc<dyn Store>, name: &str) -> String {
    get(store, name).await.expect("the key is there").etag.unwrap().as_str().to_owned()
}

pub(crate) fn outcome(answer: Result<Written>) -> Outcome {
    answer.expect_err("the write does not succeed").outcome()
}

pub(crate) fn kind(error: &Error) -> FailureKind {
    match error {
        Error::Failure(it) => it.kind(),
        Error::Conflict(it) => panic!("a conflict: {it}"),
    }
}

/// Asks again until the answer is `true`, and returns how long that took. Fails after `patience`.
pub(crate) async fn within(
    patience: Duration,
    what: &str,
    mut question: impl AsyncFnMut() -> bool,
) -> Duration {
    let started = Instant::now();
    while !question().await {
        assert!(started.elapsed() < patience, "not within {patience:?}: {what}");
        sleep(INTERVAL).await;
    }
    started.elapsed()
}

/// What is there once the store tells, which has to be before long.
pub(crate) async fn answered(store: &Arc<dyn Store>, name: &str) -> Option<Item> {
    let mut found = None;
    within(RECOVERY_MAX, "a read", async || match try_get(store, name).await {
        Ok(it) => {
            found = it;
            true
        }
        Err(_) => false,
    })
    .await;
    found
}

/// Waits until a write is acknowledged, as soon as a sidecar has to serve again.
pub(crate) async fn serves_again(store: &Arc<dyn Store>, write: &Write) -> Duration {
    within(RECOVERY_MAX, "a write", async || store.write(write).await.is_ok()).await
}
