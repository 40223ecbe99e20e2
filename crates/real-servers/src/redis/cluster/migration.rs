use anyhow::{Context, Result, bail, ensure};

use super::{Cluster, view::View};
use crate::redis::{Redis, Reply};

/// How long a server may take to take in keys, in milliseconds.
const TIMEOUT_MS: &str = "5000";

/// A slot on its way from one primary to another, step by step, so that a test can look at what clients see in between. It
/// stays where it is in its way until the next step is called for.
#[derive(Debug)]
pub struct Migration<'a> {
    cluster: &'a Cluster,
    slot: u16,
    source: &'a Redis,
    target: &'a Redis,
}

impl<'a> Migration<'a> {
    /// The first step: from here on the source sends those who ask for a key that it does not have to the target, with
    /// `ASK`.
    pub(super) async fn begin(
        cluster: &'a Cluster,
        slot: u16,
        target: &'a Redis,
    ) -> Result<Migration<'a>> {
        let source = cluster.primary_of(slot).await?;
        ensure!(source.address() != target.address(), "the target has the slot already");
        let migration = Migration { cluster, slot, source, target };
        migration.set(target, "IMPORTING", source).await?;
        migration.set(source, "MIGRATING", target).await?;
        Ok(migration)
    }

    /// The primary that has the slot.
    pub fn source(&self) -> &'a Redis {
        self.source
    }

    /// The primary that gets it.
    pub fn target(&self) -> &'a Redis {
        self.target
    }

    /// The second step, again and again: moves that many keys at most, and returns how many there were.
    pub async fn move_keys(&self, keys_max: usize) -> Result<usize> {
        let question = ["CLUSTER", "GETKEYSINSLOT", &self.slot.to_string(), &keys_max.to_string()];
        let keys = self.source.command(&question).await?.array()?;
        let keys: Vec<String> = keys.into_iter().map(Reply::text).collect::<Result<_>>()?;
        if keys.is_empty() {
            return Ok(0);
        }
        let (ip, port) = (self.target.address().ip(), self.target.address().port());
        let (ip, port) = (ip.to_string(), port.to_string());
        let mut words = vec!["MIGRATE", &ip, &port, "", "0", TIMEOUT_MS];
        if let Some(password) = &self.target.password {
            words.extend(["AUTH", password]);
        }
        words.push("KEYS");
        words.extend(keys.iter().map(String::as_str));
        match self.source.command(&words).await? {
            // Somebody may have deleted them meanwhile.
            Reply::Status(status) if matches!(&*status, "OK" | "NOKEY") => Ok(keys.len()),
            other => bail!("cannot move keys: {other:?}"),
        }
    }

    /// The last step: the target has the slot. All keys must have been moved.
    pub async fn finish(self) -> Result<()> {
        // The target first: were it to crash after the source has let go, nobody would have the slot.
        self.set(self.target, "NODE", self.target).await?;
        self.set(self.source, "NODE", self.target).await?;
        // Every other node hears of it from the target.
        self.cluster.agree_on(self.slot).await
    }

    /// Moves every key, and finishes.
    pub async fn complete(self) -> Result<()> {
        while self.move_keys(100).await? > 0 {}
        self.finish().await
    }

    async fn set(&self, node: &Redis, state: &str, other: &Redis) -> Result<()> {
        let view = View::of(other).await?;
        let words = ["CLUSTER", "SETSLOT", &self.slot.to_string(), state, &view.myself()?.id];
        node.command(&words).await?.ok().with_context(|| format!("cannot make a slot {state}"))
    }
}
