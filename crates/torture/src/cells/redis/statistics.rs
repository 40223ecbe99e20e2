//! What servers of Redis say about what has happened to their clients.

use anyhow::{Context, Result};
use real_servers::redis::Redis;

/// How often scripts were sent as texts, which a client does when a server does not know them.
pub(super) async fn texts(nodes: &[Redis]) -> Result<u64> {
    let mut sum = 0;
    for node in nodes {
        let calls = node.info("commandstats").await?;
        sum += calls.get("cmdstat_eval").map_or(Ok(0), |it| field(it, "calls"))?;
    }
    Ok(sum)
}

/// How often clients were sent to another server because slots moved.
pub(super) async fn redirections(nodes: &[Redis]) -> Result<u64> {
    let mut sum = 0;
    for node in nodes {
        let errors = node.info("errorstats").await?;
        for name in ["errorstat_ASK", "errorstat_MOVED", "errorstat_TRYAGAIN"] {
            sum += errors.get(name).map_or(Ok(0), |it| field(it, "count"))?;
        }
    }
    Ok(sum)
}

/// How many clients listen to a sentinel. Other sentinels do not: they listen to the servers.
pub(super) async fn listeners(sentinel: &Redis) -> Result<u64> {
    let list = sentinel.command(&["CLIENT", "LIST", "TYPE", "PUBSUB"]).await?.text()?;
    Ok(list.lines().count() as u64)
}

/// One of `name=number,name=number`.
fn field(fields: &str, name: &str) -> Result<u64> {
    let mut pairs = fields.split(',').filter_map(|it| it.split_once('='));
    let (_, value) = pairs.find(|it| it.0 == name).context("a statistic has another form")?;
    Ok(value.parse()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_is_found_by_its_name() {
        let fields = "calls=12,usec=345,usec_per_call=28.75,rejected_calls=0,failed_calls=0";
        assert_eq!(field(fields, "calls").unwrap(), 12);
        assert_eq!(field(fields, "failed_calls").unwrap(), 0);
        assert!(field(fields, "usec_per_call").is_err());
        assert!(field(fields, "count").is_err());
    }
}
