//! `state.sqlite`: one table in a file, in the layout that Dapr reads and writes.
//!
//! Any number of processes may use one file at the same time. Writes go through one thread per
//! process, which commits them in groups; reads go to a few connections of their own.

use std::{
    borrow::Cow,
    sync::Arc,
    time::{Duration, UNIX_EPOCH},
};

use async_trait::async_trait;
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use rusqlite::{Connection, OptionalExtension, params, types::ValueRef};
use state::{
    Capabilities, Change, Consistencies, Durability, ETag, Error, FailureKind, Item, Key, KeyPage,
    Read, Result, Store, Write, Written,
};
use tracing::warn;

use self::{
    committer::Committer,
    database::Database,
    readers::Readers,
    settings::{Kind, Settings},
};
use crate::Driver;

mod checkpointer;
mod committer;
mod database;
mod readers;
mod settings;
mod statements;
mod write;

pub(crate) const DRIVER: Driver = Driver {
    component: "state.sqlite",
    aliases: &["state.sqlite3"],
    version: "v1",
    in_process: true,
    open: |properties| {
        Box::pin(async move {
            let settings = Settings::parse(&properties)?;
            Ok(Arc::new(SqliteStore::open(settings).await?) as Arc<dyn Store>)
        })
    },
};

/// Rows that one sweep removes in one transaction.
const SWEEP_LEN: u16 = 500;

/// Operations of one transaction: it holds up all other writes while it runs.
const TRANSACTION_LEN_MAX: usize = 10_000;

/// Bytes of a key, prefix included. SQLite itself would take far more.
const KEY_LEN_MAX: usize = 2048;

#[derive(Debug)]
struct SqliteStore {
    database: Arc<Database>,
    capabilities: Capabilities,
    committer: Committer,
    readers: Arc<Readers>,
}

impl SqliteStore {
    async fn open(settings: Settings) -> Result<SqliteStore> {
        let capabilities = capabilities(settings.target.kind);
        let database = Arc::new(Database::new(settings));
        let opening = database.clone();
        let connection = blocking(move || opening.open_writer()).await?;
        let committer = Committer::start(database.clone(), connection)?;
        if let Some(interval) = database.settings.cleanup_interval
            && database.settings.target.kind != Kind::ReadOnlyFile
        {
            tokio::spawn(sweep(committer.clone(), interval));
        }
        let readers = Arc::new(Readers::new(database.clone()));
        Ok(SqliteStore { database, capabilities, committer, readers })
    }

    /// Waits for `work` no longer than the component's timeout: it may still be done afterwards.
    async fn bounded<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        let timeout = self.database.settings.timeout;
        tokio::time::timeout(timeout, work).await.unwrap_or_else(|_| {
            let message = format!("{} gave no answer within {timeout:?}", self.database.label());
            Err(Error::new(FailureKind::Lost, message))
        })
    }

    async fn read<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Database, &Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        self.bounded(self.readers.run(work)).await
    }
}

#[async_trait]
impl Store for SqliteStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let key = read.key.clone();
        self.read(move |database, connection| get(database, connection, &key)).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let (size, write) = (size(std::slice::from_ref(write)), write.clone());
        self.bounded(self.committer.run(size, move |it| write::write(it, &write))).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let (size, writes) = (size(writes), writes.to_vec());
        self.bounded(self.committer.run(size, move |it| write::write_all(it, &writes))).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let keys: Vec<Key> = reads.iter().map(|it| it.key.clone()).collect();
        let work = move |database: &Database, connection: &Connection| {
            Ok(keys.iter().map(|it| get(database, connection, it)).collect())
        };
        self.read(work).await.unwrap_or_else(|e| e.for_each(reads.len()))
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let (size, len, writes) = (size(writes), writes.len(), writes.to_vec());
        let work = self
            .committer
            .run(size, move |it| Ok(writes.iter().map(|write| write::write(it, write)).collect()));
        self.bounded(work).await.unwrap_or_else(|e| e.for_each(len))
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        let (prefix, after) = (prefix.to_owned(), after.cloned());
        self.read(move |database, connection| {
            list(database, connection, &prefix, after.as_ref(), limit)
                .map_err(|e| database.explain(e))
        })
        .await
    }

    async fn ping(&self) -> Result<()> {
        self.read(|database, connection| {
            connection.query_row("SELECT 1", [], |_| Ok(())).map_err(|e| database.explain(e))
        })
        .await
    }

    async fn close(&self) {
        self.readers.close();
        self.committer.close().await;
    }
}

