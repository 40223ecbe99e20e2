use std::{collections::HashMap, future::Future, sync::Arc};

use async_trait::async_trait;
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use serde_json::Value;
use sidecar_proto::{
    common::v1::{
        Etag, StateItem, StateOptions,
        state_options::{StateConcurrency, StateConsistency},
    },
    runtime::v1::{
        BulkStateItem, DeleteBulkStateRequest, DeleteStateRequest, ExecuteStateTransactionRequest,
        GetBulkStateRequest, GetMetadataRequest, GetStateRequest, SaveStateRequest,
        TransactionalStateOperation, dapr_client::DaprClient,
    },
};
use state::{
    Capabilities, Change, Consistency, ETag, Error, FailureKind, Format, Item, Metadata,
    Precondition, Read, Result, Store, Write, Written, each, each_in_order,
};
use tonic::{
    Request, Response, Status,
    body::Body,
    metadata::{AsciiMetadataValue, MetadataMap},
};

use crate::{
    capabilities,
    connection::{ANSWER_TIME_MAX, Protocol, TOKEN, client, origin},
    wire,
};

mod failure;

/// A store reached through a sidecar's gRPC API.
///
/// Carries any bytes. The API has no listing.
#[derive(Debug)]
pub struct GrpcStore {
    client: DaprClient<Client<HttpConnector, Body>>,
    token: Option<AsciiMetadataValue>,
    store_name: String,
    capabilities: Arc<Capabilities>,
}

/// More than any sidecar sends: the limit is the sidecar's.
const MESSAGE_BYTES_MAX: usize = 1 << 30;

impl GrpcStore {
    /// Connects to the sidecar whose gRPC API is at `base_url`, such as `http://127.0.0.1:50001`, and asks it what its
    /// component `store_name` can do. `token` is the API token that the sidecar asks for, if it does.
    ///
    /// # Errors
    ///
    /// If it does not answer, or the component does not exist or is not ready.
    pub async fn connect(
        base_url: &str,
        store_name: &str,
        token: Option<&str>,
    ) -> Result<GrpcStore> {
        let origin = origin(base_url.trim_end_matches('/'))?;
        let token = token.map(AsciiMetadataValue::try_from).transpose().map_err(|e| {
            Error::new(FailureKind::Invalid, "the API token is no header").with_source(e)
        })?;
        let client = DaprClient::with_origin(client(Protocol::Http2), origin)
            .max_decoding_message_size(MESSAGE_BYTES_MAX)
            .max_encoding_message_size(MESSAGE_BYTES_MAX);
        let capabilities = Arc::new(capabilities::told(&[], &Value::Null));
        let mut it = GrpcStore { client, token, store_name: store_name.to_owned(), capabilities };
        it.capabilities = Arc::new(it.ask().await?);
        Ok(it)
    }

    async fn ask(&self) -> Result<Capabilities> {
        let mut client = self.client.clone();
        let metadata = self.call(client.get_metadata(self.request(GetMetadataRequest {}))).await?;
        let components = metadata.into_inner().registered_components;
        let Some(component) = components.into_iter().find(|it| it.name == self.store_name) else {
            let message = format!("the sidecar has no component called {}", self.store_name);
            return Err(Error::new(FailureKind::Invalid, message));
        };
        // Dapr has no status: a sidecar that answers has opened everything.
        if !["", "ready"].contains(&component.status.as_str()) {
            let message = format!("the sidecar's component {} is not ready", self.store_name);
            return Err(Error::new(FailureKind::Unavailable, message));
        }
        let names: Vec<&str> = component.capabilities.iter().map(String::as_str).collect();
        let promises = serde_json::from_str(&component.promises).unwrap_or_default();
        Ok(capabilities::told(&names, &promises))
    }

    fn request<T>(&self, message: T) -> Request<T> {
        let mut request = Request::new(message);
        if let Some(token) = &self.token {
            request.metadata_mut().insert(TOKEN, token.clone());
        }
        request
    }

