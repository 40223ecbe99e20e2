//! Several writes of a kind at once, in a statement for each few dozen.

use async_trait::async_trait;
use mysql_async::Value;
use state::{Change, Error, FailureKind, Precondition, Result, Write, Written, each};

use super::{
    Store, Work,
    pool::Session,
    refusal::{Halt, Stage},
    transaction::{chunk_len, powers, written},
    values::NewRow,
};

/// Rows of different keys that never expire, in one statement.
struct PutMany<'a> {
    store: &'a Store,
    rows: &'a [NewRow],
}

#[async_trait]
impl Work for PutMany<'_> {
    type Answer = ();

    async fn attempt(&self, session: &mut Session<'_>) -> Result<(), Halt> {
        let parameters = self.rows.iter().flat_map(NewRow::parameters).collect();
        let statement = self.store.statements.put(self.rows.len());
        session.change(Stage::Write, &statement, parameters).await?;
        Ok(())
    }
}

/// Different keys, in one statement.
struct DeleteMany<'a> {
    store: &'a Store,
    keys: &'a [&'a str],
}

#[async_trait]
impl Work for DeleteMany<'_> {
    type Answer = ();

    async fn attempt(&self, session: &mut Session<'_>) -> Result<(), Halt> {
        let keys: Vec<Value> = self.keys.iter().map(|it| (*it).into()).collect();
        session.change(Stage::Write, &self.store.statements.delete(keys.len()), keys).await?;
        Ok(())
    }
}

impl Store {
    /// Writes that are independent of each other, and each of another key.
    pub(super) async fn write_apart(&self, writes: &[&Write]) -> Vec<Result<Written>> {
        let mut answers: Vec<Option<Result<Written>>> = writes.iter().map(|_| None).collect();
        // Locked in one order, so that two of these do not wait for each other.
        let mut plain: Vec<usize> = (0..writes.len()).filter(|i| is_plain(writes[*i])).collect();
        plain.sort_unstable_by_key(|i| writes[*i].key.as_str());
        let (deletes, puts): (Vec<usize>, Vec<usize>) =
            plain.into_iter().partition(|i| writes[*i].change == Change::Delete);
        let rows: Vec<NewRow> =
            puts.iter().filter_map(|i| NewRow::new(writes[*i], Some(self.json))).collect();
        let (mut rest, mut positions) = (&rows[..], &puts[..]);
        while rest.len() > 1 {
            let len = chunk_len(rest);
            let (these, later) = rest.split_at(len);
            let (chunk, others) = positions.split_at(len);
            (rest, positions) = (later, others);
            if len > 1 {
                let done = self.run(&PutMany { store: self, rows: these }).await;
                for (i, row) in chunk.iter().zip(these) {
                    answers[*i] = answer(&done, || written(&Some(row.clone())));
                }
            }
        }
        for chunk in powers(&deletes).into_iter().filter(|it| it.len() > 1) {
            let keys: Vec<&str> = chunk.iter().map(|i| writes[*i].key.as_str()).collect();
            let done = self.run(&DeleteMany { store: self, keys: &keys }).await;
            for i in chunk {
                answers[*i] = answer(&done, || Written { etag: None });
            }
        }
        let alone: Vec<usize> = (0..writes.len()).filter(|i| answers[*i].is_none()).collect();
        let these: Vec<&Write> = alone.iter().map(|i| writes[*i]).collect();
        for (i, answer) in alone.into_iter().zip(each(&these, |it| self.write(it)).await) {
            answers[i] = Some(answer);
        }
        answers.into_iter().map(|it| it.expect("every write has an answer")).collect()
    }
}

/// The answer to one of those that went together; none if it has to be tried alone, because one of them was refused for
/// what it is.
fn answer(done: &Result<()>, written: impl FnOnce() -> Written) -> Option<Result<Written>> {
    match done {
        Ok(()) => Some(Ok(written())),
        Err(Error::Failure(it)) if it.kind() == FailureKind::Invalid => None,
        Err(e) => Some(Err(e.again())),
    }
}

/// Whether it has no condition, and the value, if there is one, is to stay.
fn is_plain(write: &Write) -> bool {
    let stays = match &write.change {
        Change::Put { ttl, .. } => ttl.duration().is_none(),
        Change::Delete => true,
    };
    stays && write.precondition == Precondition::Any
}
