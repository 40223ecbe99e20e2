//! `state.etcd`: a key for each value, in the layouts that Dapr reads and writes.
//!
//! Each write is one flat transaction of etcd, whose comparisons are all its conditions. A key's revision is its
//! ETag. `cluster` finds a member that answers, and knows what may be tried again; `lease` knows what has expired.

use std::sync::Arc;

use async_trait::async_trait;
use futures::{StreamExt, TryStreamExt, future::try_join_all, stream};
use state::{
    BULK_CONCURRENCY, Capabilities, Change, Consistency, Error, FailureKind, Item, Key, KeyPage,
    Read, Result, Store, Write, Written,
};
use tokio::time::Instant;

use self::{
    cluster::Cluster,
    encoding::Encoding,
    lease::Life,
    messages::{
        Empty, KeyValue, MemberListResponse, RangeRequest, RangeResponse, StatusResponse,
        TxnResponse,
    },
    plan::{Plan, Sight},
    refusal::Intent,
    settings::Settings,
};
use crate::{Driver, Opening};

mod cluster;
mod encoding;
mod lease;
mod messages;
mod plan;
mod promises;
mod refusal;
mod settings;

/// Values as they are.
pub(crate) const V1: Driver = driver("v1", |it| open(it, Encoding::Bytes));

/// Values in a message that says when they were written.
pub(crate) const V2: Driver = driver("v2", |it| open(it, Encoding::Message));

const fn driver(version: &'static str, open: fn(state_config::Properties) -> Opening) -> Driver {
    Driver { component: "state.etcd", aliases: &[], version, in_process: false, open }
}

fn open(properties: state_config::Properties, encoding: Encoding) -> Opening {
    Box::pin(async move {
        let settings = Settings::parse(&properties)?;
        Ok(Arc::new(EtcdStore::open(settings, encoding).await?) as Arc<dyn Store>)
    })
}

const RANGE: &str = "/etcdserverpb.KV/Range";
const TXN: &str = "/etcdserverpb.KV/Txn";

#[derive(Debug)]
struct EtcdStore {
    capabilities: Capabilities,
    encoding: Encoding,
    prefix: String,
    cluster: Arc<Cluster>,
}

impl EtcdStore {
    async fn open(settings: Settings, encoding: Encoding) -> Result<EtcdStore> {
        let cluster = Arc::new(Cluster::new(&settings));
        let deadline = cluster.deadline();
        let read = Intent::Read;
        let members: MemberListResponse =
            cluster.call("/etcdserverpb.Cluster/MemberList", Empty {}, read, deadline).await?;
        let status: StatusResponse =
            cluster.call("/etcdserverpb.Maintenance/Status", Empty {}, read, deadline).await?;
        let voters = members.members.iter().filter(|it| !it.is_learner).count();
        let capabilities =
            promises::capabilities(settings.transaction_len_max, voters, status.version);
        Ok(EtcdStore { capabilities, encoding, prefix: settings.prefix, cluster })
    }

    fn name(&self, key: &Key) -> Vec<u8> {
        [self.prefix.as_bytes(), key.as_str().as_bytes()].concat()
    }

    async fn range(&self, request: RangeRequest, deadline: Instant) -> Result<RangeResponse> {
        self.cluster.call(RANGE, request, Intent::Read, deadline).await
    }

    /// Makes the writes at one instant. Leases that nothing holds are given back.
    async fn commit(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let deadline = self.cluster.deadline();
        let mut puts = Vec::with_capacity(writes.len());
        let mut leases = Vec::new();
        for write in writes {
            puts.push(match &write.change {
                Change::Delete => None,
                Change::Put { value, ttl, .. } => {
                    let ttl = ttl.duration();
                    let lease = match ttl {
                        None => Ok(0),
                        Some(ttl) => lease::grant(&self.cluster, ttl, deadline).await,
                    };
                    let lease = lease.inspect_err(|_| self.give_back(&leases))?;
                    leases.extend((lease != 0).then_some(lease));
                    Some((self.encoding.encode(value, ttl), lease))
                }
            });
        }
        let plan = Plan::new(writes, |it| self.name(it));
        let revision = self.apply(&plan, &puts, deadline).await.inspect_err(|e| {
            if e.outcome() != state::Outcome::Unknown {
                self.give_back(&leases);
            }
        })?;
        Ok(plan.written(revision))
    }

