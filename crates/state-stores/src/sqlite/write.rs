//! What one write, or one transaction of the user's, does inside a commit.

use base64::{Engine, engine::general_purpose::STANDARD};
use rusqlite::{Connection, OptionalExtension, params};
use state::{Change, Conflict, ETag, Error, Format, Found, Precondition, Result, Write, Written};
use uuid::Uuid;

use super::{committer::Transaction, statements::Statements};

/// Why a write did not happen, before anybody has put words to it.
pub(super) enum Refusal {
    Conflict(Conflict),
    Driver(rusqlite::Error),
}

/// Makes one change if its precondition holds, by one statement.
pub(super) fn write(transaction: &Transaction<'_>, write: &Write) -> Result<Written> {
    let statements = &transaction.database.statements;
    try_write(transaction.connection, statements, write).map_err(|e| e.explain(transaction))
}

/// Makes all the changes or none. Every precondition is held against the state before any.
pub(super) fn write_all(transaction: &Transaction<'_>, writes: &[Write]) -> Result<Vec<Written>> {
    let Transaction { connection, database, .. } = transaction;
    for (position, write) in writes.iter().enumerate() {
        check(connection, &database.statements, write)
            .map_err(|e| e.at(position).explain(transaction))?;
    }
    run(connection, "SAVEPOINT unit").map_err(|e| transaction.explain(e))?;
    let written: Result<Vec<_>, Refusal> =
        writes.iter().map(|it| apply(connection, &database.statements, it)).collect();
    let written = written.map_err(|e| e.explain(transaction));
    if connection.is_autocommit() {
        // SQLite has rolled back the whole batch, and the savepoint with it.
        return written;
    }
    let undone = if written.is_err() { run(connection, "ROLLBACK TO unit") } else { Ok(()) };
    undone.and_then(|()| run(connection, "RELEASE unit")).map_err(|e| transaction.explain(e))?;
    written
}

/// Removes up to `limit` expired rows, unless somebody began to do so less than `interval_s` ago.
pub(super) fn sweep(
    transaction: &Transaction<'_>,
    interval_s: Option<i64>,
    limit: u16,
) -> Result<usize> {
    let Transaction { connection, database, .. } = transaction;
    let swept = || {
        if let Some(interval_s) = interval_s
            && connection.execute(&database.statements.claim_sweep, [interval_s])? == 0
        {
            return Ok(0);
        }
        connection.execute(&database.statements.sweep, [limit])
    };
    swept().map_err(|e| transaction.explain(e))
}

fn try_write(
    connection: &Connection,
    statements: &Statements,
    write: &Write,
) -> Result<Written, Refusal> {
    let (key, precondition) = (write.key.as_str(), &write.precondition);
    let (changed, etag) = match (&write.change, precondition) {
        (_, Precondition::Any) => return apply(connection, statements, write),
        (Change::Delete, Precondition::Absent) => {
            check(connection, statements, write)?;
            return Ok(Written { etag: None });
        }
        (Change::Delete, Precondition::Matches(expected)) => {
            let mut statement = connection.prepare_cached(&statements.delete_if_matches)?;
            (statement.execute([key, expected.as_str()])?, None)
        }
        (Change::Put { .. }, Precondition::Absent) => {
            let row = Row::new(write);
            let mut statement = connection.prepare_cached(&statements.put_if_absent)?;
            let Row { value, is_binary, etag, ttl_s } = &row;
            (statement.execute(params![key, value, is_binary, etag, ttl_s])?, Some(row.etag))
        }
        (Change::Put { .. }, Precondition::Matches(expected)) => {
            let row = Row::new(write);
            let mut statement = connection.prepare_cached(&statements.put_if_matches)?;
            let Row { value, is_binary, etag, ttl_s } = &row;
            let parameters = params![key, value, is_binary, etag, ttl_s, expected.as_str()];
            (statement.execute(parameters)?, Some(row.etag))
        }
    };
    if changed == 0 {
        let found = version(connection, statements, key)?;
        return Err(Refusal::Conflict(Conflict::new(found.map_or(Found::Absent, Found::Version))));
    }
    Ok(Written { etag: etag.and_then(|it| ETag::new(&it)) })
}

/// Makes the change whatever is there.
fn apply(
    connection: &Connection,
    statements: &Statements,
    write: &Write,
) -> Result<Written, Refusal> {
    let key = write.key.as_str();
    if write.change == Change::Delete {
        connection.prepare_cached(&statements.delete)?.execute([key])?;
        return Ok(Written { etag: None });
    }
    let Row { value, is_binary, etag, ttl_s } = Row::new(write);
    let mut statement = connection.prepare_cached(&statements.put)?;
    statement.execute(params![key, value, is_binary, etag, ttl_s])?;
    Ok(Written { etag: ETag::new(&etag) })
}

fn check(connection: &Connection, statements: &Statements, write: &Write) -> Result<(), Refusal> {
    if write.precondition == Precondition::Any {
        return Ok(());
    }
    let current = version(connection, statements, write.key.as_str())?;
    write.precondition.check(current.as_ref()).map_err(Refusal::Conflict)
}

fn version(
    connection: &Connection,
    statements: &Statements,
    key: &str,
) -> rusqlite::Result<Option<ETag>> {
    let mut statement = connection.prepare_cached(&statements.version)?;
    let etag = statement.query_row([key], |row| row.get::<_, String>(0)).optional()?;
    Ok(etag.and_then(|it| ETag::new(&it)))
}

fn run(connection: &Connection, statement: &str) -> rusqlite::Result<()> {
    connection.prepare_cached(statement)?.execute([]).map(drop)
}

/// A value as its row will hold it: JSON as text, anything else in base64. Source: Dapr's layout.
struct Row<'a> {
    value: std::borrow::Cow<'a, str>,
    is_binary: bool,
    etag: String,
    ttl_s: Option<i64>,
}

impl Row<'_> {
    fn new(write: &Write) -> Row<'_> {
        let Change::Put { value, format, ttl } = &write.change else {
            unreachable!("only puts have a row")
        };
        let text = match format {
            Format::Json => std::str::from_utf8(value).ok(),
            Format::Opaque => None,
        };
        Row {
            is_binary: text.is_none(),
            value: text.map_or_else(|| STANDARD.encode(value).into(), Into::into),
            etag: Uuid::new_v4().to_string(),
            ttl_s: ttl.duration().map(|it| it.as_secs().try_into().unwrap_or(i64::MAX)),
        }
    }
}

impl Refusal {
    fn at(self, position: usize) -> Refusal {
        match self {
            Refusal::Conflict(it) => Refusal::Conflict(it.at(position)),
            Refusal::Driver(_) => self,
        }
    }

    fn explain(self, transaction: &Transaction<'_>) -> Error {
        match self {
            Refusal::Conflict(it) => it.into(),
            Refusal::Driver(e) => transaction.explain(e),
        }
    }
}

impl From<rusqlite::Error> for Refusal {
    fn from(e: rusqlite::Error) -> Refusal {
        Refusal::Driver(e)
    }
}
