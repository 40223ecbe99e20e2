//! Everything that can be wrong with a request, against a live sidecar: each is refused for the
//! right reason, says that nothing was applied, and reaches no store.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use async_trait::async_trait;
use sidecar_api::{Component, Limits};
use state::{
    Capabilities, Consistencies, Error, FailureKind, Item, Read, Result, Store, Write, Written,
};

use self::rows::{Expected, Row};
use crate::support::{Served, memory, ready};

#[path = "malformed/rows.rs"]
mod rows;
mod support;

/// What a store is asked, counted.
#[derive(Debug)]
struct Counted {
    inner: Arc<dyn Store>,
    capabilities: Capabilities,
    calls: Arc<AtomicUsize>,
}

#[async_trait]
impl Store for Counted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.write(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.calls.fetch_add(1, Ordering::Relaxed);
        self.inner.transact(writes).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}

#[tokio::test]
async fn malformed_requests_are_refused_and_reach_no_store() {
    let calls = Arc::new(AtomicUsize::new(0));
    let served = Served::components(components(&calls).await, Limits::default()).await;
    let mut connection = served.connect().await;
    let saved =
        connection.call("POST", rows::STORE_PATH, &[], r#"[{"key":"canary","value":7}]"#).await;
    assert_eq!(saved.status, 204);
    let canary = connection.call("GET", rows::CANARY_PATH, &[], "").await;
    assert_eq!(canary.body, "7");
    let table = rows::all();
    assert!(table.len() >= 60, "{} rows", table.len());
    let before = calls.load(Ordering::Relaxed);
    let mut wrong = Vec::new();
    for row in &table {
        if let Err(why) = check(&served, row).await {
            wrong.push(format!("{}: {why}", row.name));
        }
        let called = calls.swap(before, Ordering::Relaxed) - before;
        if called > 0 {
            wrong.push(format!("{}: the store was asked {called} times", row.name));
        }
    }
    assert!(wrong.is_empty(), "{} of {}:\n{}", wrong.len(), table.len(), wrong.join("\n"));
    let after = connection.call("GET", rows::CANARY_PATH, &[], "").await;
    assert_eq!(after.body, canary.body);
    assert_eq!(after.header("etag"), canary.header("etag"));
}

#[tokio::test]
async fn sidecar_without_stores_says_so_before_it_reads_the_request() {
    let served = Served::components([], Limits::default()).await;
    for row in rows::without_stores() {
        check(&served, &row).await.unwrap_or_else(|why| panic!("{}: {why}", row.name));
    }
}

/// A store in the standard layers, one that can do nothing special, and two that are not ready.
async fn components(calls: &Arc<AtomicUsize>) -> Vec<Arc<Component>> {
    let memory = memory().await;
    let whole = Counted {
        capabilities: memory.capabilities().clone(),
        inner: memory.clone(),
        calls: calls.clone(),
    };
    let capabilities = Capabilities {
        etag: false,
        ttl: false,
        list: false,
        transaction_len_max: None,
        key_len_max: 100,
        consistency: Consistencies { strong_write: None, strong_read: None, eventual_read: None },
        ..memory.capabilities().clone()
    };
    let poor = Counted { inner: memory, capabilities, calls: calls.clone() };
    let component = |name| Component::new(name, "state.in-memory", "v1", true);
    let failing = component("failing");
    failing.failed(&Error::new(FailureKind::Unavailable, "cannot reach the database"));
    let poor_component = component("poor");
    poor_component.opened(Arc::new(state_layers::Guarded { inner: Arc::new(poor) }));
    let rest = [poor_component, component("opening"), failing].map(Arc::new);
    [ready(Arc::new(whole))].into_iter().chain(rest).collect()
}

/// Sends the row on a connection of its own.
async fn check(served: &Served, row: &Row) -> Result<(), String> {
    let mut connection = served.connect().await;
    if row.is_truncated {
        connection.send(&row.request).await;
        connection.finish().await;
    }
    let request: &[u8] = if row.is_truncated { b"" } else { &row.request };
    let reply = connection.exchange(request).await;
    match (row.expected, reply) {
        (Expected::Closed, None) => Ok(()),
        (Expected::Bare(status), Some(reply)) if reply.status == status => Ok(()),
        (Expected::Refused { status, code, says }, Some(reply)) if reply.status == status => {
            let body = reply.json();
            let text = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
            let said = text("message") + " " + &text("hint");
            let checks = [
                (text("errorCode") == code, "another errorCode"),
                (said.contains(says), "the reason is not said"),
                (text("outcome") == "not_applied", "another outcome in the body"),
                (reply.header("state-outcome") == Some("not_applied"), "another state-outcome"),
                (reply.header("content-type") == Some("application/json"), "not called JSON"),
            ];
            match checks.iter().find(|(holds, _)| !holds) {
                Some((_, wrong)) => Err(format!("{wrong}: {reply:?}")),
                None => Ok(()),
            }
        }
        (expected, reply) => Err(format!("{reply:?} is not {expected:?}")),
    }
}
