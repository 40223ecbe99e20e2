//! Opens stores on servers of the tests, and looks at what they have written.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use real_servers::redis::{Redis, Reply};
use state::{
    Change, Consistency, ETag, Error, FailureKind, Format, Item, Key, Outcome, Precondition, Read,
    Result, Store, Ttl, Write, Written,
};
use tokio::time::{Instant, sleep};

/// How long a sidecar may take to serve again when everything else does. Source: semantics.md, I14.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How often to look again.
const INTERVAL: Duration = Duration::from_millis(20);

/// A store with these settings.
pub(crate) async fn try_open(properties: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let driver = state_stores::driver("state.redis").unwrap();
    (driver.open)(properties.iter().copied().collect()).await
}

/// A store at an address, with more settings.
pub(crate) async fn open(address: SocketAddr, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let address = address.to_string();
    try_open(&[&[("redisHost", address.as_str())], more].concat()).await.unwrap()
}

/// A store on several addresses, with more settings.
pub(crate) async fn open_at(addresses: &[SocketAddr], more: &[(&str, &str)]) -> Arc<dyn Store> {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(",");
    try_open(&[&[("redisHost", addresses.as_str())], more].concat()).await.unwrap()
}

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

/// The fields of a hash, as pairs in the order of their names.
pub(crate) async fn fields(server: &Redis, name: &str) -> Vec<(String, String)> {
    let words = server.command(&["HGETALL", name]).await.unwrap().array().unwrap();
    let words: Vec<String> = words.into_iter().map(|it| it.text().unwrap()).collect();
    let (pairs, _) = words.as_chunks::<2>();
    let mut pairs: Vec<_> =
        pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect();
    pairs.sort();
    pairs
}

/// Sends commands that have to be understood.
pub(crate) async fn arrange(server: &Redis, commands: &[&[&str]]) {
    for command in commands {
        let reply = server.command(command).await.unwrap();
        assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
    }
}

/// How often a server was asked a command, scripts included.
pub(crate) async fn calls(server: &Redis, command: &str) -> u64 {
    let stats = server.info("commandstats").await.unwrap();
    let Some(stats) = stats.get(&format!("cmdstat_{command}")) else { return 0 };
    let calls = stats.split(',').find_map(|it| it.strip_prefix("calls="));
    calls.unwrap().parse().unwrap()
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

/// Waits until a write is acknowledged, as soon as a sidecar has to serve again.
pub(crate) async fn serves_again(store: &Arc<dyn Store>, write: &Write) -> Duration {
    within(RECOVERY_MAX, "a write", async || store.write(write).await.is_ok()).await
}
