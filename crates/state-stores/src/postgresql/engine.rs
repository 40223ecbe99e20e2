//! Single statements: reads, writes, and several of a kind at once.

use std::{collections::HashMap, time::Duration};

use state::{
    Conflict, Consistency, ETag, Error, FailureKind, Found, Item, Key, KeyPage, Precondition, Read,
    Result, Write, Written,
};
use tokio::sync::{Semaphore, SemaphorePermit};
use tokio_postgres::Row;

use super::{
    connection::{Connection, Parameters},
    layout::{Encoded, Expected, Layout, Mark, parts},
    persistence::{Persistence, Stage},
    pool::Pool,
    refusal::{Intent, Trouble},
    standby::Standby,
    statements::Which,
};

/// How many requests may be under way at once: more than clients can usefully send, and few enough that a server which
/// stands still does not fill the memory.
pub(super) const REQUESTS_MAX: usize = 4096;

/// Keys in one statement.
pub(super) const KEYS_MAX: usize = 1000;

#[derive(Debug)]
pub(super) struct Engine {
    pub(super) pool: Pool,
    pub(super) layout: Layout,
    pub(super) timeout: Duration,
    /// What a transaction has to be told to be acknowledged only when it is safe; `None` if every one is.
    pub(super) strong_setting: Option<&'static str>,
    /// Whether the server tells what became of a transaction.
    pub(super) tells_fates: bool,
    /// What a transaction is told first.
    pub(super) limits: String,
    pub(super) standby: Option<Standby>,
    /// One for each request that is under way.
    pub(super) places: Semaphore,
}

/// What a statement that changes something says.
pub(super) enum Said {
    Done { etag: Option<ETag> },
    Not { found: Option<ETag> },
}

impl Engine {
    pub(super) fn place(&self) -> Result<SemaphorePermit<'_>> {
        self.places.try_acquire().map_err(|_| {
            let message = format!("{REQUESTS_MAX} requests wait for {} already", self.pool.label());
            Error::new(FailureKind::Overloaded, message)
        })
    }

    /// What an error of this connection means. One that cannot be used for more is not.
    pub(super) fn trouble(
        &self,
        connection: &Connection,
        e: &tokio_postgres::Error,
        intent: Intent,
    ) -> Trouble {
        let trouble = Trouble::of(e, self.pool.label(), intent);
        if matches!(trouble, Trouble::NotHere(_)) || e.is_closed() {
            connection.retire();
        }
        trouble
    }

    pub(super) async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let rows = self.read(Which::Get, &[&read.key.as_str()], read.consistency).await?;
        rows.first().map(|it| Ok(self.layout.item(it)?.1)).transpose()
    }

    pub(super) async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let mut answers = Vec::with_capacity(reads.len());
        for chunk in reads.chunks(KEYS_MAX) {
            let strong = chunk.iter().any(|it| it.consistency == Consistency::Strong);
            let consistency = if strong { Consistency::Strong } else { Consistency::Eventual };
            let keys: Vec<&str> = chunk.iter().map(|it| it.key.as_str()).collect();
            let rows = self.read(Which::GetMany, &[&keys], consistency).await;
            let found = rows.map(|rows| {
                let items = rows.iter().map(|it| self.layout.item(it));
                items.collect::<Result<HashMap<Key, Item>>>()
            });
            match found {
                Ok(Ok(items)) => {
                    answers.extend(chunk.iter().map(|it| Ok(items.get(&it.key).cloned())));
                }
                // One value that cannot be understood does not keep the others from being read.
                Ok(Err(_)) => answers.extend(state::each(chunk, |it| self.get(it)).await),
                Err(e) => answers.extend(e.for_each(chunk.len())),
            }
        }
        answers
    }

    pub(super) async fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
    ) -> Result<KeyPage> {
        // One more than asked for tells whether another page follows.
        let limit_plus = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
        let after = after.map(Key::as_str);
        let rows =
            self.read(Which::List, &[&prefix, &after, &limit_plus], Consistency::Strong).await?;
        let mut page = KeyPage::default();
        for row in rows {
            let key: &str = row.get(0);
            if !key.starts_with(prefix) {
                break;
            }
            if page.keys.len() == limit {
                page.more = true;
                break;
            }
            page.keys.push(Key::stored(key));
        }
        Ok(page)
    }

    /// Asks the server that takes the writes, or, if that is good enough, a standby.
    async fn read(
        &self,
        which: Which,
        parameters: Parameters<'_>,
        consistency: Consistency,
    ) -> Result<Vec<Row>> {
        let _place = self.place()?;
        if consistency == Consistency::Eventual
            && let Some(connection) = self.standby.as_ref().and_then(Standby::connection)
            && let Ok(rows) = connection.run(which, parameters).await
        {
            return Ok(rows);
        }
        let (stage, mut persistence) = (Stage::default(), Persistence::default());
        let work = async {
            loop {
                let trouble = match self.pool.shared().await {
                    Err(trouble) => trouble,
                    Ok(connection) => {
                        stage.sends();
                        match connection.run(which, parameters).await {
                            Ok(rows) => return Ok(rows),
                            Err(e) => self.trouble(&connection, &e, Intent::Read),
                        }
                    }
                };
                stage.starts_again(&trouble);
                persistence.endures(trouble).await?;
            }
        };
        stage.bounded(self.timeout, Intent::Read, self.pool.label(), work).await
    }

    /// One write, among others on a connection. `None` if somebody else has its key, and it was not applied: it can wait
    /// for that on a connection of its own.
    pub(super) async fn write(&self, write: &Write) -> Result<Option<Written>> {
        let _place = self.place()?;
        let parts = parts(&self.layout, write);
        let expected = match &write.precondition {
            Precondition::Matches(etag) => match self.layout.expected(etag)? {
                Some(it) => Some(it),
                // No row has ever had it.
                None => return Err(Conflict::new(Found::Untold).into()),
            },
            Precondition::Any | Precondition::Absent => None,
        };
        let (stage, mut persistence) = (Stage::default(), Persistence::default());
        let (parts, expected) = (parts.as_ref(), expected.as_ref());
        let work = async {
            loop {
                let trouble = match self.pool.shared().await {
                    Err(trouble) => trouble,
                    Ok(connection) => {
                        stage.sends();
                        match self.try_write(&connection, write, parts, expected).await {
                            Ok(said) => return said.written(write).map(Some),
                            Err(trouble) => trouble,
                        }
                    }
                };
                match trouble {
                    Trouble::Locked(_) => return Ok(None),
                    Trouble::Final(e) => {
                        return self.look_for(&write.key, parts, e).await.map(Some);
                    }
                    trouble => {
                        stage.starts_again(&trouble);
                        persistence.endures(trouble).await?;
                    }
                }
            }
        };
        stage.bounded(self.timeout, Intent::Write, self.pool.label(), work).await
    }

    async fn try_write(
        &self,
        connection: &Connection,
        write: &Write,
        parts: Option<&(Encoded, Option<f64>)>,
        expected: Option<&Expected>,
    ) -> Result<Said, Trouble> {
        let unconfirmed = connection.unconfirmed();
        let sent = send(connection, write.key.as_str(), &write.precondition, parts, expected).await;
        let said = sent.map_err(|e| self.trouble(connection, &e, Intent::Write))?;
        if write.consistency == Consistency::Strong && connection.unconfirmed() != unconfirmed {
            return Err(Trouble::Final(self.not_confirmed()));
        }
        Ok(said)
    }

    pub(super) fn not_confirmed(&self) -> Error {
        let label = self.pool.label();
        let message = format!("{label} has written it, but was told not to wait for its standbys");
        Error::new(FailureKind::Lost, message)
    }

    /// After a write of which nobody knows what became: if the value is there under the ETag that was made for it, it was
    /// applied. Anything else tells nothing.
    async fn look_for(
        &self,
        key: &Key,
        parts: Option<&(Encoded, Option<f64>)>,
        e: Error,
    ) -> Result<Written> {
        let Some((Encoded { mark: Mark::ETag(own), .. }, _)) = parts else { return Err(e) };
        if e.outcome() != state::Outcome::Unknown {
            return Err(e);
        }
        let read = Read { consistency: Consistency::Strong, ..Read::new(key.clone()) };
        let own = ETag::new(&own.to_string());
        match Box::pin(self.get(&read)).await {
            Ok(Some(it)) if it.etag == own => Ok(Written { etag: own }),
            Ok(_) | Err(_) => Err(e),
        }
    }
}

