//! A plain gRPC client, and the stores that make calls go wrong.

use std::{collections::HashMap, future::pending, net::SocketAddr, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use hyper::Uri;
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use sidecar_proto::{
    common::v1::{Etag, StateItem},
    runtime::v1::{
        DeleteStateRequest, GetStateRequest, GetStateResponse, SaveStateRequest,
        dapr_client::DaprClient,
    },
};
use state::{Capabilities, Item, Read, Result, Store, Write, Written};
use tonic::{Response, Status, body::Body, client::GrpcService};
use tonic_types::{ErrorInfo, StatusExt};

use super::{STORE, memory};

pub(crate) type Transport<C = HttpConnector> = Client<C, Body>;

/// A client with one connection of its own.
pub(crate) fn transport() -> Transport {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(true).build(connector)
}

pub(crate) fn origin(address: SocketAddr) -> Uri {
    format!("http://{address}").parse().expect("an address is one")
}

type BoxError = Box<dyn std::error::Error + Send + Sync>;

/// The calls that most tests make.
#[derive(Clone, Debug)]
pub(crate) struct Calls<T = Transport>(pub(crate) DaprClient<T>);

impl Calls {
    pub(crate) fn to(address: SocketAddr) -> Calls {
        Calls(DaprClient::with_origin(transport(), origin(address)))
    }
}

impl<T> Calls<T>
where
    T: GrpcService<Body, ResponseBody: hyper::body::Body<Data = Bytes> + Send + 'static>,
    T::Error: Into<BoxError>,
    <T::ResponseBody as hyper::body::Body>::Error: Into<BoxError> + Send,
{
    pub(crate) async fn get(&mut self, key: &str) -> Result<GetStateResponse, Status> {
        let message = GetStateRequest {
            store_name: STORE.to_owned(),
            key: key.to_owned(),
            ..Default::default()
        };
        self.0.get_state(message).await.map(Response::into_inner)
    }

    pub(crate) async fn save(&mut self, states: Vec<StateItem>) -> Result<Vec<String>, Status> {
        let message = SaveStateRequest { store_name: STORE.to_owned(), states };
        self.0.save_state(message).await.map(|it| etags(it.metadata()))
    }

    pub(crate) async fn delete(&mut self, key: &str, etag: &str) -> Result<(), Status> {
        let message = DeleteStateRequest {
            store_name: STORE.to_owned(),
            key: key.to_owned(),
            etag: Some(Etag { value: etag.to_owned() }),
            ..Default::default()
        };
        self.0.delete_state(message).await.map(drop)
    }
}

pub(crate) fn item(key: &str, value: &[u8]) -> StateItem {
    StateItem { key: key.to_owned(), value: value.to_vec().into(), ..Default::default() }
}

pub(crate) fn with_etag(item: StateItem, etag: &str) -> StateItem {
    StateItem { etag: Some(Etag { value: etag.to_owned() }), ..item }
}

pub(crate) fn with_metadata(item: StateItem, name: &str, value: &str) -> StateItem {
    StateItem { metadata: HashMap::from([(name.to_owned(), value.to_owned())]), ..item }
}

pub(crate) fn etags(metadata: &tonic::metadata::MetadataMap) -> Vec<String> {
    let text = |it: &tonic::metadata::AsciiMetadataValue| it.to_str().unwrap_or("?").to_owned();
    metadata.get_all("etag").iter().map(text).collect()
}

/// What every error of ours has.
pub(crate) fn info(status: &Status) -> ErrorInfo {
    status.get_details_error_info().unwrap_or_else(|| panic!("{status:?} has no ErrorInfo"))
}

pub(crate) fn outcome(status: &Status) -> String {
    info(status).metadata.get("outcome").cloned().unwrap_or_default()
}

/// A store that panics on the key `panic`, and never answers about the key `wait`.
#[derive(Debug)]
pub(crate) struct Troubled(Arc<dyn Store>);

impl Troubled {
    pub(crate) async fn new() -> Troubled {
        Troubled(memory().await)
    }

    async fn trouble(&self, key: &str) {
        match key.rsplit('|').next() {
            Some("panic") => panic!("on purpose"),
            Some("wait") => pending().await,
            _ => {}
        }
    }
}

#[async_trait]
impl Store for Troubled {
    fn capabilities(&self) -> &Capabilities {
        self.0.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.trouble(read.key.as_str()).await;
        self.0.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.trouble(write.key.as_str()).await;
        self.0.write(write).await
    }

    async fn ping(&self) -> Result<()> {
        self.0.ping().await
    }
}
