//! A primary with two replicas, and three sentinels that replace it.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use real_servers::{
    redis::{MASTER_NAME, Redis, Sentinels},
    until,
};

use super::{ASYNCHRONOUS, at, deposed, options, primaries, spec, statistics, successor, whole};
use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    fault::FaultKind,
};

pub(crate) const CELL: Cell = Cell {
    name: "redis-sentinel",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillPrimary,
        FaultKind::PausePrimary,
        FaultKind::SwitchPrimary,
        FaultKind::KillSentinel,
        FaultKind::PauseReplica,
    ],
    may_lose: &[
        (FaultKind::KillPrimary, ASYNCHRONOUS),
        (FaultKind::PausePrimary, ASYNCHRONOUS),
        (FaultKind::SwitchPrimary, ASYNCHRONOUS),
    ],
};

const SENTINELS: usize = 3;
const REPLICAS: usize = 2;

#[derive(Debug)]
struct Watched {
    servers: Sentinels,
    rng: Rng,
    /// The server, or the sentinel, that the last harm was done to.
    victim: Option<SocketAddr>,
    /// How many sidecars have lost the sentinel that they listened to.
    deserted: u64,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let servers = Sentinels::start(SENTINELS, REPLICAS, &options()).await?;
    Ok(Box::new(Watched { servers, rng: Rng::with_seed(setup.seed), victim: None, deserted: 0 }))
}

#[async_trait]
impl Tortured for Watched {
    fn spec(&self, _sidecar: usize) -> String {
        let strong = REPLICAS.to_string();
        let more = [
            ("failover", "true"),
            ("sentinelMasterName", MASTER_NAME),
            ("strongReplicas", strong.as_str()),
        ];
        spec(&self.servers.addresses(), &more)
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        let victim = match fault {
            FaultKind::KillPrimary | FaultKind::PausePrimary | FaultKind::SwitchPrimary => {
                let primary = self.servers.primary().await?;
                primary.context("the sentinels disagree about the primary")?
            }
            FaultKind::KillSentinel => self.most_heard().await?,
            FaultKind::PauseReplica => {
                let primaries = primaries(self.servers.nodes()).await?;
                let replicas = self.servers.nodes().iter();
                let replicas = replicas.filter(|it| !primaries.contains(&it.address()));
                let replicas: Vec<_> = replicas.collect();
                self.rng.choice(replicas).context("there is no replica")?
            }
            _ => bail!("Redis with sentinels cannot be harmed in this way: {fault:?}"),
        };
        let address = victim.address();
        match fault {
            FaultKind::SwitchPrimary => self.fail_over().await?,
            FaultKind::KillSentinel => {
                let listeners = statistics::listeners(victim).await?;
                victim.process().kill()?;
                self.deserted += listeners;
            }
            FaultKind::KillPrimary => victim.process().kill()?,
            _ => victim.process().pause()?,
        }
        self.victim = Some(address);
        Ok(())
    }

    async fn succeeded(&mut self) -> Result<()> {
        let before: Vec<_> = self.victim.into_iter().collect();
        successor(self.servers.nodes(), &before).await.map(drop)
    }

    async fn deposed(&mut self) -> Result<()> {
        deposed(at(self.servers.nodes(), self.victim)?).await
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        let nodes = self.servers.nodes();
        match fault {
            FaultKind::KillPrimary => at(nodes, self.victim)?.process().restart().await?,
            FaultKind::PausePrimary | FaultKind::PauseReplica => {
                at(nodes, self.victim)?.process().resume()?;
            }
            FaultKind::KillSentinel => {
                at(self.servers.sentinels(), self.victim)?.process().restart().await?;
            }
            _ => {}
        }
        whole(nodes, 1).await?;
        until("the sentinels to find everyone well", || self.is_watched()).await
    }

    fn meetings(&self) -> u64 {
        self.deserted
    }
}

impl Watched {
    /// The sentinel that most sidecars listen to.
    async fn most_heard(&self) -> Result<&Redis> {
        let mut most = None;
        for sentinel in self.servers.sentinels() {
            let listeners = statistics::listeners(sentinel).await?;
            if most.is_none_or(|(count, _)| listeners > count) {
                most = Some((listeners, sentinel));
            }
        }
        Ok(most.context("there is no sentinel")?.1)
    }

    /// Has the sentinels replace the primary, as soon as they are willing to after the last time.
    async fn fail_over(&self) -> Result<()> {
        let sentinel = self.servers.sentinels().first().context("there is no sentinel")?;
        until("a sentinel to begin a failover", || async {
            sentinel.command(&["SENTINEL", "FAILOVER", MASTER_NAME]).await?.ok()?;
            Ok(true)
        })
        .await
    }

    /// Whether all sentinels have the same primary and find it and every replica well, so that the next failover can
    /// begin.
    async fn is_watched(&self) -> Result<bool> {
        for sentinel in self.servers.sentinels() {
            let master = sentinel.command(&["SENTINEL", "MASTER", MASTER_NAME]).await?;
            let replicas =
                sentinel.command(&["SENTINEL", "REPLICAS", MASTER_NAME]).await?.array()?;
            let mut well = 0;
            for replica in replicas {
                well += usize::from(field(replica, "flags")?.as_deref() == Some("slave"));
            }
            if field(master, "flags")?.as_deref() != Some("master") || well != REPLICAS {
                return Ok(false);
            }
        }
        Ok(self.servers.primary().await?.is_some())
    }
}

/// One of names and values in turn.
fn field(fields: real_servers::redis::Reply, name: &str) -> Result<Option<String>> {
    let words: Vec<String> =
        fields.array()?.into_iter().map(|it| it.text()).collect::<Result<_>>()?;
    let (pairs, _) = words.as_chunks::<2>();
    Ok(pairs.iter().find(|it| it[0] == name).map(|it| it[1].clone()))
}
