use std::{collections::HashMap, net::SocketAddr};

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;

use super::{Options, Redis, Replicated, Reply, configuration::Role};
use crate::{found, until};

/// What sentinels call the group.
pub const MASTER_NAME: &str = "mymaster";

/// A primary with replicas, and sentinels that replace the primary when most of them miss it for a second.
///
/// A replaced primary that comes back takes itself for the primary, and takes writes that will be lost, until the sentinels
/// make it a replica. That takes them about ten seconds, because they look at a server that is well only that often.
#[derive(Debug)]
pub struct Sentinels {
    sentinels: Vec<Redis>,
    group: Replicated,
}

impl Sentinels {
    /// Starts all of them and waits until each sentinel knows the others, the primary and the replicas, and can take part
    /// in a failover.
    pub async fn start(sentinels: usize, replicas: usize, options: &Options) -> Result<Sentinels> {
        let group = Replicated::start(replicas, options).await?;
        let role =
            Role::SentinelOf { primary: group.primary().address(), quorum: sentinels / 2 + 1 };
        let sentinels =
            try_join_all((0..sentinels).map(|_| Redis::start_as(role, options))).await?;
        let watched = Sentinels { sentinels, group };
        for sentinel in &watched.sentinels {
            until("a sentinel to know all", || watched.is_known_to(sentinel)).await?;
        }
        Ok(watched)
    }

    /// The sentinels themselves.
    pub fn sentinels(&self) -> &[Redis] {
        &self.sentinels
    }

    /// Where clients find the sentinels.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.sentinels.iter().map(Redis::address).collect()
    }

    /// The servers that they watch.
    pub fn nodes(&self) -> &[Redis] {
        self.group.nodes()
    }

    /// The one that was started as the primary.
    pub fn first_primary(&self) -> &Redis {
        self.group.primary()
    }

    /// The one that the running sentinels announce as the primary, whether it runs or not. `None` while they disagree.
    pub async fn primary(&self) -> Result<Option<&Redis>> {
        let mut announced = Vec::new();
        for sentinel in &self.sentinels {
            if sentinel.is_up()? {
                announced.push(announced_by(sentinel).await?);
            }
        }
        announced.dedup();
        let [address] = announced[..] else { return Ok(None) };
        let primary = self.nodes().iter().find(|it| it.address() == address);
        Ok(Some(primary.context("the sentinels announce a stranger")?))
    }

    /// Waits until all running sentinels announce another primary than `previous` and it takes writes, and returns it.
    pub async fn primary_after(&self, previous: &Redis) -> Result<&Redis> {
        found("another primary", || async {
            let Some(next) = self.primary().await? else { return Ok(None) };
            let is_other = next.address() != previous.address();
            Ok((is_other && next.is_up()? && next.is_primary().await?).then_some(next))
        })
        .await
    }

    async fn is_known_to(&self, sentinel: &Redis) -> Result<bool> {
        let primary = fields(sentinel.command(&["SENTINEL", "MASTER", MASTER_NAME]).await?)?;
        let has = |field: &str, count: usize| primary.get(field) == Some(&count.to_string());
        let replicas = sentinel.command(&["SENTINEL", "REPLICAS", MASTER_NAME]).await?.array()?;
        let mut reached = 0;
        for replica in replicas {
            let replica = fields(replica)?;
            reached += usize::from(replica.get("flags").is_some_and(|it| it == "slave"));
        }
        Ok(primary.get("flags").is_some_and(|it| it == "master")
            && has("num-other-sentinels", self.sentinels.len() - 1)
            && has("num-slaves", self.group.replicas().len())
            && reached == self.group.replicas().len())
    }
}

async fn announced_by(sentinel: &Redis) -> Result<SocketAddr> {
    let question = ["SENTINEL", "GET-MASTER-ADDR-BY-NAME", MASTER_NAME];
    let words = sentinel.command(&question).await?.array()?;
    let words: Vec<String> = words.into_iter().map(Reply::text).collect::<Result<_>>()?;
    words.join(":").parse().context("a sentinel announces what is not an address")
}

/// Names and values in turn.
fn fields(reply: Reply) -> Result<HashMap<String, String>> {
    let words: Vec<String> = reply.array()?.into_iter().map(Reply::text).collect::<Result<_>>()?;
    let (pairs, rest) = words.as_chunks::<2>();
    ensure!(rest.is_empty(), "a name without a value");
    Ok(pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect())
}
