//! `state.etcd`, in its two versions: a key of etcd for each key, with Dapr's names and values.
//!
//! Every write is one flat transaction of etcd, whose conditions are compared where it is committed. Deadlines are in the
//! numbers of leases (`lease.rs`). The calls are gRPC's own, on one connection to a member of which it is always known
//! what was sent (`connection.rs`), so that what is sent again was certainly not applied.

use std::sync::Arc;

use async_trait::async_trait;
use state::{Capabilities, Consistency, Item, Key, KeyPage, Read, Result, Store, Write, Written};
use state_config::Properties;

use self::{engine::Engine, layout::Version, members::Members, settings::Settings};
use crate::{Driver, Opening, waves::in_waves};

mod bulk;
mod connection;
mod engine;
mod layout;
mod lease;
mod leases;
mod members;
mod messages;
mod persistence;
mod plan;
mod promises;
mod read;
mod refusal;
mod settings;
mod write;

pub(crate) const V1: Driver = Driver {
    component: "state.etcd",
    aliases: &[],
    version: "v1",
    in_process: false,
    open: |properties| open(properties, Version::V1),
};

pub(crate) const V2: Driver =
    Driver { version: "v2", open: |properties| open(properties, Version::V2), ..V1 };

#[derive(Debug)]
struct EtcdStore {
    capabilities: Capabilities,
    engine: Engine,
}

fn open(properties: Properties, version: Version) -> Opening {
    Box::pin(async move {
        let Settings { endpoints, login, layout, operations_max, timeout } =
            Settings::parse(&properties, version)?;
        let members = Members::new(endpoints, login);
        let engine = Engine::new(members, layout, operations_max, timeout);
        let capabilities = engine.inspect().await?;
        Ok(Arc::new(EtcdStore { capabilities, engine }) as Arc<dyn Store>)
    })
}

#[async_trait]
impl Store for EtcdStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.engine.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.engine.write_alone(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.engine.transact(writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.engine.get_many(reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        in_waves(writes, |these| Box::pin(async move { self.engine.write_apart(&these).await }))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.engine.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        let read = Read { consistency: Consistency::Strong, ..Read::new(Key::stored("")) };
        self.engine.get(&read).await.map(drop)
    }
}
