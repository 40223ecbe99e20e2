use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use futures::{Future, FutureExt, future::BoxFuture};
use state::{
    Capabilities, Error, FailureKind, Item, Key, KeyPage, Read, Result, Store, Write, Written,
};
use state_config::Policy;
use tokio_util::sync::CancellationToken;

use self::{
    breaker::Breaker,
    events::Reporter,
    pauses::Schedule,
    repetition::{Attempts, ReadAttempts, WriteAttempts},
};

mod breaker;
mod events;
mod pauses;
mod repetition;

pub use breaker::BreakerState;
pub use events::{PolicyKind, ResiliencyEvent, ResiliencyObserver};

/// Does what a Resiliency resource asks when the store fails: bounds each attempt in time, tries again,
/// and leaves a store alone that goes on failing. In Dapr's order: retry( breaker( timeout( attempt ) ) ).
///
/// Nothing is sent again that could be applied twice, or over a newer value; see `repetition`. So the
/// outcomes that the store's own errors have still hold for the operation as a whole.
///
/// Whoever drops the future of an operation ends its attempts and its pauses.
#[derive(Debug)]
pub struct Resilient {
    inner: Arc<dyn Store>,
    policy: Policy,
    breaker: Option<Breaker>,
    reporter: Reporter,
    ending: CancellationToken,
}

impl Resilient {
    /// Applies `policy` to the store of the component. Once `ending` is cancelled there are no more
    /// pauses: what fails then has failed.
    pub fn new(
        inner: Arc<dyn Store>,
        component: String,
        policy: Policy,
        ending: CancellationToken,
        observer: Option<Arc<dyn ResiliencyObserver>>,
    ) -> Resilient {
        let reporter = Reporter { component, resource: policy.resource.clone(), observer };
        let breaker = policy.breaker.clone().map(|it| Breaker::new(it, reporter.clone()));
        Resilient { inner, policy, breaker, reporter, ending }
    }

    /// Makes attempts until there is nothing left that may be tried again, or no retry is left.
    async fn persist<T: Send>(
        &self,
        mut attempts: impl Attempts<T>,
        attempt: impl Fn(Vec<usize>) -> BoxFuture<'static, Vec<Result<T>>> + Sync,
    ) -> Vec<Result<T>> {
        let mut schedule = self.policy.retry.as_ref().map(Schedule::new);
        self.reporter.executed(&self.policy);
        let mut made = 0;
        let mut pending = attempts.all();
        loop {
            let permit = match self.breaker.as_ref().map(Breaker::admit).transpose() {
                Ok(permit) => permit,
                // Dapr, too, lets an open breaker end the retries.
                Err(refusal) => {
                    attempts.refused(&pending, || refusal.to_error());
                    return attempts.into_results();
                }
            };
            if made > 0 {
                self.reporter.activated(PolicyKind::Retry);
            }
            made += 1;
            let results = self.within_time(pending.len(), attempt(pending.clone())).await;
            if let Some(permit) = permit {
                permit.done(!results.iter().any(|it| it.as_ref().is_err_and(is_failure)));
            }
            attempts.answered(&pending, results);
            let again = attempts.repeatable();
            if again.is_empty() {
                if made > 1 && attempts.is_well() {
                    self.reporter.recovered(made);
                }
                return attempts.into_results();
            }
            let Some(pause) = schedule.as_mut().and_then(Schedule::next) else {
                return attempts.into_results();
            };
            if made == 1 {
                self.reporter.retrying(pause);
            }
            if self.ending.run_until_cancelled(tokio::time::sleep(pause)).await.is_none() {
                return attempts.into_results();
            }
            pending = again;
        }
    }

    async fn read<T: Send + 'static>(
        &self,
        attempt: impl Fn() -> BoxFuture<'static, Result<T>> + Sync,
    ) -> Result<T> {
        let one = |_| attempt().map(|it| vec![it]).boxed();
        only(self.persist(ReadAttempts::new(1), one).await)
    }

    async fn within_time<T>(
        &self,
        len: usize,
        attempt: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        let Some(timeout) = self.policy.timeout else { return attempt.await };
        match tokio::time::timeout(timeout, attempt).await {
            Ok(results) => results,
            Err(_) => {
                self.reporter.activated(PolicyKind::Timeout);
                (0..len).map(|_| Err(late(timeout))).collect()
            }
        }
    }
}

/// What is known of an attempt that took too long: nothing. A read has no outcome that matters.
fn late(timeout: Duration) -> Error {
    let message = format!("context deadline exceeded: the store did not answer within {timeout:?}");
    Error::new(FailureKind::Lost, message)
}

/// Whether the store itself is to blame, in such a way that it may pass. A conflict or a refusal is an
/// answer, and so is a value that cannot be understood.
///
/// Differs from Dapr: there, conflicts open circuit breakers.
fn is_failure(e: &Error) -> bool {
    match e {
        Error::Conflict(_) => false,
        Error::Failure(it) => match it.kind() {
            FailureKind::Unavailable | FailureKind::Overloaded | FailureKind::Lost => true,
            FailureKind::Invalid
            | FailureKind::InvalidETag
            | FailureKind::Unsupported(_)
            | FailureKind::TooManyOperations { .. }
            | FailureKind::Corrupt => false,
        },
    }
}

fn only<T>(results: Vec<Result<T>>) -> Result<T> {
    results.into_iter().next().expect("one answer to one request")
}

/// The requests at these places.
fn pick<Q: Clone>(requests: &[Q], places: &[usize]) -> Vec<Q> {
    places.iter().map(|it| requests[*it].clone()).collect()
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Resilient {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.read(|| {
            let (inner, read) = (self.inner.clone(), read.clone());
            async move { inner.get(&read).await }.boxed()
        })
        .await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let attempts = WriteAttempts::each(std::slice::from_ref(write));
        let attempt = |_| {
            let (inner, write) = (self.inner.clone(), write.clone());
            async move { vec![inner.write(&write).await] }.boxed()
        };
        only(self.persist(attempts, attempt).await)
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let attempts = WriteAttempts::together(writes);
        let attempt = |_| {
            let (inner, writes) = (self.inner.clone(), writes.to_vec());
            async move { vec![inner.transact(&writes).await] }.boxed()
        };
        only(self.persist(attempts, attempt).await)
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let attempt = |places: Vec<usize>| {
            let (inner, reads) = (self.inner.clone(), pick(reads, &places));
            async move { inner.get_many(&reads).await }.boxed()
        };
        self.persist(ReadAttempts::new(reads.len()), attempt).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let attempt = |places: Vec<usize>| {
            let (inner, writes) = (self.inner.clone(), pick(writes, &places));
            async move { inner.write_many(&writes).await }.boxed()
        };
        self.persist(WriteAttempts::each(writes), attempt).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.read(|| {
            let (inner, prefix, after) = (self.inner.clone(), prefix.to_owned(), after.cloned());
            async move { inner.list(&prefix, after.as_ref(), limit).await }.boxed()
        })
        .await
    }

    /// Asks once: whoever wants to know whether the database answers wants to know it now.
    async fn ping(&self) -> Result<()> {
        self.inner.ping().await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests;
