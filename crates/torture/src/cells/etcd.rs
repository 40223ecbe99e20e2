//! etcd: three members. Each of them flushes what it acknowledges.

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use fault_proxy::Proxy;
use real_servers::etcd::{Etcd, Options};

use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    disk::SmallDisk,
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
        FaultKind::SwitchPrimary,
        FaultKind::LoseQuorum,
        FaultKind::LoseStoreReplies,
        FaultKind::ResetStoreConnections,
        FaultKind::CutStoreReplies,
        FaultKind::DelayStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::WithholdStoreReplies,
        FaultKind::HalfOpenToStore,
        FaultKind::FullDisk,
    ],
    may_lose: &[],
};

const MEMBERS: usize = 3;

/// Room for two segments of the log, 64 MB each, which a member takes before it needs them, and little more.
const DISK_BYTES: u64 = 160 << 20;

#[derive(Debug)]
struct Cluster {
    etcd: Etcd,
    /// One for each sidecar, to a member, if connections are disturbed: with a way to the others, it would not matter.
    /// Otherwise sidecars know all members.
    links: Vec<Proxy>,
    disk: Option<SmallDisk>,
    rng: Rng,
    /// Who led before the harm was done.
    leader: usize,
    harmed: Vec<usize>,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let (etcd, disk) = match setup.fault {
        // A full disk ends a member, and two would go on: here, one is all.
        FaultKind::FullDisk => {
            let disk = SmallDisk::mount(&setup.folder.join("disk"), DISK_BYTES)?;
            (Etcd::start_in(disk.path(), &Options::default()).await?, Some(disk))
        }
        _ => (Etcd::start(MEMBERS, &Options::default()).await?, None),
    };
    let mut links = Vec::new();
    if matches!(setup.fault.place(), Place::Link(..)) {
        let nodes = etcd.nodes().iter().cycle();
        for (node, seed) in nodes.zip(setup.seed..).take(setup.sidecars) {
            links.push(Proxy::start_with_seed(node.address(), seed).await?);
        }
    }
    let leader = etcd.leader().await?;
    let rng = Rng::with_seed(setup.seed);
    Ok(Box::new(Cluster { etcd, links, disk, rng, leader, harmed: Vec::new() }))
}

#[async_trait]
impl Tortured for Cluster {
    fn spec(&self, sidecar: usize) -> String {
        let link = self.links.get(sidecar).map(|it| it.address().to_string());
        let endpoints = link.unwrap_or_else(|| self.etcd.endpoints());
        format!(
            "  type: state.etcd\n  version: v2\n  metadata:\n  - name: endpoints\n    value: {endpoints:?}\n"
        )
    }

    fn links(&self) -> &[Proxy] {
        &self.links
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        self.leader = self.etcd.leader().await?;
        let nodes = self.etcd.nodes();
        self.harmed = match fault {
            FaultKind::KillStore => (0..nodes.len()).collect(),
            FaultKind::KillPrimary | FaultKind::PausePrimary => vec![self.leader],
            FaultKind::LoseQuorum => {
                let spared = self.rng.usize(..nodes.len());
                (0..nodes.len()).filter(|it| *it != spared).collect()
            }
            _ => Vec::new(),
        };
        match fault {
            FaultKind::KillStore | FaultKind::KillPrimary => {
                self.harmed.iter().try_for_each(|it| nodes[*it].kill())
            }
            FaultKind::PausePrimary | FaultKind::LoseQuorum => {
                self.harmed.iter().try_for_each(|it| nodes[*it].pause())
            }
            FaultKind::SwitchPrimary => self.etcd.move_leader().await.map(drop),
            FaultKind::FullDisk => self.disk()?.fill(),
            _ => bail!("etcd cannot be harmed in this way: {fault:?}"),
        }
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        let nodes = self.etcd.nodes();
        match fault {
            FaultKind::KillStore | FaultKind::KillPrimary => {
                // Without most of the others, none of them gets ready.
                let restarted = self.harmed.iter().map(|it| nodes[*it].restart());
                futures::future::try_join_all(restarted).await?;
            }
            FaultKind::PausePrimary | FaultKind::LoseQuorum => {
                self.harmed.iter().try_for_each(|it| nodes[*it].resume())?;
            }
            FaultKind::FullDisk => {
                self.disk()?.free()?;
                // Without room for its log, it ends.
                if !nodes[0].is_running()? {
                    nodes[0].restart().await?;
                }
            }
            _ => {}
        }
        self.etcd.leader().await.map(drop)
    }

    async fn succeeded(&mut self) -> Result<()> {
        self.etcd.leader_after(self.leader).await.map(drop)
    }

    async fn deposed(&mut self) -> Result<()> {
        // It leads nobody who would agree to what it says.
        Ok(())
    }
}

impl Cluster {
    fn disk(&self) -> Result<&SmallDisk> {
        self.disk.as_ref().context("there is no disk to fill")
    }
}
