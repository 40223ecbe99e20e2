use std::sync::Arc;

use async_trait::async_trait;
use futures::{
    FutureExt,
    future::{BoxFuture, ready},
};
use state::{
    Capabilities, Change, Consistency, Error, FailureKind, Feature, Item, Key, KeyPage,
    Precondition, Read, Result, Store, Ttl, Write, Written,
};

/// Refuses what the store cannot do, before asking it.
///
/// Without this a store lacking ETags would accept a conditional write unconditionally, and an
/// update would be lost without a word.
#[derive(Debug)]
pub struct Guarded {
    /// What is guarded.
    pub inner: Arc<dyn Store>,
}

impl Guarded {
    fn admit_read(&self, read: &Read) -> Result<()> {
        let can = self.inner.capabilities();
        admit_key(can, &read.key)?;
        if read.consistency == Consistency::Strong && can.consistency.strong_read.is_none() {
            return Err(unsupported(Feature::StrongConsistency));
        }
        Ok(())
    }

    fn admit_write(&self, write: &Write) -> Result<()> {
        let can = self.inner.capabilities();
        admit_key(can, &write.key)?;
        if write.precondition != Precondition::Any && !can.etag {
            return Err(unsupported(Feature::ETags));
        }
        if matches!(write.change, Change::Put { ttl: Ttl::After(_), .. }) && !can.ttl {
            return Err(unsupported(Feature::Ttl));
        }
        if write.consistency == Consistency::Strong && can.consistency.strong_write.is_none() {
            return Err(unsupported(Feature::StrongConsistency));
        }
        Ok(())
    }

    fn admit_transaction(&self, writes: &[Write]) -> Result<()> {
        let Some(max) = self.inner.capabilities().transaction_len_max else {
            return Err(unsupported(Feature::Transactions));
        };
        let count = writes.len();
        if count > max {
            let message = format!(
                "the transaction contains {count} operations, which is more than what the state \
                 store supports: {max}"
            );
            return Err(Error::new(FailureKind::TooManyOperations { count, max }, message));
        }
        writes.iter().try_for_each(|it| self.admit_write(it))
    }
}

fn admit_key(can: &Capabilities, key: &Key) -> Result<()> {
    let (len, max) = (key.as_str().len(), can.key_len_max);
    if len <= max {
        return Ok(());
    }
    let message = format!("the key has {len} bytes, which is more than this store takes: {max}");
    Err(Error::new(FailureKind::Invalid, message))
}

fn unsupported(feature: Feature) -> Error {
    let message = format!("the state store does not support {}", feature.name());
    Error::new(FailureKind::Unsupported(feature), message)
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Guarded {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    // These two are on the way of nearly every request. They decide before anything waits, and so need no future of their own.

    fn get<'s, 'r, 'f>(&'s self, read: &'r Read) -> BoxFuture<'f, Result<Option<Item>>>
    where
        's: 'f,
        'r: 'f,
    {
        match self.admit_read(read) {
            Ok(()) => self.inner.get(read),
            Err(e) => ready(Err(e)).boxed(),
        }
    }

    fn write<'s, 'w, 'f>(&'s self, write: &'w Write) -> BoxFuture<'f, Result<Written>>
    where
        's: 'f,
        'w: 'f,
    {
        match self.admit_write(write) {
            Ok(()) => self.inner.write(write),
            Err(e) => ready(Err(e)).boxed(),
        }
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.admit_transaction(writes)?;
        self.inner.transact(writes).await
    }

    /// Refuses the inadmissible reads and makes the others.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let admitted: Vec<_> = reads.iter().map(|it| self.admit_read(it)).collect();
        if admitted.iter().all(Result::is_ok) {
            return self.inner.get_many(reads).await;
        }
        let good: Vec<_> = pick(reads, &admitted);
        merge(admitted, self.inner.get_many(&good).await)
    }

    /// Refuses the inadmissible writes and makes the others.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let admitted: Vec<_> = writes.iter().map(|it| self.admit_write(it)).collect();
        if admitted.iter().all(Result::is_ok) {
            return self.inner.write_many(writes).await;
        }
        let good: Vec<_> = pick(writes, &admitted);
        merge(admitted, self.inner.write_many(&good).await)
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        if !self.inner.capabilities().list {
            return Err(unsupported(Feature::List));
        }
        self.inner.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

fn pick<Q: Clone>(requests: &[Q], admitted: &[Result<()>]) -> Vec<Q> {
    let pairs = requests.iter().zip(admitted);
    pairs.filter(|(_, admitted)| admitted.is_ok()).map(|(it, _)| it.clone()).collect()
}

/// Puts the answers to the admitted requests in their places among the refusals.
fn merge<A>(admitted: Vec<Result<()>>, answers: Vec<Result<A>>) -> Vec<Result<A>> {
    let mut answers = answers.into_iter();
    let mut next = || answers.next().expect("one answer for each admitted request");
    admitted.into_iter().map(|it| it.and_then(|()| next())).collect()
}

#[cfg(test)]
mod tests;
