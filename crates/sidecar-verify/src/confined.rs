//! A store whose keys all begin with a prefix, and that can be left as it was found.

use std::{collections::BTreeSet, sync::Arc, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use state::{Capabilities, Item, Key, KeyPage, Read, Result, Store, Write, Written};
use tokio::time::Instant;

/// Puts a prefix before every key, and remembers those that were written.
#[derive(Debug)]
pub(crate) struct Confined {
    inner: Arc<dyn Store>,
    prefix: String,
    capabilities: Capabilities,
    written: WrittenKeys,
    pace: Arc<Pace>,
}

/// Lets requests go one after the other, so far apart.
#[derive(Debug)]
pub(crate) struct Pace {
    every: Duration,
    /// When the next one may go.
    next: Mutex<Option<Instant>>,
}

/// How much earlier than its turn a request may go.
const EARLY_MAX: Duration = Duration::from_millis(10);

/// Keys that something was written to.
type WrittenKeys = Arc<Mutex<BTreeSet<Key>>>;

impl Confined {
    /// Confines `inner` to keys that begin with `prefix`; `written` and `pace` are shared by those
    /// that go to the same data.
    pub(crate) fn new(
        inner: Arc<dyn Store>,
        prefix: &str,
        written: WrittenKeys,
        pace: Arc<Pace>,
    ) -> Confined {
        let own = inner.capabilities();
        let capabilities = Capabilities {
            key_len_max: own.key_len_max.saturating_sub(prefix.len()),
            ..own.clone()
        };
        Confined { inner, prefix: prefix.to_owned(), capabilities, written, pace }
    }

    fn read(&self, read: &Read) -> Read {
        Read { key: read.key.prefixed(&self.prefix), ..read.clone() }
    }

    fn write(&self, write: &Write) -> Write {
        let key = write.key.prefixed(&self.prefix);
        self.written.lock().insert(key.clone());
        Write { key, ..write.clone() }
    }
}

impl Pace {
    pub(crate) fn new(every: Duration) -> Arc<Pace> {
        Arc::new(Pace { every, next: Mutex::default() })
    }

    async fn turn(&self) {
        let turn = {
            let mut next = self.next.lock();
            let now = Instant::now();
            let turn = next.map_or(now, |it| it.max(now));
            *next = Some(turn + self.every);
            turn
        };
        // A timer is some milliseconds late on a busy machine: short waits would add up.
        if turn.saturating_duration_since(Instant::now()) > EARLY_MAX {
            tokio::time::sleep_until(turn).await;
        }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Confined {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.pace.turn().await;
        self.inner.get(&self.read(read)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.pace.turn().await;
        self.inner.write(&self.write(write)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let writes: Vec<_> = writes.iter().map(|it| self.write(it)).collect();
        self.pace.turn().await;
        self.inner.transact(&writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let reads: Vec<_> = reads.iter().map(|it| self.read(it)).collect();
        self.pace.turn().await;
        self.inner.get_many(&reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let writes: Vec<_> = writes.iter().map(|it| self.write(it)).collect();
        self.pace.turn().await;
        self.inner.write_many(&writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.pace.turn().await;
        let after = after.map(|it| it.prefixed(&self.prefix));
        let page =
            self.inner.list(&[&*self.prefix, prefix].concat(), after.as_ref(), limit).await?;
        let keys = page.keys.iter().filter_map(|it| it.strip_prefix(&self.prefix)).collect();
        Ok(KeyPage { keys, ..page })
    }

    async fn ping(&self) -> Result<()> {
        self.pace.turn().await;
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn requests_go_no_faster_than_they_may() {
        let pace = Pace::new(Duration::from_millis(20));
        let began = Instant::now();
        futures::future::join_all((0..6).map(|_| pace.turn())).await;
        assert!(began.elapsed() >= Duration::from_millis(100), "{:?}", began.elapsed());
    }
}
