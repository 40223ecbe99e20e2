//! Clients that write strongly and nothing else, so that whatever they are told must never be lost.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fastrand::Rng;
use futures::future::join_all;
use state::{Consistency, Error, FailureKind, Item, Key, Precondition, Read, Result, Store, Write};
use tokio::time::{sleep, timeout};

use super::TIMEOUT;

/// Clients that count up a key of their own each.
///
/// The contract's judge knows of no difference between strong writes and others, and is lenient about
/// others where a failover may lose them. This is not.
pub(super) struct Counters<'a> {
    stores: &'a [Arc<dyn Store>],
    keys: Vec<Key>,
    seed: u64,
}

const COUNTERS: usize = 4;

/// So seldom that the others hardly notice.
const PACE: Duration = Duration::from_millis(5);

/// How often a last look is tried.
const LAST_READ_TRIES: usize = 25;

impl<'a> Counters<'a> {
    pub(super) fn new(stores: &'a [Arc<dyn Store>], prefix: &str, seed: u64) -> Counters<'a> {
        let key = |number| {
            // In braces, so that each is in a slot of its own if the store has slots.
            Key::new(&format!("{prefix}-counter-{{{number}}}")).expect("a plain word")
        };
        Counters { stores, keys: (0..COUNTERS).map(key).collect(), seed }
    }

    /// Counts until it is to stop. Says how far each has come, for certain.
    pub(super) async fn count(&self, stop: &AtomicBool) -> Vec<u64> {
        let counting = self.keys.iter().zip(self.seed..).map(async |(key, seed)| {
            let (mut rng, mut acknowledged) = (Rng::with_seed(seed), 0);
            while !stop.load(Relaxed) {
                sleep(PACE).await;
                let read_at = rng.usize(..self.stores.len());
                let write_at = rng.usize(..self.stores.len());
                let Ok(item) = self.read(read_at, key).await else { continue };
                let count = count_of(item.as_ref());
                // To go on from here would hide the loss.
                if count < acknowledged {
                    continue;
                }
                let precondition = match item.and_then(|it| it.etag) {
                    Some(etag) => Precondition::Matches(etag),
                    None => Precondition::Absent,
                };
                let next = (count + 1).to_string();
                let write = Write::put(key.clone(), next).when(precondition);
                let write = Write { consistency: Consistency::Strong, ..write };
                if timely(self.stores[write_at].write(&write)).await.is_ok() {
                    acknowledged = count + 1;
                }
            }
            acknowledged
        });
        join_all(counting).await
    }

    /// What was lost, when all is quiet.
    pub(super) async fn look(&self, acknowledged: &[u64]) -> Vec<String> {
        let mut lost = Vec::new();
        for (key, acknowledged) in self.keys.iter().zip(acknowledged) {
            for sidecar in 0..self.stores.len() {
                match self.last_read(sidecar, key).await {
                    Ok(item) if count_of(item.as_ref()) >= *acknowledged => {}
                    Ok(item) => lost.push(format!(
                        "{} was counted up to {acknowledged} with strong writes, and is {} through \
                         sidecar {sidecar}",
                        key.as_str(),
                        count_of(item.as_ref())
                    )),
                    Err(e) => lost.push(format!("{} cannot be read: {e}", key.as_str())),
                }
            }
        }
        lost
    }

    async fn read(&self, sidecar: usize, key: &Key) -> Result<Option<Item>> {
        let read = Read { consistency: Consistency::Strong, ..Read::new(key.clone()) };
        timely(self.stores[sidecar].get(&read)).await
    }

    async fn last_read(&self, sidecar: usize, key: &Key) -> Result<Option<Item>> {
        let mut found = self.read(sidecar, key).await;
        for _ in 1..LAST_READ_TRIES {
            if found.is_ok() {
                break;
            }
            sleep(TIMEOUT / 2).await;
            found = self.read(sidecar, key).await;
        }
        found
    }
}

/// A key that is absent stands at 0, and what is no number is nothing that was counted.
fn count_of(item: Option<&Item>) -> u64 {
    item.and_then(|it| serde_json::from_slice(&it.value).ok()).unwrap_or(0)
}

async fn timely<T>(answer: impl Future<Output = Result<T>>) -> Result<T> {
    let late = |_| Err(Error::new(FailureKind::Lost, "no answer in time"));
    timeout(TIMEOUT, answer).await.unwrap_or_else(late)
}
