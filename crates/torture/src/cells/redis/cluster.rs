//! Three primaries that share the slots, and a replica for each.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use real_servers::redis::Cluster;
use tokio::time::sleep;

use super::{
    ASYNCHRONOUS, at, deposed, flush_scripts, options, primaries, spec, statistics, successor,
    whole,
};
use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    fault::FaultKind,
};

pub(crate) const CELL: Cell = Cell {
    name: "redis-cluster",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillPrimary,
        FaultKind::PausePrimary,
        FaultKind::SwitchPrimary,
        FaultKind::MigrateSlots,
        FaultKind::FlushScripts,
    ],
    may_lose: &[(FaultKind::KillPrimary, ASYNCHRONOUS), (FaultKind::PausePrimary, ASYNCHRONOUS)],
};

const PRIMARIES: usize = 3;
const REPLICAS_EACH: usize = 1;

/// How long a slot stays as it is between the steps of its way: clients meet it in each of them.
const STEP: Duration = Duration::from_millis(15);

#[derive(Debug)]
struct Shared {
    servers: Cluster,
    rng: Rng,
    /// The primaries before the last harm was done, and the one that it was done to.
    before: Vec<SocketAddr>,
    victim: Option<SocketAddr>,
    /// How often clients were sent elsewhere, or scripts had to be sent as texts.
    meetings: u64,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let servers = Cluster::start(PRIMARIES, REPLICAS_EACH, &options()).await?;
    Ok(Box::new(Shared {
        servers,
        rng: Rng::with_seed(setup.seed),
        before: Vec::new(),
        victim: None,
        meetings: 0,
    }))
}

#[async_trait]
impl Tortured for Shared {
    fn spec(&self, _sidecar: usize) -> String {
        let strong = REPLICAS_EACH.to_string();
        let more = [("redisType", "cluster"), ("strongReplicas", strong.as_str())];
        spec(&self.servers.addresses(), &more)
    }

    async fn harm(&mut self, fault: FaultKind, busy: Busy<'_>) -> Result<()> {
        if matches!(fault, FaultKind::MigrateSlots | FaultKind::FlushScripts) {
            return Ok(());
        }
        self.before = primaries(self.servers.nodes()).await?;
        let slot = self.servers.slot_of(&busy(&mut self.rng)).await?;
        let victim = self.servers.primary_of(slot).await?;
        match fault {
            FaultKind::KillPrimary => victim.process().kill()?,
            FaultKind::PausePrimary => victim.process().pause()?,
            FaultKind::SwitchPrimary => {
                let replicas = self.servers.replicas_of(slot).await?;
                let replica = replicas.first().context("there is no replica")?;
                replica.command(&["CLUSTER", "FAILOVER"]).await?.ok()?;
            }
            _ => bail!("a cluster of Redis cannot be harmed in this way: {fault:?}"),
        }
        self.victim = Some(victim.address());
        Ok(())
    }

    async fn prolong(
        &mut self,
        fault: FaultKind,
        duration: Duration,
        busy: Busy<'_>,
    ) -> Result<()> {
        let nodes = self.servers.nodes();
        match fault {
            FaultKind::FlushScripts => self.meetings += flush_scripts(nodes, duration).await?,
            FaultKind::MigrateSlots => {
                let (started, before) = (Instant::now(), statistics::redirections(nodes).await?);
                while started.elapsed() < duration {
                    self.migrate(busy).await?;
                }
                self.meetings += statistics::redirections(self.servers.nodes()).await? - before;
            }
            _ => sleep(duration).await,
        }
        Ok(())
    }

    async fn succeeded(&mut self) -> Result<()> {
        successor(self.servers.nodes(), &self.before).await.map(drop)
    }

    async fn deposed(&mut self) -> Result<()> {
        deposed(at(self.servers.nodes(), self.victim)?).await
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        let nodes = self.servers.nodes();
        match fault {
            FaultKind::KillPrimary => at(nodes, self.victim)?.process().restart().await?,
            FaultKind::PausePrimary => at(nodes, self.victim)?.process().resume()?,
            FaultKind::SwitchPrimary => {}
            _ => return Ok(()),
        }
        whole(nodes, PRIMARIES).await?;
        self.servers.ok().await
    }

    fn meetings(&self) -> u64 {
        self.meetings
    }
}

impl Shared {
    /// Moves a slot that clients use to another primary, step by step.
    async fn migrate(&mut self, busy: Busy<'_>) -> Result<()> {
        let slot = self.servers.slot_of(&busy(&mut self.rng)).await?;
        let source = self.servers.primary_of(slot).await?.address();
        let mut targets = primaries(self.servers.nodes()).await?;
        targets.retain(|it| *it != source);
        let target = self.rng.choice(targets);
        let target = at(self.servers.nodes(), target).context("there is no other primary")?;
        let migration = self.servers.migrate(slot, target).await?;
        sleep(STEP).await;
        // One after the other, so that clients find some of the keys of a group here and some there.
        while migration.move_keys(1).await? > 0 {
            sleep(STEP).await;
        }
        migration.finish().await
    }
}
