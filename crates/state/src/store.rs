use std::{collections::HashMap, fmt};

use async_trait::async_trait;
use futures::{Future, StreamExt, stream};

use crate::{
    Capabilities, Error, FailureKind, Feature, Item, Key, KeyPage, Read, Result, Write, Written,
};

/// How many single operations a store without a native bulk call runs at once.
pub const BULK_CONCURRENCY: usize = 32;

/// A place that keeps values by key.
///
/// # The contract
///
/// Per key, operations are linearizable. An expired item counts as absent everywhere. A write
/// whose error has the outcome `Conflict` or `NotApplied` has changed nothing and never will.
/// The cases of `state-testkit` are the contract in full.
///
/// # For stores
///
/// Implement the required methods, then whichever others the database can do better or at all,
/// and say so in `capabilities`.
///
/// # For layers
///
/// A layer is a store with an `inner: Arc<dyn Store>`. It must forward every method, even the
/// ones with a default, or it would silently replace the inner store's native bulk call with
/// a loop: put `#[deny(clippy::missing_trait_methods)]` on the impl.
#[async_trait]
pub trait Store: fmt::Debug + Send + Sync + 'static {
    /// What this store can do. The same answer every time.
    fn capabilities(&self) -> &Capabilities;

    /// Reads one key: `None` if it is absent or has expired.
    async fn get(&self, read: &Read) -> Result<Option<Item>>;

    /// Makes one change, atomically with the check of its precondition.
    async fn write(&self, write: &Write) -> Result<Written>;

    /// Makes all the changes, in order, or none of them. Preconditions see the state before any.
    ///
    /// The i-th answer is to the i-th write; without writes there is nothing to do, and no answer.
    /// A [`Conflict`](crate::Conflict) says which write's precondition did not hold; if several
    /// did not, it says any of them. Callers keep to `Capabilities::transaction_len_max`, which
    /// the `Guarded` layer sees to.
    async fn transact(&self, _writes: &[Write]) -> Result<Vec<Written>> {
        Err(unsupported(Feature::Transactions))
    }

    /// Reads keys independently of each other: the i-th result answers the i-th read.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        each(reads, |it| self.get(it)).await
    }

    /// Makes changes independently of each other: the i-th result answers the i-th write. Writes
    /// to the same key are applied in the order given.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        each_in_order(writes, |it| self.write(it)).await
    }

    /// Lists the keys that begin with `prefix` and come after `after`, in the order of their
    /// bytes, `limit` at most, which is at least 1.
    async fn list(&self, _prefix: &str, _after: Option<&Key>, _limit: usize) -> Result<KeyPage> {
        Err(unsupported(Feature::List))
    }

    /// Checks that the database answers.
    async fn ping(&self) -> Result<()>;

    /// Puts the database in order before the process ends, as far as that goes: nothing that was
    /// acknowledged depends on it. The store is not used afterwards.
    async fn close(&self) {}
}

fn unsupported(feature: Feature) -> Error {
    let message = format!("the state store does not support {}", feature.name());
    Error::new(FailureKind::Unsupported(feature), message)
}

/// Runs `f` on each request, [`BULK_CONCURRENCY`] at a time, keeping the order of the answers.
pub async fn each<'a, Q: 'a, A, F: Future<Output = A>>(
    requests: &'a [Q],
    f: impl Fn(&'a Q) -> F,
) -> Vec<A> {
    let futures: Vec<F> = requests.iter().map(f).collect();
    stream::iter(futures).buffered(BULK_CONCURRENCY).collect().await
}

/// As [`each`], but writes to one key run one after the other, in the order given.
pub async fn each_in_order<'a, A, F: Future<Output = A>>(
    writes: &'a [Write],
    f: impl Fn(&'a Write) -> F,
) -> Vec<A> {
    let mut by_key: HashMap<&Key, Vec<usize>> = HashMap::with_capacity(writes.len());
    for (i, write) in writes.iter().enumerate() {
        by_key.entry(&write.key).or_default().push(i);
    }
    let f = &f;
    let one_key = |positions: Vec<usize>| async move {
        let mut answers = Vec::with_capacity(positions.len());
        for i in positions {
            answers.push((i, f(&writes[i]).await));
        }
        answers
    };
    let queues: Vec<_> = by_key.into_values().map(one_key).collect();
    let mut answers: Vec<(usize, A)> = stream::iter(queues)
        .buffer_unordered(BULK_CONCURRENCY)
        .flat_map(stream::iter)
        .collect()
        .await;
    answers.sort_unstable_by_key(|(i, _)| *i);
    answers.into_iter().map(|(_, answer)| answer).collect()
}

#[cfg(test)]
mod tests;
