mod migration;
mod view;

use std::net::SocketAddr;

use anyhow::{Context, Result};
use futures::future::try_join_all;

pub use self::migration::Migration;
use self::view::View;
use super::{Options, Redis, configuration::Role};
use crate::{found, until};

/// How many slots every cluster has.
const SLOTS: usize = 16_384;

/// A Redis Cluster whose nodes replace a primary when most primaries miss it for `cluster-node-timeout`, a second unless
/// the options have that setting.
#[derive(Debug)]
pub struct Cluster {
    nodes: Vec<Redis>,
}

impl Cluster {
    /// Starts the nodes, gives the primaries equal parts of the slots, and waits until every node knows all of that and
    /// every replica has what its primary has. A cluster with fewer than three primaries cannot replace one.
    pub async fn start(
        primaries: usize,
        replicas_each: usize,
        options: &Options,
    ) -> Result<Cluster> {
        let count = primaries * (1 + replicas_each);
        let nodes = try_join_all((0..count).map(|_| Redis::start_as(Role::Node, options))).await?;
        let cluster = Cluster { nodes };
        let (first, rest) = cluster.nodes.split_at(primaries);
        for (i, primary) in first.iter().enumerate() {
            let slots = SLOTS * i / primaries..SLOTS * (i + 1) / primaries;
            let slots: Vec<_> = slots.map(|it| it.to_string()).collect();
            let words = ["CLUSTER", "ADDSLOTS"].into_iter().chain(slots.iter().map(String::as_str));
            primary.command(&words.collect::<Vec<_>>()).await?.ok()?;
        }
        cluster.introduce().await?;
        for (i, replica) in rest.iter().enumerate() {
            let primary = View::of(&first[i % primaries]).await?;
            let id = &primary.myself()?.id;
            replica.command(&["CLUSTER", "REPLICATE", id]).await?.ok()?;
        }
        cluster.settle(primaries, replicas_each).await?;
        Ok(cluster)
    }

    /// All nodes. Those that were started as primaries come first, then a first replica of each in the same order, then a
    /// second, and so on.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }

    /// Where clients find the nodes.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.nodes.iter().map(Redis::address).collect()
    }

    /// The node at this address.
    pub fn node(&self, address: SocketAddr) -> Result<&Redis> {
        let node = self.nodes.iter().find(|it| it.address() == address);
        node.context("no node of the cluster is there")
    }

    /// The slot of a key.
    pub async fn slot_of(&self, key: &str) -> Result<u16> {
        let up = self.up()?;
        let node = up.first().context("no node runs")?;
        let slot = node.command(&["CLUSTER", "KEYSLOT", key]).await?.integer()?;
        slot.try_into().context("there is no such slot")
    }

    /// The primary for a slot, whether it runs or not: the last of which any running node has heard.
    pub async fn primary_of(&self, slot: u16) -> Result<&Redis> {
        let views = self.views().await?;
        let heard = views.iter().filter_map(|it| it.primary_of(slot));
        let last = heard.max_by_key(|it| it.epoch).context("nobody has the slot")?;
        self.node(last.address)
    }

    /// The replicas of the primary for a slot, as that primary sees them. It must run.
    pub async fn replicas_of(&self, slot: u16) -> Result<Vec<&Redis>> {
        let view = View::of(self.primary_of(slot).await?).await?;
        let id = &view.myself()?.id;
        let replicas = view.members.iter().filter(|it| it.primary.as_ref() == Some(id));
        replicas.map(|it| self.node(it.address)).collect()
    }

    /// Waits until another node than `previous` is the primary for a slot and takes writes, and returns it.
    pub async fn primary_after(&self, previous: &Redis, slot: u16) -> Result<&Redis> {
        found("another primary", || async {
            let next = self.primary_of(slot).await?;
            let is_other = next.address() != previous.address();
            Ok((is_other && next.is_up()? && is_ok(next).await?).then_some(next))
        })
        .await
    }

    /// Waits until every running node finds that all slots are served.
    pub async fn ok(&self) -> Result<()> {
        for node in self.up()? {
            until("a node to find its cluster ok", || is_ok(node)).await?;
        }
        Ok(())
    }

    /// Begins to move a slot to another primary. What is to be done then is up to the caller, one step after another.
    pub async fn migrate<'a>(&'a self, slot: u16, target: &'a Redis) -> Result<Migration<'a>> {
        Migration::begin(self, slot, target).await
    }

    /// The nodes that can be asked.
    fn up(&self) -> Result<Vec<&Redis>> {
        let mut up = Vec::new();
        for node in &self.nodes {
            if node.is_up()? {
                up.push(node);
            }
        }
        Ok(up)
    }

    /// What each node knows that can be asked.
    async fn views(&self) -> Result<Vec<View>> {
        try_join_all(self.up()?.into_iter().map(View::of)).await
    }

    /// Has every node meet every other one.
    async fn introduce(&self) -> Result<()> {
        for (i, node) in self.nodes.iter().enumerate() {
            // Two primaries must not claim their slots with the same epoch.
            let epoch = (i + 1).to_string();
            node.command(&["CLUSTER", "SET-CONFIG-EPOCH", &epoch]).await?.ok()?;
            let (ip, port) = (node.address().ip().to_string(), node.address().port().to_string());
            // They would hear of each other in time, but not soon.
            for earlier in &self.nodes[..i] {
                earlier.command(&["CLUSTER", "MEET", &ip, &port]).await?.ok()?;
            }
        }
        until("the nodes to know each other", || async {
            let views = self.views().await?;
            let knows_all = |it: &View| {
                it.members.len() == self.nodes.len() && it.members.iter().all(|it| it.is_connected)
            };
            Ok(views.iter().all(knows_all))
        })
        .await
    }

    /// Waits until all nodes know who is whose replica, and all replicas are in sync.
    async fn settle(&self, primaries: usize, replicas_each: usize) -> Result<()> {
        let (first, rest) = self.nodes.split_at(primaries);
        until("the nodes to know the replicas", || async {
            Ok(self.views().await?.iter().all(|it| it.replicas() == rest.len()))
        })
        .await?;
        for primary in first {
            until("a primary's replicas", || primary.has_replicas(replicas_each)).await?;
        }
        for replica in rest {
            until("a replica's primary", || replica.is_in_sync()).await?;
        }
        self.ok().await
    }

    /// Waits until all nodes that can be asked have the same primary for a slot.
    async fn agree_on(&self, slot: u16) -> Result<()> {
        until("the nodes to agree on a slot", || async {
            let views = self.views().await?;
            let primary = |it: &View| it.primary_of(slot).map(|it| it.address);
            let mut primaries: Vec<_> = views.iter().map(primary).collect();
            primaries.dedup();
            Ok(primaries.len() == 1)
        })
        .await
    }
}

async fn is_ok(node: &Redis) -> Result<bool> {
    let text = node.command(&["CLUSTER", "INFO"]).await?.text()?;
    let served = format!("cluster_slots_ok:{SLOTS}");
    Ok(["cluster_state:ok", &served].iter().all(|it| text.lines().any(|line| line == *it)))
}