/// Sends the statement that a write is.
pub(super) async fn send(
    connection: &Connection,
    key: &str,
    condition: &Precondition,
    parts: Option<&(Encoded, Option<f64>)>,
    expected: Option<&Expected>,
) -> Result<Said, tokio_postgres::Error> {
    let rows = match (parts, expected) {
        (Some((Encoded { value, mark }, ttl_s)), None) => {
            let which = if *condition == Precondition::Absent { Which::Create } else { Which::Put };
            connection.run(which, &[&key, value.parameter(), mark.parameter(), ttl_s]).await?
        }
        (Some((Encoded { value, mark }, ttl_s)), Some(expected)) => {
            let parameters: Parameters<'_> =
                &[&key, value.parameter(), mark.parameter(), ttl_s, expected.parameter()];
            connection.run(Which::Replace, parameters).await?
        }
        (None, Some(expected)) => {
            connection.run(Which::DeleteMatching, &[&key, expected.parameter()]).await?
        }
        (None, None) if *condition == Precondition::Absent => {
            let rows = connection.run(Which::Get, &[&key]).await?;
            return Ok(match rows.first() {
                None => Said::Done { etag: None },
                Some(row) => Said::Not { found: ETag::new(row.get(3)) },
            });
        }
        (None, None) => {
            connection.run(Which::Delete, &[&key]).await?;
            return Ok(Said::Done { etag: None });
        }
    };
    Ok(Said::of(&rows, parts.is_some()))
}

impl Said {
    fn of(rows: &[Row], is_put: bool) -> Said {
        let Some(row) = rows.first() else { return Said::Not { found: None } };
        let etag = |i: usize| row.get::<_, Option<&str>>(i).and_then(ETag::new);
        match row.get::<_, bool>(0) {
            true => Said::Done { etag: etag(1).filter(|_| is_put) },
            false => Said::Not { found: etag(2) },
        }
    }

    /// The answer to a single write.
    fn written(self, write: &Write) -> Result<Written> {
        match self {
            Said::Done { etag } => Ok(Written { etag }),
            Said::Not { found } => Err(conflict(&write.precondition, found).into()),
        }
    }
}

/// A conflict with what was seen. Where others write at the same time, a statement may see a row as it was before they
/// did, which is not what its condition was compared with.
pub(super) fn conflict(condition: &Precondition, found: Option<ETag>) -> Conflict {
    condition.check(found.as_ref()).err().unwrap_or(Conflict::new(Found::Untold))
}
