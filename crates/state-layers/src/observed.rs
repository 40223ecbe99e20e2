use std::{
    fmt,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use futures::Future;
use state::{
    Capabilities, Change, Item, Key, KeyPage, Outcome, Read, Result, Store, Write, Written,
};
use tracing::{Level, debug, enabled};

/// Reports every operation with its duration and outcome, at the level `debug`, and to an observer.
///
/// Without one it costs one comparison per operation while nobody listens at that level.
#[derive(Debug)]
pub struct Observed {
    /// What is observed.
    pub inner: Arc<dyn Store>,
    /// The component's name.
    pub component: String,
    /// Who is told as well, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Is told of the operations on one component. What it does happens on the way to the answer, so it must be quick.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// An operation has ended.
    fn operation(&self, operation: Operation, tally: Tally, elapsed: Duration);
}

/// What an application asked of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Reading one key.
    Get,
    /// Reading several.
    GetMany,
    /// Saving one item or several.
    Set,
    /// Deleting one key.
    Delete,
    /// Deleting several.
    DeleteMany,
    /// All or nothing.
    Transact,
}

/// What became of the items of an operation. A transaction counts as one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Read or written.
    pub ok: u64,
    /// A condition did not hold.
    pub conflict: u64,
    /// Failed, and has changed nothing. Reads never do.
    pub not_applied: u64,
    /// Nobody knows.
    pub unknown: u64,
}

impl Operation {
    /// All of them, each at its place.
    pub const ALL: [Operation; 6] = [
        Operation::Get,
        Operation::GetMany,
        Operation::Set,
        Operation::Delete,
        Operation::DeleteMany,
        Operation::Transact,
    ];

    /// Its name in metrics. Source: Dapr.
    pub fn name(self) -> &'static str {
        match self {
            Operation::Get => "get",
            Operation::GetMany => "bulk_get",
            Operation::Set => "set",
            Operation::Delete => "delete",
            Operation::DeleteMany => "bulk_delete",
            Operation::Transact => "transaction",
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Operation::Get | Operation::GetMany)
    }

    fn of(write: &Write) -> Operation {
        match write.change {
            Change::Put { .. } => Operation::Set,
            Change::Delete => Operation::Delete,
        }
    }

    /// Of writes of one kind, which is what applications can ask for.
    fn of_many(writes: &[Write]) -> Operation {
        match writes.first().map(Operation::of) {
            Some(Operation::Delete) => Operation::DeleteMany,
            _ => Operation::Set,
        }
    }
}

impl Tally {
    /// Whether nothing failed.
    pub fn is_success(&self) -> bool {
        self.conflict + self.not_applied + self.unknown == 0
    }

    fn add<T>(&mut self, operation: Operation, result: &Result<T>) {
        let place = match result.as_ref().map_err(|e| e.outcome()) {
            Ok(_) => &mut self.ok,
            Err(_) if operation.is_read() => &mut self.not_applied,
            Err(Outcome::Conflict) => &mut self.conflict,
            Err(Outcome::NotApplied) => &mut self.not_applied,
            Err(Outcome::Unknown) => &mut self.unknown,
        };
        *place += 1;
    }
}

impl Observed {
    /// Whether anybody listens.
    fn is_watched(&self) -> bool {
        self.observer.is_some() || enabled!(Level::DEBUG)
    }

    async fn log<T>(&self, op: &'static str, f: impl Future<Output = Result<T>>) -> Result<T> {
        if !enabled!(Level::DEBUG) {
            return f.await;
        }
        let started = Instant::now();
        let result = f.await;
        self.report(op, &result, started.elapsed());
        result
    }

    fn report<T>(&self, op: &'static str, result: &Result<T>, elapsed: Duration) {
        let outcome = result.as_ref().map_or_else(|e| e.outcome().name(), |_| "ok");
        let elapsed_us = elapsed.as_micros() as u64;
        debug!(component = self.component, op, outcome, elapsed_us, "state operation");
    }

    async fn observe<T>(
        &self,
        op: &'static str,
        operation: Operation,
        f: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        if !self.is_watched() {
            return f.await;
        }
        let started = Instant::now();
        let result = f.await;
        let elapsed = started.elapsed();
        if let Some(observer) = &self.observer {
            let mut tally = Tally::default();
            tally.add(operation, &result);
            observer.operation(operation, tally, elapsed);
        }
        self.report(op, &result, elapsed);
        result
    }

    /// As `observe`, for a batch.
    async fn observe_many<T>(
        &self,
        op: &'static str,
        operation: Operation,
        f: impl Future<Output = Vec<Result<T>>>,
    ) -> Vec<Result<T>> {
        if !self.is_watched() {
            return f.await;
        }
        let started = Instant::now();
        let results = f.await;
        let elapsed = started.elapsed();
        if let Some(observer) = &self.observer {
            let mut tally = Tally::default();
            results.iter().for_each(|it| tally.add(operation, it));
            observer.operation(operation, tally, elapsed);
        }
        let failed = results.iter().filter(|it| it.is_err()).count();
        let elapsed_us = elapsed.as_micros() as u64;
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
        self.observe("get", Operation::Get, self.inner.get(read)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.observe("write", Operation::of(write), self.inner.write(write)).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        self.observe("transact", Operation::Transact, self.inner.transact(writes)).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.observe_many("get_many", Operation::GetMany, self.inner.get_many(reads)).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let operation = Operation::of_many(writes);
        self.observe_many("write_many", operation, self.inner.write_many(writes)).await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.log("list", self.inner.list(prefix, after, limit)).await
    }

    async fn ping(&self) -> Result<()> {
        self.log("ping", self.inner.ping()).await
    }

    async fn close(&self) {
        self.inner.close().await;
    }
}

#[cfg(test)]
mod tests;