    /// Tries until the transaction agrees with what was seen of the keys, and returns its revision.
    async fn apply(
        &self,
        plan: &Plan<'_>,
        puts: &[Option<(bytes::Bytes, i64)>],
        deadline: Instant,
    ) -> Result<i64> {
        let mut sights: Option<Vec<Sight>> = None;
        if !plan.compares() {
            let seen = try_join_all(plan.conditional().map(async |name| {
                let request = RangeRequest { keys_only: true, ..RangeRequest::of(name) };
                let answer = self.range(request, deadline).await?;
                self.sight(answer.kvs.first(), deadline).await
            }));
            plan.check(&seen.await?)?;
        }
        loop {
            let request = plan.request(sights.as_deref(), puts);
            let answer: TxnResponse =
                self.cluster.call(TXN, request, Intent::Write, deadline).await?;
            if answer.succeeded {
                let header = answer.header.ok_or_else(unreadable)?;
                return Ok(header.revision);
            }
            let found = answer.responses.iter().map(async |it| {
                let found = it.range.as_ref().and_then(|it| it.kvs.first());
                self.sight(found, deadline).await
            });
            let seen = try_join_all(found).await?;
            plan.check(&seen)?;
            if Instant::now() >= deadline {
                let message = "the keys were changed by others as often as it was tried";
                return Err(Error::new(FailureKind::Overloaded, message));
            }
            sights = Some(seen);
        }
    }

    async fn sight(&self, found: Option<&KeyValue>, deadline: Instant) -> Result<Sight> {
        let Some(found) = found else { return Ok(Sight { revision: 0, lives: false }) };
        let life = lease::life(&self.cluster, found.lease, deadline).await?;
        Ok(Sight { revision: found.mod_revision, lives: life != Life::Over })
    }

    fn give_back(&self, leases: &[i64]) {
        if leases.is_empty() {
            return;
        }
        let (cluster, leases) = (self.cluster.clone(), leases.to_vec());
        tokio::spawn(async move {
            for lease in leases {
                lease::revoke(&cluster, lease).await;
            }
        });
    }
}

#[async_trait]
impl Store for EtcdStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let deadline = self.cluster.deadline();
        let serializable = read.consistency == Consistency::Eventual;
        let request = RangeRequest { serializable, ..RangeRequest::of(&self.name(&read.key)) };
        let answer = self.range(request, deadline).await?;
        let Some(found) = answer.kvs.into_iter().next() else { return Ok(None) };
        let expires_at = match lease::life(&self.cluster, found.lease, deadline).await? {
            Life::Over => return Ok(None),
            Life::Endless => None,
            Life::Until(at) => Some(at),
        };
        let value = self.encoding.decode(found.value)?;
        Ok(Some(Item { value, etag: plan::etag(found.mod_revision), expires_at }))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let written = self.commit(std::slice::from_ref(write)).await?;
        written.into_iter().next().ok_or_else(unreadable)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.commit(writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let deadline = self.cluster.deadline();
        let first = [self.prefix.as_bytes(), prefix.as_bytes()].concat();
        let range_end = end_of(&first);
        let mut from = first;
        if let Some(after) = after {
            from = from.max(successor(&self.name(after)));
        }
        let mut page = KeyPage::default();
        loop {
            // One more, which tells whether there is more.
            let limit_here = i64::try_from(limit + 1 - page.keys.len()).unwrap_or(i64::MAX);
            if !range_end.is_empty() && from >= range_end {
                return Ok(page);
            }
            let request = RangeRequest {
                range_end: range_end.clone(),
                limit: limit_here,
                keys_only: true,
                ..RangeRequest::of(&from)
            };
            let answer = self.range(request, deadline).await?;
            let sights: Vec<_> =
                answer.kvs.iter().map(|it| self.sight(Some(it), deadline)).collect();
            let sights: Vec<Sight> =
                stream::iter(sights).buffered(BULK_CONCURRENCY).try_collect().await?;
            for (found, sight) in answer.kvs.iter().zip(sights) {
                // A key of another program may be no text; this store cannot have written it.
                if sight.lives
                    && let Ok(name) = str::from_utf8(&found.key)
                    && let Some(key) = name.strip_prefix(&self.prefix)
                {
                    if page.keys.len() == limit {
                        page.more = true;
                        return Ok(page);
                    }
                    page.keys.push(Key::stored(key));
                }
            }
            match answer.kvs.last() {
                Some(last) if answer.more => from = successor(&last.key),
                _ => return Ok(page),
            }
        }
    }

    async fn ping(&self) -> Result<()> {
        // A read of a key that need not be there: it needs a quorum, as writes do.
        let name = self.prefix.as_bytes();
        self.range(RangeRequest::of(name), self.cluster.deadline()).await.map(|_| ())
    }
}

/// The first name after this one.
fn successor(name: &[u8]) -> Vec<u8> {
    [name, b"\0"].concat()
}

/// The first name after all that begin with this one; etcd's own sign for "all", if there is none.
fn end_of(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end;
        }
    }
    vec![0]
}

fn unreadable() -> Error {
    Error::new(FailureKind::Lost, "etcd has answered something else than was asked")
}
