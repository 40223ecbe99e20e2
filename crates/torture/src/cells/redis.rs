//! Redis, in the three ways in which it can be set up. Every server flushes each write before it acknowledges it.

mod cluster;
mod sentinel;
mod single;
mod statistics;

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use real_servers::{
    found,
    redis::{Options, Redis},
    until,
};
use tokio::time::sleep;

pub(crate) use self::{
    cluster::CELL as CLUSTER, sentinel::CELL as SENTINEL, single::CELL as SINGLE,
};

/// Why acknowledged writes may be lost when another server takes over.
const ASYNCHRONOUS: &str =
    "replication is asynchronous, so a replica may take over without the newest writes";

/// So often that many a script is sent twice, and most are not.
const FLUSH_PAUSE: Duration = Duration::from_millis(10);

fn options() -> Options {
    Options::default().durable()
}

/// The `spec` of a component file.
fn spec(hosts: &[SocketAddr], more: &[(&str, &str)]) -> String {
    let hosts = hosts.iter().map(SocketAddr::to_string).collect::<Vec<_>>().join(",");
    let mut spec = String::from("  type: state.redis\n  version: v1\n  metadata:\n");
    for (name, value) in [("redisHost", hosts.as_str())].iter().chain(more) {
        spec += &format!("  - name: {name}\n    value: {value:?}\n");
    }
    spec
}

/// Which of the servers take writes, of those that can be asked.
async fn primaries(nodes: &[Redis]) -> Result<Vec<SocketAddr>> {
    let mut primaries = Vec::new();
    for node in nodes {
        if is_up(node)? && node.is_primary().await? {
            primaries.push(node.address());
        }
    }
    Ok(primaries)
}

/// Waits until one takes writes that is not among those who did before, and returns its address.
async fn successor(nodes: &[Redis], before: &[SocketAddr]) -> Result<SocketAddr> {
    found("another server to take the writes", || async {
        let now = primaries(nodes).await?;
        Ok(now.into_iter().find(|it| !before.contains(it)))
    })
    .await
}

/// Waits until this one, if it can be asked, takes no writes any more.
async fn deposed(former: &Redis) -> Result<()> {
    until("the former primary to follow", || async {
        Ok(!is_up(former)? || !former.is_primary().await?)
    })
    .await
}

/// Has servers forget their scripts again and again for this long. Returns how often they had to be told one anew.
async fn flush_scripts(nodes: &[Redis], duration: Duration) -> Result<u64> {
    let (started, before) = (Instant::now(), statistics::texts(nodes).await?);
    while started.elapsed() < duration {
        for node in nodes {
            node.command(&["SCRIPT", "FLUSH"]).await?.ok()?;
        }
        sleep(FLUSH_PAUSE).await;
    }
    Ok(statistics::texts(nodes).await? - before)
}

/// Waits until so many of the servers take writes, each of the others follows one of these, and has what that has.
async fn whole(nodes: &[Redis], primaries: usize) -> Result<()> {
    until("all servers to be back and in sync", || async {
        let (mut leading, mut following) = (0, 0);
        for node in nodes {
            let info = node.info("replication").await?;
            let is = |field: &str, value: &str| info.get(field).is_some_and(|it| it == value);
            leading += usize::from(is("role", "master"));
            following += usize::from(is("role", "slave") && is("master_link_status", "up"));
            let online = info.values().filter(|it| it.contains("state=online")).count();
            let replicas_each = nodes.len() / primaries - 1;
            if is("role", "master") && online != replicas_each {
                return Ok(false);
            }
        }
        Ok(leading == primaries && following == nodes.len() - primaries)
    })
    .await
}

/// Whether it can be asked.
fn is_up(node: &Redis) -> Result<bool> {
    Ok(node.process().is_running()? && !node.process().is_paused())
}

/// The one at this address.
fn at(nodes: &[Redis], address: Option<SocketAddr>) -> Result<&Redis> {
    let found = nodes.iter().find(|it| Some(it.address()) == address);
    found.context("no server of ours is there")
}
