//! Calls that are tried again for as long as they may be.

use std::{sync::Arc, time::Duration};

use prost::Message;
use state::{Error, FailureKind, Result};
use tokio::sync::{Semaphore, SemaphorePermit};

use super::{
    connection::path,
    layout::Layout,
    members::Members,
    messages::{
        Compare, Compared, DeleteRequest, KeyValue, Operation, Request, TransactionRequest,
        TransactionResponse,
    },
    persistence::{Persistence, Stage, matters},
    refusal::{Intent, Trouble},
};

/// How many requests may be under way at once: more than clients can usefully send, and few enough that a server which
/// stands still does not fill the memory.
const REQUESTS_MAX: usize = 4096;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) members: Arc<Members>,
    pub(super) layout: Layout,
    /// The most operations of one transaction.
    pub(super) operations_max: usize,
    pub(super) timeout: Duration,
    /// One for each request that is under way.
    places: Semaphore,
    /// One for each lease that is being given back.
    pub(super) revocations: Arc<Semaphore>,
}

impl Engine {
    pub(super) fn new(
        members: Members,
        layout: Layout,
        operations_max: usize,
        timeout: Duration,
    ) -> Engine {
        Engine {
            members: Arc::new(members),
            layout,
            operations_max,
            timeout,
            places: Semaphore::new(REQUESTS_MAX),
            revocations: Arc::new(Semaphore::new(super::leases::REVOCATIONS_MAX)),
        }
    }

    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>> {
        self.places.try_acquire().map_err(|_| {
            let message =
                format!("{REQUESTS_MAX} requests wait for {} already", self.members.label);
            Error::new(FailureKind::Overloaded, message)
        })
    }

    /// Makes a call until it is answered.
    pub(super) async fn call<A: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
        intent: Intent,
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<A> {
        loop {
            match self.call_once(path, message, intent, stage).await {
                Ok(answer) => return Ok(answer),
                Err(trouble) => persistence.endures(trouble, stage).await?,
            }
        }
    }

    pub(super) async fn call_once<A: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
        intent: Intent,
        stage: &Stage,
    ) -> Result<A, Trouble> {
        let sends = || {
            if matters(intent) {
                stage.sends();
            }
        };
        let answer = self.members.call(path, message, intent, sends).await;
        if answer.is_ok() {
            stage.starts_again();
        }
        answer
    }

    /// Reads whatever there is to be read, within the time-out.
    pub(super) async fn ask<A: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
    ) -> Result<A> {
        let _place = self.place()?;
        let (stage, mut persistence) = (Stage::default(), Persistence::new(self.timeout));
        let work = self.call(path, message, Intent::Read, &stage, &mut persistence);
        stage.bounded(self.timeout, &self.members.label, work).await
    }

    /// Removes a value whose time is over, unless it is another already. Nobody is told that it is absent before: members
    /// compare no times, so from then on everybody sees the same, whatever their clocks say.
    ///
    /// `false` if it is another.
    pub(super) async fn remove(
        &self,
        kv: &KeyValue,
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<bool> {
        let transaction = TransactionRequest {
            compare: vec![Compare {
                result: 0,
                target: 2,
                key: kv.key.clone(),
                with: Some(Compared::ModRevision(kv.mod_revision)),
            }],
            success: vec![Operation {
                request: Some(Request::Delete(DeleteRequest { key: kv.key.clone() })),
            }],
            failure: Vec::new(),
        };
        // To do it twice is the same as to do it once.
        let answer: TransactionResponse =
            self.call(path::TRANSACTION, &transaction, Intent::Read, stage, persistence).await?;
        Ok(answer.succeeded)
    }
}
