//! The calls of Dapr's service: translations from messages to [`StoreHandle`](crate::StoreHandle) and back.

use std::{borrow::Cow, collections::HashMap, sync::Arc};

use prost::Message;
use sidecar_proto::{
    common::v1::{
        StateItem, StateOptions,
        state_options::{StateConcurrency, StateConsistency},
    },
    runtime::v1::{
        BulkStateItem, DeleteBulkStateRequest, DeleteStateRequest, ExecuteStateTransactionRequest,
        GetBulkStateRequest, GetBulkStateResponse, GetMetadataRequest, GetMetadataResponse,
        GetStateRequest, GetStateResponse, SaveStateRequest, SetMetadataRequest, ShutdownRequest,
        dapr_server::Dapr,
    },
};
use state::{Item, Metadata, Read, Write, Written};
use tonic::{Request, Response, Status};

use super::{metadata, status};
use crate::{
    ApiError, Front, Stop, StoreHandle,
    error::with_causes,
    vocabulary::{self, Operation, Options, Wish},
};

/// Answers calls.
#[derive(Debug)]
pub(super) struct Calls(pub(super) Arc<Front>);

type Answer<T> = Result<Response<T>, Status>;

/// Whether a call changes nothing.
pub(super) fn is_read(call: &str) -> bool {
    matches!(call, "GetState" | "GetBulkState" | "GetMetadata")
}

#[tonic::async_trait]
impl Dapr for Calls {
    async fn get_state(&self, request: Request<GetStateRequest>) -> Answer<GetStateResponse> {
        let it = request.into_inner();
        let store = self.store(&it.store_name)?;
        let options = Options { consistency: Some(consistency(it.consistency)), concurrency: None };
        let metadata = of_request(it.metadata)?;
        let wish = Wish { key: &it.key, etag: "", options, metadata };
        let answer =
            store.get(&wish.read(&store)?).await?.map_or_else(GetStateResponse::default, |it| {
                GetStateResponse { etag: etag(&it), metadata: expiry(&it), data: it.value }
            });
        self.within_limit(answer)
    }

    async fn get_bulk_state(
        &self,
        request: Request<GetBulkStateRequest>,
    ) -> Answer<GetBulkStateResponse> {
        let it = request.into_inner();
        let store = self.store(&it.store_name)?;
        vocabulary::check_len(it.keys.len())?;
        let metadata = of_request(it.metadata)?;
        let read =
            |key: &String| Wish { key, metadata: metadata.clone(), ..Wish::default() }.read(&store);
        let reads: Vec<Read> = it.keys.iter().map(read).collect::<Result<_, ApiError>>()?;
        let answers = if reads.is_empty() { Vec::new() } else { store.get_many(&reads).await? };
        let items = it.keys.into_iter().zip(answers).map(|(key, it)| found(key, it)).collect();
        self.within_limit(GetBulkStateResponse { items })
    }

    async fn save_state(&self, request: Request<SaveStateRequest>) -> Answer<()> {
        let it = request.into_inner();
        let store = self.store(&it.store_name)?;
        vocabulary::check_len(it.states.len())?;
        let put = |it| put(it, Metadata::new(), &store);
        let writes: Vec<Write> = it.states.into_iter().map(put).collect::<Result<_, _>>()?;
        Ok(with_etags(&store.save(&writes).await?))
    }

    async fn delete_state(&self, request: Request<DeleteStateRequest>) -> Answer<()> {
        let DeleteStateRequest { store_name, key, etag, options, metadata } = request.into_inner();
        let store = self.store(&store_name)?;
        let item = StateItem { key, etag, options, metadata, value: Default::default() };
        store.delete(&delete(&item, Metadata::new(), &store)?).await?;
        Ok(Response::new(()))
    }

    async fn delete_bulk_state(&self, request: Request<DeleteBulkStateRequest>) -> Answer<()> {
        let it = request.into_inner();
        let store = self.store(&it.store_name)?;
        vocabulary::check_len(it.states.len())?;
        let delete = |it| delete(it, Metadata::new(), &store);
        let writes: Vec<Write> = it.states.iter().map(delete).collect::<Result<_, _>>()?;
        store.delete_many(&writes).await?;
        Ok(Response::new(()))
    }

    async fn execute_state_transaction(
        &self,
        request: Request<ExecuteStateTransactionRequest>,
    ) -> Answer<()> {
        let it = request.into_inner();
        let store = self.store(&it.store_name)?;
        store.check_transactions()?;
        store.check_transaction_len(it.operations.len())?;
        let common = of_request(it.metadata)?;
        let mut writes = Vec::with_capacity(it.operations.len());
        for it in it.operations {
            let item = it.request.unwrap_or_default();
            writes.push(match vocabulary::operation(&it.operation_type)? {
                Operation::Upsert => put(item, common.clone(), &store)?,
                Operation::Delete => delete(&item, common.clone(), &store)?,
            });
        }
        Ok(with_etags(&store.transact(&writes).await?))
    }

