use std::ops::Range;

use prost::Message;
use sidecar_proto::{
    common::v1::{Etag, StateItem, StateOptions, state_options::StateConcurrency},
    runtime::v1::{
        DeleteStateRequest, ExecuteStateTransactionRequest, GetBulkStateRequest, GetStateRequest,
        SaveStateRequest, TransactionalStateOperation,
    },
};

use super::{STORE, TTL_SECONDS, Traffic};
use crate::{client::Request, operation::Operation};

impl Traffic {
    pub(super) fn grpc(
        &self,
        operation: Operation,
        keys: Range<usize>,
        etag: Option<&str>,
    ) -> Request {
        let mut item = self.item(self.key(keys.start));
        match operation {
            Operation::Get => return get(item.key),
            Operation::Delete => {
                let (store_name, key) = (STORE.to_owned(), item.key);
                let message = DeleteStateRequest { store_name, key, ..Default::default() };
                return call("DeleteState", &message);
            }
            Operation::Transaction => return self.transaction_message(keys),
            Operation::BulkGet => {
                let (store_name, keys) = (STORE.to_owned(), self.keys(keys).collect());
                let message = GetBulkStateRequest { store_name, keys, ..Default::default() };
                return call("GetBulkState", &message);
            }
            Operation::Save => {}
            Operation::SaveEtag => {
                item.etag = etag.map(|it| Etag { value: it.to_owned() });
                let concurrency = StateConcurrency::ConcurrencyFirstWrite.into();
                item.options = Some(StateOptions { concurrency, ..Default::default() });
            }
            Operation::SaveTtl => {
                item.metadata.insert("ttlInSeconds".to_owned(), TTL_SECONDS.to_owned());
            }
        }
        let message = SaveStateRequest { store_name: STORE.to_owned(), states: vec![item] };
        call("SaveState", &message)
    }

    fn transaction_message(&self, keys: Range<usize>) -> Request {
        let operation = |key| TransactionalStateOperation {
            operation_type: "upsert".to_owned(),
            request: Some(self.item(key)),
        };
        let message = ExecuteStateTransactionRequest {
            store_name: STORE.to_owned(),
            operations: self.keys(keys).map(operation).collect(),
            ..Default::default()
        };
        call("ExecuteStateTransaction", &message)
    }

    fn item(&self, key: String) -> StateItem {
        StateItem { key, value: self.value.clone(), ..StateItem::default() }
    }
}

pub(super) fn get(key: String) -> Request {
    let store_name = STORE.to_owned();
    call("GetState", &GetStateRequest { store_name, key, ..GetStateRequest::default() })
}

/// A message as gRPC sends it: that it is not compressed, its length, itself.
fn call(name: &'static str, message: &impl Message) -> Request {
    let len = message.encoded_len();
    let mut framed = Vec::with_capacity(5 + len);
    framed.push(0);
    framed.extend((len as u32).to_be_bytes());
    message.encode(&mut framed).expect("a vector grows");
    Request::Grpc(name, framed.into())
}
