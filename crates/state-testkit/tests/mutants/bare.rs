use std::sync::Arc;

use async_trait::async_trait;
use state::{
    Capabilities, Change, Consistencies, Consistency, Error, FailureKind, Feature, Item, Key,
    KeyPage, Precondition, Read, Result, Store, Ttl, Write, Written,
};

/// A store that claims to do no more than it must.
#[derive(Debug)]
pub(crate) struct Bare {
    inner: Arc<dyn Store>,
    capabilities: Capabilities,
    /// Whether it refuses what it does not claim.
    refuses: bool,
}

impl Bare {
    pub(crate) fn new(inner: Arc<dyn Store>, refuses: bool) -> Bare {
        let capabilities = Capabilities {
            etag: false,
            ttl: false,
            list: false,
            transaction_len_max: None,
            consistency: Consistencies {
                strong_write: None,
                strong_read: None,
                eventual_read: None,
            },
            ..inner.capabilities().clone()
        };
        Bare { inner, capabilities, refuses }
    }

    fn refuse(&self, feature: Feature, is_asked: bool) -> Result<()> {
        if self.refuses && is_asked {
            return Err(Error::new(FailureKind::Unsupported(feature), feature.name()));
        }
        Ok(())
    }
}

#[async_trait]
impl Store for Bare {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.refuse(Feature::StrongConsistency, read.consistency == Consistency::Strong)?;
        let item = self.inner.get(read).await?;
        Ok(item.map(|it| Item { etag: None, ..it }))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.refuse(Feature::StrongConsistency, write.consistency == Consistency::Strong)?;
        self.refuse(Feature::ETags, write.precondition != Precondition::Any)?;
        self.refuse(Feature::Ttl, matches!(write.change, Change::Put { ttl: Ttl::After(_), .. }))?;
        self.inner.write(write).await?;
        Ok(Written { etag: None })
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.refuse(Feature::Transactions, true)?;
        self.inner.transact(writes).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.refuse(Feature::List, true)?;
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }
}
