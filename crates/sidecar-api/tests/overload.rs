//! More is asked than there may be at once.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::join_all;
use sidecar_api::{Front, Identity, Limits, Protection, Service, Sidecar};
use sidecar_proto::runtime::v1::{GetStateRequest, SaveStateRequest};
use state::{Capabilities, Item, Key, KeyPage, Read, Result, Store, Write, Written};
use tokio::sync::Semaphore;
use tonic::Code;

use crate::support::{
    APP_ID, Connection, GRACE, STORE, Served,
    calls::{Calls, item},
    connection::request,
    memory, ready,
};

mod support;

const KEY_PATH: &str = "/v1.0/state/statestore/k";

/// A store that answers nothing until it is told to.
#[derive(Debug)]
struct Gated {
    inner: Arc<dyn Store>,
    gate: Semaphore,
}

impl Gated {
    async fn pass(&self) {
        self.gate.acquire().await.expect("it is never closed").forget();
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Gated {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.pass().await;
        self.inner.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.pass().await;
        self.inner.write(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.pass().await;
        self.inner.transact(writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.pass().await;
        self.inner.get_many(reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        self.pass().await;
        self.inner.write_many(writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

/// A sidecar whose stores have at most two requests under way, and one of them.
async fn gated() -> (Served, Arc<Gated>) {
    let store = Arc::new(Gated { inner: memory().await, gate: Semaphore::new(0) });
    let service = Service::new(APP_ID, [ready(store.clone())]).in_flight_max(2);
    let sidecar = Arc::new(Sidecar::new(Identity::default(), service));
    let front = Front::new(sidecar, Limits::default(), Protection::default());
    (Served::front(Arc::new(front), GRACE).await, store)
}

#[tokio::test]
async fn requests_beyond_the_limit_of_a_store_are_refused_at_once() {
    let (served, store) = gated().await;
    let one = async || {
        let mut connection = Connection::open(served.address).await;
        connection.exchange(&request("GET", KEY_PATH, &[], "")).await.unwrap()
    };
    let body = r#"[{"key": "k", "value": 1}]"#;
    let refused = async {
        // Those that are let in do not answer: the first answers are refusals.
        let mut connection = Connection::open(served.address).await;
        let path = "/v1.0/state/statestore";
        let reply = loop {
            let reply = connection.exchange(&request("POST", path, &[], body)).await.unwrap();
            if reply.status == 503 {
                break reply;
            }
        };
        let mut calls = Calls::to(served.grpc_address);
        let get =
            GetStateRequest { store_name: STORE.into(), key: "k".into(), ..Default::default() };
        let status = calls.0.get_state(get).await.unwrap_err();
        assert_eq!(status.code(), Code::Unavailable, "{status:?}");
        let bulk = r#"{"keys": ["k"]}"#;
        let refusal =
            connection.exchange(&request("POST", "/v1.0/state/statestore/bulk", &[], bulk)).await;
        assert_eq!(refusal.unwrap().status, 503);
        store.gate.add_permits(100);
        reply
    };
    let (first, second, refused) = tokio::join!(one(), one(), async {
        // Both are inside before anybody else asks.
        while served.sidecar.service.component(STORE).unwrap().in_flight() < 2 {
            tokio::task::yield_now().await;
        }
        refused.await
    });
    assert_eq!((first.status, second.status), (204, 204));
    assert!(refused.body.contains("ERR_STATE_STORE_OVERLOADED"), "{refused:?}");
    assert!(
        refused.body.contains("not_applied") && refused.header("retry-after") == Some("1"),
        "{refused:?}"
    );
    // What was refused was not done, and there is room again.
    assert_eq!(one().await.status, 204);
    assert_eq!(served.sidecar.service.component(STORE).unwrap().in_flight(), 0);
}

#[tokio::test]
async fn bodies_for_which_there_is_no_room_are_refused() {
    let store = Arc::new(Gated { inner: memory().await, gate: Semaphore::new(0) });
    let limits = Limits { in_flight_bytes_max: 3000, ..Limits::default() };
    let sidecar = Service::new(APP_ID, [ready(store.clone())]);
    let sidecar = Arc::new(Sidecar::new(Identity::default(), sidecar));
    let front = Front::new(sidecar, limits, Protection::default());
    let served = Served::front(Arc::new(front), GRACE).await;
    let large = format!(r#"[{{"key": "k", "value": "{}"}}]"#, "x".repeat(1200));
    let save = async || {
        let mut connection = Connection::open(served.address).await;
        let message = request("POST", "/v1.0/state/statestore", &[], &large);
        connection.exchange(&message).await.unwrap()
    };
    let saves = join_all((0..2).map(|_| save()));
    let third = async {
        while served.sidecar.service.component(STORE).unwrap().in_flight() < 2 {
            tokio::task::yield_now().await;
        }
        let refused = save().await;
        assert!(refused.status == 503 && refused.body.contains("ERR_OVERLOADED"), "{refused:?}");
        let mut calls = Calls::to(served.grpc_address);
        let states = vec![item("k", "x".repeat(1200).as_bytes())];
        let status =
            calls.0.save_state(SaveStateRequest { store_name: STORE.into(), states }).await;
        let status = status.unwrap_err();
        assert!(
            status.code() == Code::Unavailable && status.message().contains("bodies"),
            "{status:?}"
        );
        store.gate.add_permits(100);
    };
    let (saved, ()) = tokio::join!(saves, third);
    assert!(saved.iter().all(|it| it.status == 204), "{saved:?}");
    // The room is given back.
    for _ in 0..10 {
        assert_eq!(save().await.status, 204);
    }
}
