//! One server, and a way to it for each sidecar that can be disturbed.

use std::{slice, time::Duration};

use anyhow::{Result, bail};
use async_trait::async_trait;
use fault_proxy::Proxy;
use real_servers::redis::Redis;
use tokio::time::sleep;

use super::{flush_scripts, options, spec};
use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    fault::FaultKind,
};

pub(crate) const CELL: Cell = Cell {
    name: "redis",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillSidecar,
        FaultKind::KillStore,
        FaultKind::PauseStore,
        FaultKind::LoseStoreReplies,
        FaultKind::ResetStoreConnections,
        FaultKind::CutStoreReplies,
        FaultKind::DelayStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::WithholdStoreReplies,
        FaultKind::HalfOpenToStore,
        FaultKind::OneByteAtATimeToStore,
        FaultKind::FullMemory,
        FaultKind::FlushScripts,
    ],
    may_lose: &[],
};

#[derive(Debug)]
struct Single {
    server: Redis,
    links: Vec<Proxy>,
    /// How often scripts had to be sent as texts while they were flushed.
    texts: u64,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let server = Redis::start(&options()).await?;
    let mut links = Vec::new();
    for (_, seed) in (0..setup.sidecars).zip(setup.seed..) {
        links.push(Proxy::start_with_seed(server.address(), seed).await?);
    }
    Ok(Box::new(Single { server, links, texts: 0 }))
}

#[async_trait]
impl Tortured for Single {
    fn spec(&self, sidecar: usize) -> String {
        spec(&[self.links[sidecar].address()], &[])
    }

    fn links(&self) -> &[Proxy] {
        &self.links
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        match fault {
            FaultKind::KillStore => self.server.process().kill(),
            FaultKind::PauseStore => self.server.process().pause(),
            // One byte, so that nothing fits.
            FaultKind::FullMemory => self.set_maxmemory("1").await,
            FaultKind::FlushScripts => Ok(()),
            _ => bail!("one Redis cannot be harmed in this way: {fault:?}"),
        }
    }

    async fn prolong(&mut self, fault: FaultKind, duration: Duration, _: Busy<'_>) -> Result<()> {
        match fault {
            FaultKind::FlushScripts => {
                self.texts += flush_scripts(slice::from_ref(&self.server), duration).await?;
            }
            _ => sleep(duration).await,
        }
        Ok(())
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        match fault {
            FaultKind::KillStore => self.server.process().restart().await,
            FaultKind::PauseStore => self.server.process().resume(),
            // As much as there is.
            FaultKind::FullMemory => self.set_maxmemory("0").await,
            _ => Ok(()),
        }
    }

    fn meetings(&self) -> u64 {
        self.texts
    }
}

impl Single {
    async fn set_maxmemory(&self, bytes: &str) -> Result<()> {
        self.server.command(&["CONFIG", "SET", "maxmemory", bytes]).await?.ok()
    }
}
