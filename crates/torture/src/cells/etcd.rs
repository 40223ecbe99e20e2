//! Three members of etcd, which flush every write before they vote for it.

use std::time::Duration;

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fault_proxy::Proxy;
use real_servers::{etcd::Etcd, process::Process, until};
use tokio::time::sleep;

use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    fault::{FaultKind, Place},
};

pub(crate) const CELL: Cell = Cell {
    name: "etcd",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillSidecar,
        FaultKind::KillStore,
        FaultKind::KillPrimary,
        FaultKind::PausePrimary,
        FaultKind::LoseQuorum,
        FaultKind::LoseStoreReplies,
        FaultKind::ResetStoreConnections,
        FaultKind::CutStoreReplies,
        FaultKind::DelayStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::WithholdStoreReplies,
        FaultKind::HalfOpenToStore,
        FaultKind::OneByteAtATimeToStore,
    ],
    may_lose: &[],
};

const MEMBERS: usize = 3;

/// Quick and still far longer than a beat takes on a busy machine; etcd's own are 100 and 1000 ms.
const PACE: &[&str] = &["--heartbeat-interval", "50", "--election-timeout", "500"];

#[derive(Debug)]
struct Three {
    servers: Etcd,
    /// To one member each, if connections are disturbed; otherwise sidecars know all of them.
    links: Vec<Proxy>,
    /// The number of the leader before the last harm was done.
    before: usize,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let servers = Etcd::start(MEMBERS, PACE).await?;
    let mut links = Vec::new();
    if matches!(setup.fault.place(), Place::Link(..)) {
        for (address, seed) in servers.addresses().into_iter().cycle().zip(setup.seed..) {
            if links.len() == setup.sidecars {
                break;
            }
            links.push(Proxy::start_with_seed(address, seed).await?);
        }
    }
    Ok(Box::new(Three { servers, links, before: 0 }))
}

#[async_trait]
impl Tortured for Three {
    fn spec(&self, sidecar: usize) -> String {
        let addresses = match self.links.get(sidecar) {
            Some(link) => vec![link.address()],
            None => self.servers.addresses(),
        };
        let endpoints: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        format!(
            "  type: state.etcd\n  version: v2\n  metadata:\n  - name: endpoints\n    value: {:?}\n",
            endpoints.join(",")
        )
    }

    fn links(&self) -> &[Proxy] {
        &self.links
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        self.before = self.servers.leader().await?;
        let members = self.servers.members();
        match fault {
            FaultKind::KillStore => members.iter().try_for_each(Process::kill),
            FaultKind::KillPrimary => members[self.before].kill(),
            FaultKind::PausePrimary => members[self.before].pause(),
            FaultKind::LoseQuorum => self.others()?.try_for_each(Process::pause),
            _ => bail!("etcd cannot be harmed in this way: {fault:?}"),
        }
    }

    async fn prolong(&mut self, _: FaultKind, duration: Duration, _: Busy<'_>) -> Result<()> {
        sleep(duration).await;
        Ok(())
    }

    async fn succeeded(&mut self) -> Result<()> {
        let before = self.before;
        until("another leader", || async { Ok(self.servers.leader().await? != before) }).await
    }

    async fn deposed(&mut self) -> Result<()> {
        // It is dead, or stands still until this is over.
        Ok(())
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        let members = self.servers.members();
        match fault {
            FaultKind::KillStore => {
                // None answers before most are there.
                let all = members.iter().map(Process::restart);
                futures::future::try_join_all(all).await?;
            }
            FaultKind::KillPrimary => members[self.before].restart().await?,
            FaultKind::PausePrimary => members[self.before].resume()?,
            FaultKind::LoseQuorum => self.others()?.try_for_each(Process::resume)?,
            _ => {}
        }
        self.servers.leader().await.map(drop)
    }
}

impl Three {
    /// Those who did not lead.
    fn others(&self) -> Result<impl Iterator<Item = &Process>> {
        let leader = self.servers.members().get(self.before).context("the leader is a member")?;
        Ok(self.servers.members().iter().filter(move |it| !std::ptr::eq(*it, leader)))
    }
}