    async fn get_metadata(&self, _: Request<GetMetadataRequest>) -> Answer<GetMetadataResponse> {
        Ok(Response::new(metadata::of(&self.0.sidecar)))
    }

    async fn set_metadata(&self, request: Request<SetMetadataRequest>) -> Answer<()> {
        let SetMetadataRequest { key, value } = request.into_inner();
        self.0.sidecar.set_metadata(&key, value)?;
        Ok(Response::new(()))
    }

    async fn shutdown(&self, _: Request<ShutdownRequest>) -> Answer<()> {
        self.0.sidecar.stop(Stop::Gracefully);
        Ok(Response::new(()))
    }
}

impl Calls {
    fn store(&self, name: &str) -> Result<StoreHandle, ApiError> {
        self.0.sidecar.service.store(name)
    }

    /// Refuses an answer that the client would not take, nor the library send.
    fn within_limit<T: Message>(&self, answer: T) -> Answer<T> {
        let (len, max) = (answer.encoded_len(), self.0.limits.body_bytes_max);
        if len <= max {
            return Ok(Response::new(answer));
        }
        let message = format!("the answer has {len} bytes, which is more than the limit of {max}");
        let hint = "ask for fewer keys at once, raise the limit with --max-body-size here and in \
                    the client, or read over HTTP, where answers have no limit";
        Err(ApiError::too_large(message).hint(hint).into())
    }
}

fn put(mut item: StateItem, common: Metadata, store: &StoreHandle) -> Result<Write, ApiError> {
    // A copy of the exact size: a slice would keep the buffer of the whole message alive.
    let value = bytes::Bytes::copy_from_slice(&std::mem::take(&mut item.value));
    let wish = wish(&item, common)?;
    let format = vocabulary::format_of(&value, &wish.metadata)?;
    wish.put(store, value, format)
}

fn delete(item: &StateItem, common: Metadata, store: &StoreHandle) -> Result<Write, ApiError> {
    wish(item, common)?.delete(store)
}

fn wish(item: &StateItem, common: Metadata) -> Result<Wish<'_>, ApiError> {
    let options = item.options.unwrap_or_default();
    let own = item.metadata.iter().map(|(name, value)| (name.clone(), value.clone())).collect();
    Ok(Wish {
        key: &item.key,
        etag: item.etag.as_ref().map_or("", |it| &it.value),
        options: Options {
            concurrency: Some(concurrency(options)),
            consistency: Some(consistency(options.consistency)),
        },
        metadata: vocabulary::merged(common, &own)?,
    })
}

/// The metadata of a whole request.
fn of_request(metadata: HashMap<String, String>) -> Result<Metadata, ApiError> {
    let metadata = metadata.into_iter().collect();
    vocabulary::check_shared(&metadata)?;
    Ok(metadata)
}

/// The word for a number. One that stands for nothing becomes a word that nobody knows.
fn concurrency(options: StateOptions) -> Cow<'static, str> {
    match StateConcurrency::try_from(options.concurrency) {
        Ok(StateConcurrency::ConcurrencyUnspecified) => "".into(),
        Ok(StateConcurrency::ConcurrencyFirstWrite) => "first-write".into(),
        Ok(StateConcurrency::ConcurrencyLastWrite) => "last-write".into(),
        Err(_) => options.concurrency.to_string().into(),
    }
}

fn consistency(number: i32) -> Cow<'static, str> {
    match StateConsistency::try_from(number) {
        Ok(StateConsistency::ConsistencyUnspecified) => "".into(),
        Ok(StateConsistency::ConsistencyEventual) => "eventual".into(),
        Ok(StateConsistency::ConsistencyStrong) => "strong".into(),
        Err(_) => number.to_string().into(),
    }
}

fn found(key: String, answer: state::Result<Option<Item>>) -> BulkStateItem {
    match answer {
        Err(e) => BulkStateItem { key, error: with_causes(&e), ..Default::default() },
        Ok(None) => BulkStateItem { key, ..Default::default() },
        Ok(Some(it)) => BulkStateItem {
            key,
            etag: etag(&it),
            metadata: expiry(&it),
            data: it.value,
            error: String::new(),
        },
    }
}

fn etag(item: &Item) -> String {
    item.etag.as_ref().map_or_else(String::new, |it| it.as_str().to_owned())
}

fn expiry(item: &Item) -> HashMap<String, String> {
    let expiry = vocabulary::expiry(item.expires_at);
    expiry.into_iter().map(|(name, time)| (name.to_owned(), time)).collect()
}

/// An empty answer with the new versions in its metadata.
fn with_etags(written: &[Written]) -> Response<()> {
    let mut response = Response::new(());
    let etags = written.iter().map(|it| it.etag.as_ref().map_or("", |it| it.as_str()));
    status::tell_etags(response.metadata_mut(), etags);
    response
}
