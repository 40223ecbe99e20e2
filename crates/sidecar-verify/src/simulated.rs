//! A store that is correct by the contract, or wrong in a way that is known.

mod contents;
mod time;

use std::sync::{
    Arc, Mutex, MutexGuard, PoisonError,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use async_trait::async_trait;
use state::{
    Capabilities, Consistencies, Durability, Error, FailureKind, Item, Key, KeyPage, Precondition,
    Read, Result, Store, Write, Written,
};

use self::contents::{Contents, Fate};
pub use self::time::SimulatedTime;
use crate::{Mutant, Time};

/// The data behind simulated stores, and what is wrong with it.
///
/// Requests take some time, answers too; about 2 % of both are lost, some requests are refused, some
/// arrive after nobody waits for them any more, and now and then the process is restarted. All of
/// that the contract allows.
#[derive(Debug)]
pub struct SimulatedData {
    time: Arc<SimulatedTime>,
    contents: Mutex<Contents>,
    endpoints: AtomicUsize,
}

/// A way to simulated data, as one sidecar is. It must be used within [`SimulatedTime::drive`].
#[derive(Debug)]
pub struct SimulatedStore {
    data: Arc<SimulatedData>,
    /// Which of the ways to the data this is, from 0.
    endpoint: usize,
    capabilities: Capabilities,
}

impl SimulatedData {
    /// No data yet. What happens to requests is chosen from `seed`.
    pub fn new(time: Arc<SimulatedTime>, seed: u64, mutant: Option<Mutant>) -> Arc<SimulatedData> {
        let contents = Mutex::new(Contents::new(seed, mutant));
        Arc::new(SimulatedData { time, contents, endpoints: AtomicUsize::new(0) })
    }

    /// The data, for as long as nobody else may look. Nothing is awaited in the meantime.
    fn lock(&self) -> MutexGuard<'_, Contents> {
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl SimulatedStore {
    /// One more way to `data`.
    pub fn open(data: &Arc<SimulatedData>) -> SimulatedStore {
        let endpoint = data.endpoints.fetch_add(1, Relaxed);
        SimulatedStore { data: Arc::clone(data), endpoint, capabilities: capabilities() }
    }

    /// Waits for as long as a message is under way.
    async fn travel(&self) {
        let delay = self.data.lock().delay();
        self.data.time.sleep(delay).await;
    }

    /// Does something at one instant: all that is due by then is done.
    fn at_once<T>(&self, f: impl FnOnce(&mut Contents, u64) -> T) -> T {
        let now = self.data.time.now();
        let mut contents = self.data.lock();
        contents.go_on(now);
        f(&mut contents, now)
    }

    fn read(&self, read: &Read) -> Result<Option<Item>> {
        self.at_once(|contents, now| match contents.fate() {
            Fate::Answered => Ok(contents.read(&read.key, self.endpoint, now)),
            Fate::Refused => Err(refused()),
            Fate::Lost | Fate::AnswerLost | Fate::Late => Err(lost()),
        })
    }

    /// Carries out one write, or several as a transaction.
    async fn commit(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let fate = self.data.lock().fate();
        match fate {
            Fate::Answered if self.is_split(writes) => self.commit_by_parts(writes).await,
            Fate::Answered => self.at_once(|contents, now| contents.commit(writes, now)),
            Fate::Refused => self.at_once(|contents, now| {
                if contents.errs(Mutant::RefusedWriteApplied) {
                    _ = contents.commit(writes, now);
                }
                Err(refused())
            }),
            Fate::Lost => Err(lost()),
            Fate::AnswerLost => self.at_once(|contents, now| {
                _ = contents.commit(writes, now);
                if contents.errs(Mutant::LateDuplicate) {
                    contents.commit_later(writes, now);
                }
                Err(lost())
            }),
            Fate::Late => self.at_once(|contents, now| {
                contents.commit_later(writes, now);
                if contents.errs(Mutant::LateDuplicate) {
                    contents.commit_later(writes, now);
                }
                Err(lost())
            }),
        }
    }

    /// Whether what must happen at one instant does not.
    fn is_split(&self, writes: &[Write]) -> bool {
        let mut contents = self.data.lock();
        match writes {
            [write] => {
                write.precondition == Precondition::Absent && contents.errs(Mutant::CreateRace)
            }
            _ => contents.errs(Mutant::TransactionTorn),
        }
    }

    /// Checks, and writes a little later, one after the other.
    async fn commit_by_parts(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.at_once(|contents, now| contents.check_all(writes, now))?;
        let mut written = Vec::with_capacity(writes.len());
        for (i, write) in writes.iter().enumerate() {
            if i > 0 || writes.len() == 1 {
                self.travel().await;
            }
            written.push(self.at_once(|contents, now| contents.apply(write, now)));
        }
        Ok(written)
    }
}

#[async_trait]
impl Store for SimulatedStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.travel().await;
        let item = self.read(read);
        self.travel().await;
        item
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let written = self.transact(std::slice::from_ref(write)).await?;
        Ok(written.into_iter().next().expect("one write has one answer"))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.travel().await;
        let written = self.commit(writes).await;
        self.travel().await;
        written
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let mut items = Vec::with_capacity(reads.len());
        for read in reads {
            self.travel().await;
            items.push(self.read(read));
        }
        self.travel().await;
        items
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let mut answers = Vec::with_capacity(writes.len());
        for write in writes {
            let answer = self.write(write).await;
            let is_conflict = answer.as_ref().is_err_and(Error::is_conflict);
            let is_hidden = is_conflict && self.data.lock().errs(Mutant::BulkConflictHidden);
            answers.push(if is_hidden { Ok(Written { etag: None }) } else { answer });
        }
        if self.data.lock().errs(Mutant::BulkAnswersSwapped) {
            answers.rotate_left(1);
        }
        answers
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        Ok(self.at_once(|contents, now| contents.list(prefix, after, limit, now)))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

fn refused() -> Error {
    Error::new(FailureKind::Unavailable, "refused by the simulation")
}

fn lost() -> Error {
    Error::new(FailureKind::Lost, "lost by the simulation")
}

fn capabilities() -> Capabilities {
    let only_copy = || Some("the same as any read or write: there is one copy".into());
    Capabilities {
        etag: true,
        ttl: true,
        list: true,
        transaction_len_max: Some(usize::MAX),
        key_len_max: usize::MAX,
        exact_values: true,
        consistency: Consistencies {
            strong_write: only_copy(),
            strong_read: only_copy(),
            eventual_read: None,
        },
        durability: Durability {
            process_crash: true,
            power_loss: true,
            failover: None,
            memory_pressure: true,
        },
        server_settings: Default::default(),
    }
}

#[cfg(test)]
mod tests;
