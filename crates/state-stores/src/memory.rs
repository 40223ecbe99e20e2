//! `state.in-memory`: a map. The reference for what every other store should do.

use std::{
    collections::{BTreeSet, HashMap},
    mem,
    ops::Bound,
    sync::Arc,
    time::SystemTime,
};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use state::{
    Capabilities, Change, Conflict, Consistencies, Durability, ETag, Item, Key, KeyPage,
    Precondition, Read, Result, Store, Write, Written,
};
use uuid::Uuid;

use crate::Driver;

pub(crate) const DRIVER: Driver = Driver {
    component: "state.in-memory",
    aliases: &[],
    version: "v1",
    in_process: true,
    open: |_| Box::pin(async { Ok(Arc::new(MemoryStore::new()) as Arc<dyn Store>) }),
};

/// The most writes in a transaction: they all happen while nobody else may look.
const TRANSACTION_LEN_MAX: usize = 10_000;

/// The longest key, in bytes. A map sets no limit; this one keeps listings and logs readable.
const KEY_LEN_MAX: usize = 2048;

/// How many expired items an operation removes at most, so that none has to wait for many of
/// them. More than the one item that a write adds, so that they do not pile up.
const SWEEP_LEN_MAX: usize = 8;

/// Every operation first removes some expired items. There is no task to do that, and so nothing
/// to stop when the store is dropped. What is yet to be removed, reads do not see.
#[derive(Debug)]
struct MemoryStore {
    capabilities: Capabilities,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    items: HashMap<Key, Item>,
    /// The keys of `items` in their order, for listings. Changes only when a key comes or goes.
    keys: BTreeSet<Key>,
    /// One entry for each item that expires; the soonest first.
    expiries: BTreeSet<(SystemTime, Key)>,
}

impl MemoryStore {
    fn new() -> MemoryStore {
        MemoryStore { capabilities: capabilities(), state: Mutex::default() }
    }

    /// Runs `f` on what there is now, while nobody else may look.
    fn with<T>(&self, f: impl FnOnce(&mut State, SystemTime) -> T) -> T {
        let mut state = self.state.lock();
        // Within the lock, so that a write is never earlier than the one before it.
        let now = SystemTime::now();
        state.sweep(now);
        f(&mut state, now)
    }

    fn get_now(&self, read: &Read) -> Option<Item> {
        self.with(|state, now| state.live(&read.key, now).cloned())
    }

    fn write_now(&self, write: &Write) -> Result<Written> {
        let item = item_of(write);
        self.with(|state, now| {
            state.check(write, now)?;
            Ok(state.apply(write, item, now))
        })
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        Ok(self.get_now(read))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.write_now(write)
    }

    /// One after the other: nothing here waits, so nothing is gained by more at a time.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        reads.iter().map(|it| Ok(self.get_now(it))).collect()
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        writes.iter().map(|it| self.write_now(it)).collect()
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let items: Vec<_> = writes.iter().map(item_of).collect();
        self.with(|state, now| {
            for (i, write) in writes.iter().enumerate() {
                state.check(write, now).map_err(|it| it.at(i))?;
            }
            let pairs = writes.iter().zip(items);
            Ok(pairs.map(|(it, item)| state.apply(it, item, now)).collect())
        })
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        Ok(self.with(|state, now| state.list(prefix, after, limit, now)))
    }

    async fn ping(&self) -> Result<()> {
        Ok(())
    }
}

impl State {
    fn live(&self, key: &Key, now: SystemTime) -> Option<&Item> {
        self.items.get(key).filter(|it| is_live(it, now))
    }

    fn check(&self, write: &Write, now: SystemTime) -> Result<(), Conflict> {
        if write.precondition == Precondition::Any {
            return Ok(());
        }
        write.precondition.check(self.live(&write.key, now).and_then(|it| it.etag.as_ref()))
    }

    /// Makes the change of `write`, where `item` is what [`item_of`] has made of it.
    fn apply(&mut self, write: &Write, item: Option<Item>, now: SystemTime) -> Written {
        let key = &write.key;
        let (Change::Put { ttl, .. }, Some(mut item)) = (&write.change, item) else {
            self.remove(key);
            return Written { etag: None };
        };
        // A time beyond what the clock can show is never.
        item.expires_at = ttl.duration().and_then(|it| now.checked_add(it));
        let (etag, expires_at) = (item.etag.clone(), item.expires_at);
        match self.items.get_mut(key) {
            Some(it) => {
                let before = mem::replace(it, item);
                self.expires_no_more(key, &before);
            }
            None => {
                self.keys.insert(key.clone());
                self.items.insert(key.clone(), item);
            }
        }
        if let Some(at) = expires_at {
            self.expiries.insert((at, key.clone()));
        }
        Written { etag }
    }

    fn remove(&mut self, key: &Key) {
        if let Some(removed) = self.items.remove(key) {
            self.keys.remove(key);
            self.expires_no_more(key, &removed);
        }
    }

    fn expires_no_more(&mut self, key: &Key, item: &Item) {
        if let Some(at) = item.expires_at {
            self.expiries.remove(&(at, key.clone()));
        }
    }

    fn sweep(&mut self, now: SystemTime) {
        for _ in 0..SWEEP_LEN_MAX {
            match self.expiries.first() {
                Some((at, _)) if *at <= now => {}
                _ => return,
            }
            let (_, key) = self.expiries.pop_first().expect("there is a first one");
            self.items.remove(&key);
            self.keys.remove(&key);
        }
    }

    fn list(&self, prefix: &str, after: Option<&Key>, limit: usize, now: SystemTime) -> KeyPage {
        let start = match after {
            Some(after) if after.as_str() >= prefix => Bound::Excluded(after.clone()),
            _ => Bound::Included(Key::stored(prefix)),
        };
        let from_start = self.keys.range((start, Bound::Unbounded));
        let mut keys = from_start
            .take_while(|it| it.as_str().starts_with(prefix))
            .filter(|it| self.live(it, now).is_some())
            .cloned();
        KeyPage { keys: keys.by_ref().take(limit).collect(), more: keys.next().is_some() }
    }
}

/// What a write puts, without its expiry, which depends on when that is; `None` if it deletes. Made while nobody has to wait for it.
fn item_of(write: &Write) -> Option<Item> {
    let Change::Put { value, .. } = &write.change else { return None };
    // A copy: as a slice it would keep alive the network buffer it came in.
    let value = Bytes::copy_from_slice(value);
    Some(Item { value, etag: Some(fresh_etag()), expires_at: None })
}

fn is_live(item: &Item, now: SystemTime) -> bool {
    item.expires_at.is_none_or(|at| now < at)
}

/// An ETag like Dapr's in-memory store issues. Random rather than counted, so that none is used
/// again when the process starts anew.
fn fresh_etag() -> ETag {
    let mut buffer = Uuid::encode_buffer();
    let text = Uuid::new_v4().hyphenated().encode_lower(&mut buffer);
    ETag::new(text).expect("a UUID is not empty")
}

fn capabilities() -> Capabilities {
    let only_copy = || Some("the same as any read or write: there is one copy".into());
    Capabilities {
        etag: true,
        ttl: true,
        list: true,
        transaction_len_max: Some(TRANSACTION_LEN_MAX),
        key_len_max: KEY_LEN_MAX,
        exact_values: true,
        consistency: Consistencies {
            strong_write: only_copy(),
            strong_read: only_copy(),
            eventual_read: None,
        },
        durability: Durability {
            process_crash: false,
            power_loss: false,
            failover: None,
            memory_pressure: true,
        },
        server_settings: Default::default(),
    }
}

#[cfg(test)]
mod tests;
