//! Several writes at one instant.
//!
//! At READ COMMITTED nothing locks a key that is absent. So every key of a transaction gets a row, those that are deleted
//! too: what is to be gone is put first and deleted after. Nobody else can write a key of it in between.

use std::collections::{BTreeMap, HashMap, HashSet};

use async_trait::async_trait;
use mysql_async::Value;
use state::{Conflict, ETag, Found, Key, Precondition, Write, Written};

use super::{
    Store, Work,
    pool::Session,
    refusal::{Halt, Refusal, Stage},
    values::NewRow,
};

pub(super) struct Transaction<'a> {
    pub(super) store: &'a Store,
    pub(super) writes: &'a [Write],
    pub(super) rows: &'a [Option<NewRow>],
}

/// Rows, or keys, in one statement.
const LEN_MAX: usize = 64;

/// Bytes of values in one statement.
const BYTES_MAX: usize = 1 << 20;

#[async_trait]
impl Work for Transaction<'_> {
    type Answer = Vec<Written>;

    async fn attempt(&self, session: &mut Session<'_>) -> Result<Vec<Written>, Halt> {
        session.command(Stage::Within, "START TRANSACTION").await?;
        if let Err(halt) = self.run(session).await {
            // If this fails, the connection is given up, and the server rolls back at its end.
            if session.command(Stage::Within, "ROLLBACK").await.is_err() {
                session.give_up();
            }
            return Err(halt);
        }
        session.command(Stage::Commit, "COMMIT").await?;
        Ok(self.rows.iter().map(written).collect())
    }
}

pub(super) fn written(row: &Option<NewRow>) -> Written {
    Written { etag: row.as_ref().and_then(|it| ETag::new(&it.etag)) }
}

impl Transaction<'_> {
    async fn run(&self, session: &mut Session<'_>) -> Result<(), Halt> {
        // The last write of each key is its effect.
        let mut effects: BTreeMap<&Key, &Option<NewRow>> = BTreeMap::new();
        for (write, row) in self.writes.iter().zip(self.rows) {
            effects.insert(&write.key, row);
        }
        let conditional: HashMap<&Key, usize> = self
            .writes
            .iter()
            .enumerate()
            .filter(|(_, it)| it.precondition != Precondition::Any)
            .map(|(i, it)| (&it.key, i))
            .collect();
        let mut unlocked = HashSet::new();
        if !conditional.is_empty() {
            let keys: Vec<&Key> = effects.keys().copied().collect();
            let found = self.lock(session, &keys).await?;
            for (position, write) in self.writes.iter().enumerate() {
                let row = found.get(write.key.as_str());
                let current = row.and_then(Option::as_ref);
                write.precondition.check(current).map_err(|it| it.at(position))?;
                if row.is_none() && write.precondition == Precondition::Absent {
                    unlocked.insert(&write.key);
                }
            }
        }
        let mut puts = Vec::new();
        for (key, row) in &effects {
            let row = (*row).clone().unwrap_or_else(|| NewRow::placeholder(key));
            if !unlocked.contains(*key) {
                puts.push(row);
                continue;
            }
            let statement = &self.store.statements.create;
            if session.change(Stage::Within, statement, row.parameters_twice()).await? == 0 {
                let position = conditional.get(*key).copied().unwrap_or_default();
                return Err(Conflict::new(Found::Untold).at(position).into());
            }
        }
        put_all(session, self.store, Stage::Within, &puts).await?;
        let gone: Vec<Value> =
            effects.iter().filter(|it| it.1.is_none()).map(|it| it.0.as_str().into()).collect();
        for chunk in powers(&gone) {
            let statement = self.store.statements.delete(chunk.len());
            session.change(Stage::Within, &statement, chunk.to_vec()).await?;
        }
        Ok(())
    }

    async fn lock(
        &self,
        session: &mut Session<'_>,
        keys: &[&Key],
    ) -> Result<HashMap<String, Option<ETag>>, Refusal> {
        let mut found = HashMap::with_capacity(keys.len());
        for chunk in powers(keys) {
            let statement = self.store.statements.lock(chunk.len());
            let keys = chunk.iter().map(|it| it.as_str().into()).collect();
            for row in session.rows(Stage::Within, &statement, keys).await? {
                let (key, etag): (String, Option<String>) = mysql_async::from_row(row);
                found.insert(key, etag.and_then(|it| ETag::new(&it)));
            }
        }
        Ok(found)
    }
}

/// Puts rows of different keys, a few statements for all of those that never expire.
pub(super) async fn put_all(
    session: &mut Session<'_>,
    store: &Store,
    stage: Stage,
    rows: &[NewRow],
) -> Result<(), Refusal> {
    let mut rest = rows;
    while !rest.is_empty() {
        let (chunk, after) = rest.split_at(chunk_len(rest));
        rest = after;
        if let [row] = chunk {
            session.change(stage, &store.statements.put_one, row.parameters_twice()).await?;
            continue;
        }
        let parameters = chunk.iter().flat_map(NewRow::parameters).collect();
        session.change(stage, &store.statements.put(chunk.len()), parameters).await?;
    }
    Ok(())
}

/// How many of the rows go into the next statement: a power of two, so that a connection has few statements to keep.
pub(super) fn chunk_len(rows: &[NewRow]) -> usize {
    let mut bytes = 0;
    let fit = rows.iter().take(LEN_MAX).take_while(|it| {
        bytes += it.bytes();
        bytes <= BYTES_MAX && !it.expires()
    });
    1 << fit.count().max(1).ilog2()
}

/// Pieces whose lengths are powers of two.
pub(super) fn powers<T>(all: &[T]) -> Vec<&[T]> {
    let (mut pieces, mut rest) = (Vec::new(), all);
    while !rest.is_empty() {
        let (piece, after) = rest.split_at(1 << rest.len().min(LEN_MAX).ilog2());
        pieces.push(piece);
        rest = after;
    }
    pieces
}
