use anyhow::Result;
use futures::future::try_join_all;

use super::{Options, Redis, configuration::Role};
use crate::until;

/// A primary and its replicas.
#[derive(Debug)]
pub struct Replicated {
    /// The primary first; sentinels may choose another one later.
    pub(super) nodes: Vec<Redis>,
}

impl Replicated {
    /// Starts them and waits until every replica has what the primary has.
    pub async fn start(replicas: usize, options: &Options) -> Result<Replicated> {
        let primary = Redis::start(options).await?;
        let role = Role::ReplicaOf(primary.address());
        let followers = try_join_all((0..replicas).map(|_| Redis::start_as(role, options))).await?;
        let group = Replicated { nodes: [primary].into_iter().chain(followers).collect() };
        group.in_sync().await?;
        Ok(group)
    }

    /// Waits until the first primary and all replicas agree that they follow it.
    pub async fn in_sync(&self) -> Result<()> {
        let (primary, replicas) = (self.primary(), self.replicas());
        until("the replicas of a primary", || primary.has_replicas(replicas.len())).await?;
        for replica in replicas {
            until("a replica's primary", || replica.is_in_sync()).await?;
        }
        Ok(())
    }

    /// The one that was started as the primary.
    pub fn primary(&self) -> &Redis {
        &self.nodes[0]
    }

    /// Those that were started as its replicas.
    pub fn replicas(&self) -> &[Redis] {
        &self.nodes[1..]
    }

    /// All of them, the one that was started as the primary first.
    pub fn nodes(&self) -> &[Redis] {
        &self.nodes
    }
}
