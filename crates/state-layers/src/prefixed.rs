use std::sync::Arc;

use async_trait::async_trait;
use state::{Capabilities, Item, Key, KeyPage, Read, Result, Store, Write, Written};

/// Keeps applications that share a database apart, by putting a prefix before every key.
#[derive(Debug)]
pub struct Prefixed {
    inner: Arc<dyn Store>,
    prefix: String,
    capabilities: Capabilities,
}

impl Prefixed {
    /// Puts `prefix` before every key of `inner`, which leaves less room for the key itself.
    pub fn new(inner: Arc<dyn Store>, prefix: String) -> Prefixed {
        let capabilities = inner.capabilities().clone();
        let key_len_max = capabilities.key_len_max.saturating_sub(prefix.len());
        Prefixed { inner, prefix, capabilities: Capabilities { key_len_max, ..capabilities } }
    }

    fn read(&self, read: &Read) -> Read {
        let Read { key, consistency, metadata } = read;
        let key = key.prefixed(&self.prefix);
        Read { key, consistency: *consistency, metadata: metadata.clone() }
    }

    fn write(&self, write: &Write) -> Write {
        Write { key: write.key.prefixed(&self.prefix), ..write.clone() }
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Prefixed {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.inner.get(&self.read(read)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.inner.write(&self.write(write)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let writes: Vec<_> = writes.iter().map(|it| self.write(it)).collect();
        self.inner.transact(&writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let reads: Vec<_> = reads.iter().map(|it| self.read(it)).collect();
        self.inner.get_many(&reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let writes: Vec<_> = writes.iter().map(|it| self.write(it)).collect();
        self.inner.write_many(&writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let prefix = [&self.prefix, prefix].concat();
        let after = after.map(|it| it.prefixed(&self.prefix));
        let page = self.inner.list(&prefix, after.as_ref(), limit).await?;
        let keys = page.keys.iter().filter_map(|it| it.strip_prefix(&self.prefix)).collect();
        Ok(KeyPage { keys, ..page })
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