fn capabilities(kind: Kind) -> Capabilities {
    let on_disk = kind != Kind::Memory;
    let strong_write = match on_disk {
        true => "flushed to this machine's disk before the acknowledgement, like every write",
        false => "like every write: there is one copy, in memory",
    };
    Capabilities {
        etag: true,
        ttl: true,
        list: true,
        transaction_len_max: Some(TRANSACTION_LEN_MAX),
        key_len_max: KEY_LEN_MAX,
        exact_values: true,
        consistency: Consistencies {
            strong_write: Some(Cow::Borrowed(strong_write)),
            strong_read: Some(Cow::Borrowed("like every read: the last commit")),
            eventual_read: None,
        },
        durability: Durability {
            process_crash: on_disk,
            power_loss: on_disk,
            failover: None,
            memory_pressure: true,
        },
        server_settings: Default::default(),
    }
}

/// Removes expired rows every `interval`, for as long as the store lives.
async fn sweep(committer: Committer, interval: Duration) {
    let weak = committer.downgrade();
    drop(committer);
    let mut ticks = tokio::time::interval(interval);
    ticks.tick().await;
    loop {
        ticks.tick().await;
        let mut claim_s = Some(interval.as_secs().try_into().unwrap_or(i64::MAX));
        loop {
            let Some(committer) = Committer::upgrade(&weak) else { return };
            let work = committer.run((0, 0), move |it| write::sweep(it, claim_s, SWEEP_LEN));
            match work.await {
                Ok(len) if len == usize::from(SWEEP_LEN) => claim_s = None,
                Ok(_) => break,
                Err(e) => {
                    warn!(error = %e, "expired rows could not be removed; they stay invisible");
                    break;
                }
            }
        }
    }
}

fn get(database: &Database, connection: &Connection, key: &Key) -> Result<Option<Item>> {
    let row = connection
        .prepare_cached(&database.statements.get)
        .and_then(|mut it| it.query_row([key.as_str()], row).optional())
        .map_err(|e| database.explain(e))?;
    let Some(Row { value, is_binary, etag, expires_at_s }) = row else { return Ok(None) };
    let value = match is_binary {
        false => value,
        true => STANDARD.decode(&value).map(Bytes::from).map_err(|e| {
            let message = format!("{} holds a value that is not base64", database.label());
            Error::new(FailureKind::Corrupt, message).with_source(e)
        })?,
    };
    let since_epoch = expires_at_s.and_then(|it| u64::try_from(it).ok());
    let expires_at = since_epoch.map(|it| UNIX_EPOCH + Duration::from_secs(it));
    Ok(Some(Item { value, etag: ETag::new(&etag), expires_at }))
}

struct Row {
    value: Bytes,
    is_binary: bool,
    etag: String,
    expires_at_s: Option<i64>,
}

fn row(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    // SQLite's columns take any type, and other programs write here too.
    let value = match row.get_ref(0)? {
        ValueRef::Text(it) | ValueRef::Blob(it) => Bytes::copy_from_slice(it),
        ValueRef::Integer(it) => it.to_string().into(),
        ValueRef::Real(it) => it.to_string().into(),
        ValueRef::Null => Bytes::new(),
    };
    Ok(Row { value, is_binary: row.get(1)?, etag: row.get(2)?, expires_at_s: row.get(3)? })
}

fn list(
    database: &Database,
    connection: &Connection,
    prefix: &str,
    after: Option<&Key>,
    limit: usize,
) -> rusqlite::Result<KeyPage> {
    let mut statement = connection.prepare_cached(&database.statements.list)?;
    // One more than asked for tells whether another page follows.
    let limit_plus = i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1);
    let mut rows = statement.query(params![prefix, after.map(Key::as_str), limit_plus])?;
    let mut page = KeyPage::default();
    while let Some(row) = rows.next()? {
        let key: String = row.get(0)?;
        if !key.starts_with(prefix) {
            break;
        }
        if page.keys.len() == limit {
            page.more = true;
            break;
        }
        page.keys.push(Key::stored(&key));
    }
    Ok(page)
}

/// The number of writes, and the bytes of their values.
fn size(writes: &[Write]) -> (usize, usize) {
    let bytes = |it: &Write| match &it.change {
        Change::Put { value, .. } => value.len(),
        Change::Delete => 0,
    };
    (writes.len(), writes.iter().map(bytes).sum())
}

/// Runs blocking work off the async threads.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T> + Send + 'static,
) -> Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|e| {
        Err(Error::new(FailureKind::Lost, "a task of the database panicked").with_source(e))
    })
}

#[cfg(test)]
mod tests;
