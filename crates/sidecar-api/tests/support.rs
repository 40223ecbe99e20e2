//! A sidecar that is served in this process, for as long as its [`Served`] lives.

#![allow(dead_code, reason = "every target uses a part of this")]

use std::{net::SocketAddr, path::Path, sync::Arc, time::Duration};

use futures::FutureExt;
use sidecar_api::{
    Component, Front, Identity, Limits, Listener, Protection, Service, Sidecar, grpc, http,
};
use sidecar_client::{GrpcStore, HttpStore, Protocol};
use state::{Result, Store};
use state_layers::{Plan, stack};
use tokio::{net::TcpListener, task::JoinHandle};

pub(crate) mod calls;
pub(crate) mod connection;
pub(crate) mod secure;

pub(crate) use connection::Connection;

/// The name of the store in every sidecar here.
pub(crate) const STORE: &str = "statestore";

/// The application that every sidecar here stands beside.
pub(crate) const APP_ID: &str = "cart";

/// How long a sidecar that is told to stop waits for its requests.
pub(crate) const GRACE: Duration = Duration::from_secs(5);

/// A sidecar that serves until this is dropped.
#[derive(Debug)]
pub(crate) struct Served {
    /// Of its HTTP API.
    pub(crate) address: SocketAddr,
    pub(crate) grpc_address: SocketAddr,
    pub(crate) sidecar: Arc<Sidecar>,
    /// Whether all requests were finished when it stopped.
    pub(crate) serving: JoinHandle<bool>,
}

impl Served {
    /// Serves one store, ready and in the standard layers, with the standard limits.
    pub(crate) async fn store(store: Arc<dyn Store>) -> Served {
        Served::components([ready(store)], Limits::default()).await
    }

    pub(crate) async fn components(
        components: impl IntoIterator<Item = Arc<Component>>,
        limits: Limits,
    ) -> Served {
        Served::start(Identity::default(), components, limits, GRACE).await
    }

    pub(crate) async fn start(
        identity: Identity,
        components: impl IntoIterator<Item = Arc<Component>>,
        limits: Limits,
        grace: Duration,
    ) -> Served {
        Served::front(front(identity, components, limits, Protection::default()), grace).await
    }

    /// On ports that `listener` makes something of.
    pub(crate) async fn listening(
        components: impl IntoIterator<Item = Arc<Component>>,
        limits: Limits,
        listener: impl Fn(TcpListener) -> Listener,
    ) -> Served {
        let front = front(Identity::default(), components, limits, Protection::default());
        Served::on(front, GRACE, listener).await
    }

    pub(crate) async fn front(front: Arc<Front>, grace: Duration) -> Served {
        Served::on(front, grace, Listener::Tcp).await
    }

    async fn on(
        front: Arc<Front>,
        grace: Duration,
        on: impl Fn(TcpListener) -> Listener,
    ) -> Served {
        let (listener, grpc_listener) = (free_port().await, free_port().await);
        let address = listener.local_addr().expect("it is bound");
        let grpc_address = grpc_listener.local_addr().expect("it is bound");
        let sidecar = front.sidecar.clone();
        let stopped = |sidecar: Arc<Sidecar>| {
            async move {
                sidecar.stopped().await;
            }
            .boxed()
        };
        let over_http =
            http::serve(front.clone(), vec![on(listener)], stopped(sidecar.clone()), grace);
        let over_grpc =
            grpc::serve(front, vec![on(grpc_listener)], stopped(sidecar.clone()), grace);
        let serving = tokio::spawn(async {
            let (http, grpc) = tokio::join!(over_http, over_grpc);
            http && grpc
        });
        Served { address, grpc_address, sidecar, serving }
    }

    /// A client of its store over gRPC.
    pub(crate) async fn grpc_client(&self) -> Result<Arc<dyn Store>> {
        let base_url = format!("http://{}", self.grpc_address);
        Ok(Arc::new(GrpcStore::connect(&base_url, STORE, None).await?))
    }

    /// A client of its store.
    pub(crate) async fn client(&self, protocol: Protocol) -> Result<Arc<dyn Store>> {
        let base_url = format!("http://{}", self.address);
        Ok(Arc::new(HttpStore::connect_over(protocol, &base_url, STORE, None).await?))
    }

    /// A connection for requests of any form.
    pub(crate) async fn connect(&self) -> Connection {
        Connection::open(self.address).await
    }
}

pub(crate) fn front(
    identity: Identity,
    components: impl IntoIterator<Item = Arc<Component>>,
    limits: Limits,
    protection: Protection,
) -> Arc<Front> {
    let identity = Identity { app_id: APP_ID.to_owned(), ..identity };
    let sidecar = Arc::new(Sidecar::new(identity, Service::new(APP_ID, components)));
    Arc::new(Front::new(sidecar, limits, protection))
}

async fn free_port() -> TcpListener {
    TcpListener::bind("127.0.0.1:0").await.expect("a port is free")
}

impl Drop for Served {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

/// A component that serves from `store` in the standard layers.
pub(crate) fn ready(store: Arc<dyn Store>) -> Arc<Component> {
    let component = Component::new(STORE, "state.in-memory", "v1", false);
    let plan =
        Plan { component: STORE.to_owned(), key_prefix: format!("{APP_ID}||"), ..Plan::default() };
    component.opened(stack(store, plan));
    Arc::new(component)
}

pub(crate) async fn memory() -> Arc<dyn Store> {
    open("state.in-memory", &[]).await.expect("memory can always be opened")
}

pub(crate) async fn sqlite(file: &Path) -> Result<Arc<dyn Store>> {
    let path = file.to_str().expect("a temporary directory has a plain name");
    open("state.sqlite", &[("connectionString", path)]).await
}

async fn open(component: &str, properties: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let driver = state_stores::driver(component).expect("its feature is on");
    (driver.open)(properties.iter().copied().collect()).await
}