    /// Waits for an answer, but not for ever.
    async fn call<T>(
        &self,
        answering: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Response<T>> {
        self.call_for_status(answering).await?.map_err(|it| failure::of(&it))
    }

    async fn call_for_status<T>(
        &self,
        answering: impl Future<Output = Result<Response<T>, Status>>,
    ) -> Result<Result<Response<T>, Status>> {
        let answered = tokio::time::timeout(ANSWER_TIME_MAX, answering).await;
        answered.map_err(|_| Error::new(FailureKind::Lost, "the sidecar did not answer in time"))
    }

    /// Reads `reads`, which have the same metadata and are not strong, with one call.
    async fn get_alike(&self, reads: &[Read]) -> Result<Vec<BulkStateItem>> {
        let message = GetBulkStateRequest {
            store_name: self.store_name.clone(),
            keys: reads.iter().map(|it| it.key.as_str().to_owned()).collect(),
            parallelism: 0,
            metadata: reads.first().map(|it| copied(&it.metadata)).unwrap_or_default(),
        };
        let mut client = self.client.clone();
        Ok(self.call(client.get_bulk_state(self.request(message))).await?.into_inner().items)
    }
}

#[async_trait]
impl Store for GrpcStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let message = GetStateRequest {
            store_name: self.store_name.clone(),
            key: read.key.as_str().to_owned(),
            consistency: consistency(read.consistency).into(),
            metadata: copied(&read.metadata),
        };
        let mut client = self.client.clone();
        let it = self.call(client.get_state(self.request(message))).await?.into_inner();
        Ok(found(it.data, &it.etag, &it.metadata))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let mut client = self.client.clone();
        let store_name = self.store_name.clone();
        let item = item(write);
        if wire::is_delete(write) {
            let StateItem { key, etag, options, metadata, .. } = item;
            let message = DeleteStateRequest { store_name, key, etag, options, metadata };
            self.call(client.delete_state(self.request(message))).await?;
            return Ok(Written { etag: None });
        }
        let message = SaveStateRequest { store_name, states: vec![item] };
        let response = self.call(client.save_state(self.request(message))).await?;
        Ok(written(response.metadata(), 1).remove(0))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let operation = |it: &Write| TransactionalStateOperation {
            operation_type: if wire::is_delete(it) { "delete" } else { "upsert" }.to_owned(),
            request: Some(item(it)),
        };
        let message = ExecuteStateTransactionRequest {
            store_name: self.store_name.clone(),
            operations: writes.iter().map(operation).collect(),
            metadata: HashMap::new(),
        };
        let mut client = self.client.clone();
        let response = self.call(client.execute_state_transaction(self.request(message))).await?;
        Ok(written(response.metadata(), writes.len()))
    }

    /// One call if all reads have the same metadata, for which it has room only once, and none is strong, for which it
    /// has none.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let Some(first) = reads.first() else { return Vec::new() };
        let is_alike =
            |it: &Read| it.consistency == Consistency::Eventual && it.metadata == first.metadata;
        if !reads.iter().all(is_alike) {
            return each(reads, |it| self.get(it)).await;
        }
        let items = match self.get_alike(reads).await {
            Ok(items) => items,
            Err(e) => return wire::for_each_of(reads.len(), &e),
        };
        let by_key: HashMap<_, _> = items.iter().map(|it| (it.key.as_str(), it)).collect();
        let answer = |read: &Read| match by_key.get(read.key.as_str()) {
            None => Err(Error::new(FailureKind::Lost, "the answer to a bulk get lacks a key")),
            Some(it) if !it.error.is_empty() => {
                Err(Error::new(FailureKind::Lost, it.error.clone()))
            }
            Some(it) => Ok(found(it.data.clone(), &it.etag, &it.metadata)),
        };
        reads.iter().map(answer).collect()
    }

    /// One call if all writes are puts, or all are deletes.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let deletes = writes.iter().filter(|it| wire::is_delete(it)).count();
        if writes.len() < 2 || (deletes > 0 && deletes < writes.len()) {
            return each_in_order(writes, |it| self.write(it)).await;
        }
        let mut client = self.client.clone();
        let (store_name, states) = (self.store_name.clone(), writes.iter().map(item).collect());
        let answered = if deletes > 0 {
            let message = DeleteBulkStateRequest { store_name, states };
            self.call_for_status(client.delete_bulk_state(self.request(message))).await
        } else {
            let message = SaveStateRequest { store_name, states };
            self.call_for_status(client.save_state(self.request(message))).await
        };
        match answered {
            Ok(Ok(it)) => written(it.metadata(), writes.len()).into_iter().map(Ok).collect(),
            Ok(Err(status)) => failure::of_each(&status, written(status.metadata(), writes.len())),
            Err(e) => wire::for_each_of(writes.len(), &e),
        }
    }

    async fn ping(&self) -> Result<()> {
        self.ask().await.map(drop)
    }
}

fn item(write: &Write) -> StateItem {
    let mut metadata = copied(&write.metadata);
    let value = match &write.change {
        Change::Delete => Default::default(),
        Change::Put { value, format, ttl } => {
            metadata.extend(wire::lifetime(*ttl));
            if *format == Format::Json {
                metadata.insert("contentType".to_owned(), "application/json".to_owned());
            }
            value.clone()
        }
    };
    let (etag, concurrency) = match &write.precondition {
        Precondition::Any => (None, StateConcurrency::ConcurrencyUnspecified),
        Precondition::Absent => (None, StateConcurrency::ConcurrencyFirstWrite),
        Precondition::Matches(etag) => (
            Some(Etag { value: etag.as_str().to_owned() }),
            StateConcurrency::ConcurrencyUnspecified,
        ),
    };
    let options = StateOptions {
        concurrency: concurrency.into(),
        consistency: consistency(write.consistency).into(),
    };
    StateItem { key: write.key.as_str().to_owned(), value, etag, metadata, options: Some(options) }
}

fn consistency(it: Consistency) -> StateConsistency {
    match it {
        Consistency::Eventual => StateConsistency::ConsistencyUnspecified,
        Consistency::Strong => StateConsistency::ConsistencyStrong,
    }
}

fn copied(metadata: &Metadata) -> HashMap<String, String> {
    metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
}

/// What is there; nothing has an ETag unless something is, and every store of ours has ETags.
fn found(value: bytes::Bytes, etag: &str, metadata: &HashMap<String, String>) -> Option<Item> {
    let etag = ETag::new(etag);
    if etag.is_none() && value.is_empty() {
        return None;
    }
    let expires_at = metadata.get("ttlExpireTime").and_then(|it| wire::expiry(it));
    Some(Item { value, etag, expires_at })
}

/// The new versions of `len` writes, as the metadata of a response has them, if it has.
fn written(metadata: &MetadataMap, len: usize) -> Vec<Written> {
    let told = metadata.get_all("etag").into_iter();
    let mut all: Vec<Written> =
        told.map(|it| Written { etag: it.to_str().ok().and_then(ETag::new) }).collect();
    all.resize_with(len, || Written { etag: None });
    all
}
