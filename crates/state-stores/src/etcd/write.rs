//! Writes: one flat transaction of etcd for each, and what it was if it did not succeed.

use std::collections::HashMap;

use bytes::Bytes;
use state::{Change, Error, FailureKind, Result, Write, Written};

use super::{
    connection::path,
    engine::Engine,
    layout::etag,
    lease::End,
    leases::{Leases, ttl},
    messages::{
        DeleteRequest, KeyValue, Operation, PutRequest, RangeRequest, Request, Response,
        TransactionRequest, TransactionResponse,
    },
    persistence::{Persistence, Stage},
    plan::{Step, steps},
    refusal::{Intent, Trouble},
};

impl Engine {
    /// All of the writes, or none.
    pub(super) async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let _place = self.place()?;
        let mut steps = steps(writes);
        let (stage, mut persistence) = (Stage::default(), Persistence::new(self.timeout));
        let work = async {
            let compares = |steps: &[Step<'_>]| {
                let each = steps.iter().map(|it| it.compares(&self.layout.key(it.key())).len());
                each.sum::<usize>()
            };
            if compares(&steps) > self.operations_max && steps.len() > 1 {
                self.look(&mut steps, &stage, &mut persistence).await?;
            }
            loop {
                let answer = self.attempt(&steps, &stage, &mut persistence).await?;
                if answer.succeeded {
                    let revision = answer.header.map_or(0, |it| it.revision);
                    return Ok(answers(writes, &steps, revision));
                }
                let found = found(&answer);
                self.judge(&mut steps, &found, &stage, &mut persistence).await?;
            }
        };
        stage.bounded(self.timeout, &self.members.label, work).await
    }

    /// Sends the transaction until it is answered.
    async fn attempt(
        &self,
        steps: &[Step<'_>],
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<TransactionResponse> {
        loop {
            let mut leases =
                self.grant(steps.iter().map(|it| it.last.1), stage, persistence).await?;
            let asked = self.transaction(steps, &leases);
            leases.are_used();
            let trouble =
                match self.call_once(path::TRANSACTION, &asked, Intent::Write, stage).await {
                    Ok(answer) => {
                        let answer: TransactionResponse = answer;
                        if !answer.succeeded {
                            leases.are_unused();
                        } else if !leases.are_in_time() {
                            return Err(self.too_late());
                        }
                        return Ok(answer);
                    }
                    Err(trouble) => trouble,
                };
            let is_unknown = match &trouble {
                Trouble::Final(e) => e.outcome() == state::Outcome::Unknown,
                _ => false,
            };
            if !is_unknown {
                leases.are_unused();
            }
            drop(leases);
            persistence.endures(trouble, stage).await?;
        }
    }

    /// Says that it is not known for how long a value lives.
    fn too_late(&self) -> Error {
        let label = &self.members.label;
        let message = format!(
            "{label} has written it, but so late that it may be gone before its time to live is over"
        );
        Error::new(FailureKind::Lost, message)
    }

    fn transaction(&self, steps: &[Step<'_>], leases: &Leases) -> TransactionRequest {
        let mut transaction = TransactionRequest::default();
        for step in steps {
            let key = self.layout.key(step.key());
            transaction.compare.extend(step.compares(&key));
            if !step.conditions.is_empty() {
                transaction.failure.push(version_of(&key));
            }
            transaction.success.push(self.effect(step.last.1, key, leases));
        }
        transaction
    }

    /// What a write does if its condition holds.
    fn effect(&self, write: &Write, key: Bytes, leases: &Leases) -> Operation {
        let request = match &write.change {
            Change::Put { value, .. } => {
                let ttl = ttl(write);
                let value = self.layout.encode(value, ttl);
                Request::Put(PutRequest { key, value, lease: leases.id(ttl) })
            }
            Change::Delete => Request::Delete(DeleteRequest { key }),
        };
        Operation { request: Some(request) }
    }

    /// After a transaction that did not succeed: what is in its way is either a conflict, or over and removed, or a lease
    /// that may be there.
    async fn judge(
        &self,
        steps: &mut [Step<'_>],
        found: &HashMap<Bytes, KeyValue>,
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<()> {
        let mut removed = false;
        for step in steps.iter() {
            let kv = found.get(&self.layout.key(step.key()));
            if let Some(kv) = kv.filter(|it| End::of(it).is_over()) {
                self.remove(kv, stage, persistence).await?;
                removed = true;
            }
        }
        if removed {
            return Ok(());
        }
        for step in steps.iter_mut().filter(|it| !it.conditions.is_empty()) {
            let kv = found.get(&self.layout.key(step.key()));
            if let Some(conflict) = step.conflict(kv.and_then(|it| etag(it.mod_revision)).as_ref())
            {
                return Err(conflict.into());
            }
            step.is_leased = true;
        }
        Ok(())
    }

    /// Looks at the keys first, where there is no room to ask for their leases in the transaction itself.
    async fn look(
        &self,
        steps: &mut [Step<'_>],
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<()> {
        loop {
            let conditional = steps.iter().filter(|it| !it.conditions.is_empty());
            let asked = TransactionRequest {
                success: conditional.map(|it| version_of(&self.layout.key(it.key()))).collect(),
                ..TransactionRequest::default()
            };
            let call = self.call(path::TRANSACTION, &asked, Intent::Read, stage, persistence);
            let found = found(&call.await?);
            self.judge(steps, &found, stage, persistence).await?;
            if steps.iter().all(|it| it.is_leased || it.conditions.is_empty()) {
                return Ok(());
            }
        }
    }
}

/// Asks which version a key has, and which lease, and not for its value.
fn version_of(key: &Bytes) -> Operation {
    let range = RangeRequest { key: key.clone(), keys_only: true, ..RangeRequest::default() };
    Operation { request: Some(Request::Range(range)) }
}

/// What ranges of an answer have found.
fn found(answer: &TransactionResponse) -> HashMap<Bytes, KeyValue> {
    let ranges = answer.responses.iter().filter_map(|it| match &it.response {
        Some(Response::Range(range)) => Some(&range.kvs),
        _ => None,
    });
    ranges.flatten().map(|kv| (kv.key.clone(), kv.clone())).collect()
}

/// One answer for each write, in their order. What was overwritten in the same transaction was never a version.
fn answers(writes: &[Write], steps: &[Step<'_>], revision: i64) -> Vec<Written> {
    let mut answers = vec![Written { etag: None }; writes.len()];
    for step in steps.iter().filter(|it| it.is_put()) {
        answers[step.last.0].etag = etag(revision);
    }
    answers
}
