use std::{sync::Arc, time::Instant};

use async_trait::async_trait;
use futures::Future;
use state::{Capabilities, Item, Key, KeyPage, Read, Result, Store, Write, Written};
use tracing::{Level, debug, enabled};

/// Reports every operation with its duration and outcome, at the level `debug`.
///
/// Costs one comparison per operation while nobody listens at that level.
#[derive(Debug)]
pub struct Observed {
    /// What is observed.
    pub inner: Arc<dyn Store>,
    /// The component's name.
    pub component: String,
}

impl Observed {
    async fn observe<T>(&self, op: &'static str, f: impl Future<Output = Result<T>>) -> Result<T> {
        if !enabled!(Level::DEBUG) {
            return f.await;
        }
        let started = Instant::now();
        let result = f.await;
        let outcome = result.as_ref().map_or_else(|e| e.outcome().name(), |_| "ok");
        let elapsed_us = started.elapsed().as_micros() as u64;
        debug!(component = self.component, op, outcome, elapsed_us, "state operation");
        result
    }

    /// As `observe`, for a batch.
    async fn observe_many<T>(
        &self,
        op: &'static str,
        f: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        if !enabled!(Level::DEBUG) {
            return f.await;
        }
        let started = Instant::now();
        let results = f.await;
        let failed = results.iter().filter(|it| it.is_err()).count();
        let elapsed_us = started.elapsed().as_micros() as u64;
        let len = results.len();
        debug!(component = self.component, op, len, failed, elapsed_us, "state operation");
        results
    }
}

#[async_trait]
#[deny(clippy::missing_trait_methods)]
impl Store for Observed {
    fn capabilities(&self) -> &Capabilities {
        self.inner.capabilities()
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.observe("get", self.inner.get(read)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.observe("write", self.inner.write(write)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.observe("transact", self.inner.transact(writes)).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.observe_many("get_many", self.inner.get_many(reads)).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        self.observe_many("write_many", self.inner.write_many(writes)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.observe("list", self.inner.list(prefix, after, limit)).await
    }

    async fn ping(&self) -> Result<()> {
        self.observe("ping", self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}
