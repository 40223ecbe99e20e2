//! Values that only those can read who have the key.

use std::sync::Arc;

use async_trait::async_trait;
use state::{
    Capabilities, Change, Format, Item, Key, KeyPage, Read, Result, Store, Write, Written,
};

mod cipher;
mod dapr;
mod envelope;
mod keys;

pub use cipher::{Cipher, Form};
pub use keys::{Encryption, EncryptionKey, KeyMistake, WrittenForm};

/// Encrypts values on their way to a store, and decrypts those that come back.
///
/// Keys, ETags and times to live stay as they are. What is not encrypted, or not by one of the keys,
/// or for another key or store, is [`Corrupt`](state::FailureKind::Corrupt), and nothing of it is
/// shown.
///
/// It belongs below whatever puts prefixes before keys: a value is bound to its full key.
#[derive(Debug)]
pub struct Encrypted {
    inner: Arc<dyn Store>,
    cipher: Cipher,
    capabilities: Capabilities,
}

impl Encrypted {
    /// Encrypts the values of `inner`, which is the store of the component `store`.
    pub fn new(inner: Arc<dyn Store>, store: &str, encryption: &Encryption) -> Encrypted {
        // Encrypted bytes are no JSON, so no JSON column has anything to normalise.
        let capabilities = Capabilities { exact_values: true, ..inner.capabilities().clone() };
        Encrypted { inner, cipher: Cipher::new(store, encryption), capabilities }
    }

    fn write(&self, write: &Write) -> Result<Write> {
        let change = match &write.change {
            Change::Put { value, format: _, ttl } => Change::Put {
                value: self.cipher.seal(&write.key, value)?,
                format: Format::Opaque,
                ttl: *ttl,
            },
            Change::Delete => Change::Delete,
        };
        Ok(Write { change, ..write.clone() })
    }

    fn item(&self, key: &Key, item: Option<Item>) -> Result<Option<Item>> {
        let Some(item) = item else { return Ok(None) };
        let value = self.cipher.open(key, &item.value)?;
        Ok(Some(Item { value, ..item }))
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Encrypted {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let item = self.inner.get(read).await?;
        self.item(&read.key, item)
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.inner.write(&self.write(write)?).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let writes: Vec<_> = writes.iter().map(|it| self.write(it)).collect::<Result<_>>()?;
        self.inner.transact(&writes).await
    }

    /// A value that cannot be decrypted is an error in its own place.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let items = self.inner.get_many(reads).await;
        let pairs = reads.iter().zip(items);
        pairs.map(|(read, item)| self.item(&read.key, item?)).collect()
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let mut refusals = Vec::with_capacity(writes.len());
        let mut encrypted = Vec::with_capacity(writes.len());
        for write in writes {
            refusals.push(self.write(write).map(|it| encrypted.push(it)));
        }
        let mut answers = self.inner.write_many(&encrypted).await.into_iter();
        let mut next = || answers.next().expect("one answer for each write that was handed on");
        refusals.into_iter().map(|it| it.and_then(|()| next())).collect()
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests;
