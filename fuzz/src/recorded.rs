use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use bytes::Bytes;
use parking_lot::Mutex;
use state::{Capabilities, Item, Key, KeyPage, Read, Result, Store, Write, Written};

/// A store that remembers what it was asked. It stands below all layers, where a database would.
#[derive(Debug)]
pub(crate) struct Recorded {
    inner: Arc<dyn Store>,
    calls: Mutex<Calls>,
}

/// What a store was asked, in order.
#[derive(Clone, Debug, Default)]
pub(crate) struct Calls {
    pub(crate) reads: Vec<Read>,
    pub(crate) writes: Vec<Write>,
}

impl Calls {
    /// Every key in them, prefixes included.
    pub(crate) fn keys(&self) -> impl Iterator<Item = &Key> {
        let reads = self.reads.iter().map(|it| &it.key);
        reads.chain(self.writes.iter().map(|it| &it.key))
    }
}

impl Recorded {
    /// An empty store in memory.
    pub(crate) async fn memory() -> Arc<Recorded> {
        let driver = state_stores::driver("state.in-memory").expect("it is always there");
        let inner = (driver.open)([("", ""); 0].into_iter().collect()).await;
        let inner = inner.expect("memory can always be opened");
        Arc::new(Recorded { inner, calls: Mutex::default() })
    }

    /// What it was asked since the last time.
    pub(crate) fn take_calls(&self) -> Calls {
        std::mem::take(&mut self.calls.lock())
    }

    /// All that is in it.
    pub(crate) async fn content(&self) -> BTreeMap<Key, Bytes> {
        let page = self.inner.list("", None, usize::MAX).await.expect("memory can list");
        let mut content = BTreeMap::new();
        for key in page.keys {
            let item = self.inner.get(&Read::new(key.clone())).await.expect("memory can read");
            content.extend(item.map(|it| (key, it.value)));
        }
        content
    }
}

#[async_trait]
impl Store for Recorded {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.calls.lock().reads.push(read.clone());
        self.inner.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.calls.lock().writes.push(write.clone());
        self.inner.write(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.calls.lock().writes.extend_from_slice(writes);
        self.inner.transact(writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.calls.lock().reads.extend_from_slice(reads);
        self.inner.get_many(reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        self.calls.lock().writes.extend_from_slice(writes);
        self.inner.write_many(writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}
