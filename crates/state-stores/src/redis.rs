//! `state.redis`: a hash for each key, in the layout that Dapr reads and writes.
//!
//! Each operation is one script, which looks at the condition and writes value, version and lifetime at one
//! instant. All requests share a few connections. Servers may be one, with replicas, behind Sentinels, or a
//! cluster; `dispatch` finds the right one, and knows what may be tried again.

use std::sync::Arc;

use async_trait::async_trait;
use futures::future::{join_all, try_join_all};
use redis::{Value, cmd};
use state::{
    Capabilities, Error, FailureKind, Item, Key, KeyPage, Read, Result, Store, Write, Written,
};

use self::{
    call::Encoding,
    connector::{Connector, Greeting},
    dispatch::Dispatch,
    inspection::{Inspection, Probe},
    node::Node,
    refusal::{Intent, Refusal},
    replicas::Replicas,
    settings::Settings,
    topology::Topology,
};
use crate::{Driver, waves::in_waves};

mod address;
mod bulk;
mod call;
mod cluster;
mod confirmed;
mod connector;
mod dispatch;
mod election;
mod info;
mod inspection;
mod json;
mod line;
mod listing;
mod node;
mod promises;
mod refusal;
mod renewal;
mod replicas;
mod reply;
mod script;
mod sentinel;
mod settings;
mod slot;
mod topology;
mod values;

pub(crate) const DRIVER: Driver = Driver {
    component: "state.redis",
    aliases: &[],
    version: "v1",
    in_process: false,
    open: |properties| {
        Box::pin(async move {
            let settings = Settings::parse(&properties)?;
            Ok(Arc::new(RedisStore::open(&settings).await?) as Arc<dyn Store>)
        })
    },
};

#[derive(Debug)]
struct RedisStore {
    capabilities: Capabilities,
    encoding: Encoding,
    dispatch: Dispatch,
}

impl RedisStore {
    async fn open(settings: &Settings) -> Result<RedisStore> {
        let topology = Arc::new(Topology::open(settings).await?);
        let in_cluster = topology.is_cluster();
        let primaries = topology.primaries();
        let inspect = async |node: &Arc<Node>| {
            let is_here = |slot| topology.primary(slot).is_ok_and(|it| Arc::ptr_eq(&it, node));
            let probe = if in_cluster { Probe::here(is_here) } else { Probe::anywhere() };
            Inspection::of(node, &probe).await
        };
        let inspections: Vec<Inspection> = try_join_all(primaries.iter().map(inspect)).await?;
        let demand = promises::demand(settings, &inspections);
        let replicas = settings.reads_from_replicas.then(|| {
            let greeting = if in_cluster { Greeting::ReadOnly } else { Greeting::Answers };
            let connector = Connector::to_data(settings).greeting(greeting);
            Replicas::start(topology.clone(), connector)
        });
        Ok(RedisStore {
            capabilities: promises::capabilities(settings, demand, &inspections),
            encoding: Encoding {
                tags_keys: settings.tags_keys,
                has_json: inspections.iter().all(|it| it.has_json),
                ttl: settings.ttl,
                reads_from_replicas: settings.reads_from_replicas,
                confirms_reads: promises::confirms_reads(demand, &inspections),
            },
            dispatch: Dispatch::new(topology, replicas, demand, settings.timing.clone()),
        })
    }

    /// Writes that are independent of each other, and each of another key.
    async fn write_apart(&self, writes: &[&Write]) -> Vec<Result<Written>> {
        let calls = writes.iter().map(|it| self.encoding.write(std::slice::from_ref(*it)));
        let (mut good, mut answers) = (Vec::new(), Vec::with_capacity(writes.len()));
        for call in calls {
            answers.push(call.map(|it| good.push(it)));
        }
        let mut replies = self.dispatch.all(&good).await.into_iter();
        let mut next = || replies.next().expect("one reply for each call").and_then(one_written);
        answers.into_iter().map(|it| it.and_then(|()| next())).collect()
    }
}

#[async_trait]
impl Store for RedisStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let call = self.encoding.read(std::slice::from_ref(read));
        self.dispatch.one(&call).await.and_then(reply::item)
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let call = self.encoding.write(std::slice::from_ref(write))?;
        self.dispatch.one(&call).await.and_then(one_written)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        let call = self.encoding.write(writes)?;
        if self.dispatch.topology.is_cluster()
            && let Some(keys) = Encoding::apart(&call)
        {
            return Err(in_several_slots(&keys));
        }
        let reply = self.dispatch.one(&call).await?;
        reply::written(reply, writes.len())
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        bulk::get(&self.dispatch, &self.encoding, reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        in_waves(writes, |these| Box::pin(async move { self.write_apart(&these).await })).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let primaries = self.dispatch.topology.primaries();
        listing::list(&primaries, &self.encoding, prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        let primaries = self.dispatch.topology.primaries();
        let pings = primaries.iter().map(async |it| match it.ask(&cmd("PING")).await {
            Ok(Value::ServerError(e)) => Err(Refusal::of(&e, it.address(), Intent::Read).error()),
            Ok(_) => Ok(()),
            Err(silence) => Err(silence.error(Intent::Read)),
        });
        join_all(pings).await.into_iter().collect()
    }
}

fn one_written(reply: Value) -> Result<Written> {
    reply::written(reply, 1).map(|mut it| it.pop().expect("one answer for one write"))
}

fn in_several_slots((one, other): &(String, String)) -> Error {
    let message = format!(
        "the keys of a transaction must be in one slot of the redis cluster, and {one:?} and {other:?} are not: set \
         the metadata field hashTag to app, or a keyPrefix in braces such as {{shop}}, to keep all keys of \
         the application in one slot"
    );
    Error::new(FailureKind::Invalid, message)
}
