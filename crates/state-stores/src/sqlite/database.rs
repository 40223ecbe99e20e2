//! Opening a database file, and what SQLite's errors mean for a caller.

use std::{
    fs::{self, OpenOptions},
    os::unix::fs::{MetadataExt, OpenOptionsExt},
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, MAIN_DB, OpenFlags, OptionalExtension};
use state::{Error, FailureKind, Result};
use tracing::warn;

use super::{
    settings::{Kind, Settings, Target},
    statements::{MIGRATION_LEVEL, Statements},
};

/// How many prepared statements a connection keeps; there are fewer than these.
const STATEMENTS_MAX: usize = 32;

/// The WAL file is cut back to this many bytes when it starts over.
const WAL_LEN_MAX: i64 = 64 << 20;

/// A database that has been opened at least once, so that its tables are there.
#[derive(Debug)]
pub(super) struct Database {
    pub(super) settings: Settings,
    pub(super) statements: Statements,
    /// How often the database was opened anew: connections from before are of no use.
    generation: AtomicU64,
}

/// Which file a path leads to: its device and its number there.
pub(super) type FileId = (u64, u64);

impl Database {
    pub(super) fn new(settings: Settings) -> Database {
        let statements = Statements::new(&settings.state_table, &settings.metadata_table);
        Database { settings, statements, generation: AtomicU64::new(0) }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Makes all connections that are open useless.
    pub(super) fn begin_generation(&self) {
        self.generation.fetch_add(1, Ordering::AcqRel);
    }

    /// The file that is there now, to be compared with the one that was opened.
    pub(super) fn file_id(&self) -> Option<FileId> {
        let path = self.settings.target.path()?;
        let metadata = fs::metadata(path).ok()?;
        Some((metadata.dev(), metadata.ino()))
    }

    /// How long the write-ahead log is now.
    pub(super) fn log_bytes(&self) -> usize {
        let log = self.settings.target.path().map(|it| format!("{}-wal", it.display()));
        let metadata = log.and_then(|it| fs::metadata(it).ok());
        metadata.map_or(0, |it| usize::try_from(it.len()).unwrap_or(usize::MAX))
    }

    /// Opens the connection that writes, creating file and tables if need be.
    pub(super) fn open_writer(&self) -> Result<Connection> {
        self.create_private();
        let connection = self.open(self.settings.target.kind == Kind::ReadOnlyFile)?;
        let deadline = Instant::now() + self.settings.busy_timeout;
        // Another process may be doing the same at this moment.
        while_busy(deadline, || self.prepare(&connection)).map_err(|e| self.explain(e))?;
        if connection.is_readonly(MAIN_DB).map_err(|e| self.explain(e))? {
            warn!(
                file = self.label(),
                "the database can only be read: every write will be refused"
            );
        }
        Ok(connection)
    }

    /// Creates the file with rights for this user alone; SQLite gives its log the same. A file
    /// that is there keeps its rights.
    ///
    /// Differs from Dapr: there, everybody on the machine may read the state.
    fn create_private(&self) {
        let Target { name, kind, .. } = &self.settings.target;
        let creates =
            matches!(kind, Kind::WalFile | Kind::JournalFile) && !name.starts_with("file:");
        if creates {
            // If this fails, so does SQLite, and says why.
            let _ = OpenOptions::new().write(true).create_new(true).mode(0o600).open(name);
        }
    }

    /// Opens a connection that only reads.
    pub(super) fn open_reader(&self) -> Result<Connection> {
        let read_only = self.settings.target.kind != Kind::Memory;
        let connection = self.open(read_only)?;
        connection.busy_timeout(self.settings.busy_timeout).map_err(|e| self.explain(e))?;
        Ok(connection)
    }

    /// Opens a connection that moves the write-ahead log into the database.
    pub(super) fn open_checkpointer(&self) -> Result<Connection> {
        self.open(false)
    }

    fn open(&self, read_only: bool) -> Result<Connection> {
        let Target { name, pragmas, .. } = &self.settings.target;
        let mut flags = OpenFlags::SQLITE_OPEN_NO_MUTEX;
        flags |= match read_only {
            true => OpenFlags::SQLITE_OPEN_READ_ONLY,
            false => OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_CREATE,
        };
        if name.starts_with("file:") {
            flags |= OpenFlags::SQLITE_OPEN_URI;
        }
        let opened = Connection::open_with_flags(name, flags).and_then(|connection| {
            connection.set_prepared_statement_cache_capacity(STATEMENTS_MAX);
            for (pragma, value) in pragmas {
                connection.execute_batch(&format!("PRAGMA {pragma} = {value}"))?;
            }
            Ok(connection)
        });
        opened.map_err(|e| self.explain(e))
    }

    fn prepare(&self, connection: &Connection) -> rusqlite::Result<()> {
        // Waiting is done by `while_busy`: SQLite's own pauses grow to 100 ms, in which a busy
        // neighbour takes the lock many times.
        connection.busy_timeout(Duration::ZERO)?;
        if self.settings.target.kind == Kind::WalFile {
            set_journal_mode(connection, "WAL")?;
            connection.pragma_update(None, "journal_size_limit", WAL_LEN_MAX)?;
            // Checkpoints are kept off the write path, see `Checkpointer`.
            connection.pragma_update(None, "wal_autocheckpoint", 0)?;
        } else if self.settings.target.kind == Kind::JournalFile {
            set_journal_mode(connection, "DELETE")?;
        }
        // A rollback journal is committed by removing it, and only EXTRA flushes the folder after
        // that. Source: sqlite.org/pragma.html#pragma_synchronous.
        let synchronous =
            if self.settings.target.kind == Kind::JournalFile { "EXTRA" } else { "FULL" };
        connection.pragma_update(None, "synchronous", synchronous)?;
        self.migrate(connection)
    }

    /// Creates the tables unless they are there. Writes nothing if they are, so that a file on a
    /// read-only disk can be read.
    fn migrate(&self, connection: &Connection) -> rusqlite::Result<()> {
        if self.level(connection)? >= Some(MIGRATION_LEVEL) {
            return self.index(connection);
        }
        connection.execute_batch("BEGIN EXCLUSIVE")?;
        let migrated = connection
            .execute_batch(&self.statements.create_tables)
            .and_then(|()| connection.execute(&self.statements.set_migration_level, []))
            .and_then(|_| connection.execute_batch("COMMIT"));
        if migrated.is_err() && !connection.is_autocommit() {
            connection.execute_batch("ROLLBACK")?;
        }
        migrated
    }

    /// Makes the sweeper's index in a file that Dapr has made.
    fn index(&self, connection: &Connection) -> rusqlite::Result<()> {
        let exists =
            connection.query_row(&self.statements.index_exists, [], |row| row.get::<_, bool>(0))?;
        if exists || connection.is_readonly(MAIN_DB)? {
            return Ok(());
        }
        connection.execute_batch(&self.statements.create_index)
    }

    /// The level of migration that the file says it has reached; `None` without tables.
    fn level(&self, connection: &Connection) -> rusqlite::Result<Option<u32>> {
        let exists = connection
            .query_row(&self.statements.state_table_exists, [], |row| row.get::<_, bool>(0))?;
        if !exists {
            return Ok(None);
        }
        let level = connection
            .query_row(&self.statements.migration_level, [], |row| row.get::<_, String>(0))
            .optional()?;
        Ok(level.and_then(|it| it.parse().ok()))
    }

    /// What people call the database.
    pub(super) fn label(&self) -> &str {
        &self.settings.target.label
    }

    /// Turns a driver error into one that names the file and says what to do.
    ///
    /// For every error but that of a commit: nothing was applied.
    pub(super) fn explain(&self, e: rusqlite::Error) -> Error {
        let (kind, message) = self.classify(&e);
        // As text: the driver's own causes say the same again.
        Error::new(kind, message).with_source(e.to_string())
    }

    /// As [`explain`](Database::explain), for the error of a COMMIT: unless the error is one of
    /// those that leave the transaction undone, nobody knows what is on the disk.
    pub(super) fn explain_commit(&self, e: rusqlite::Error) -> Error {
        let undone = matches!(
            e.sqlite_error_code(),
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked | ErrorCode::DiskFull)
        );
        if undone {
            return self.explain(e);
        }
        let message = format!(
            "the disk failed while {} was written: check the disk and its logs",
            self.label()
        );
        Error::new(FailureKind::Lost, message).with_source(e.to_string())
    }

    fn classify(&self, e: &rusqlite::Error) -> (FailureKind, String) {
        let file = self.label();
        match e.sqlite_error_code() {
            Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => (
                FailureKind::Unavailable,
                format!(
                    "{file} was locked by another process for longer than busyTimeout ({:?}): look \
                     for a program that keeps a transaction open, or raise busyTimeout",
                    self.settings.busy_timeout
                ),
            ),
            Some(ErrorCode::DiskFull) => (
                FailureKind::Unavailable,
                format!("the disk that holds {file} is full: free some space"),
            ),
            Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied) => (
                FailureKind::Unavailable,
                format!(
                    "{file} can only be read: give this user the right to write to the file and to \
                     its folder, and remove mode=ro and immutable=1 from connectionString"
                ),
            ),
            Some(ErrorCode::CannotOpen) => (FailureKind::Unavailable, self.explain_unopenable()),
            Some(ErrorCode::DatabaseCorrupt) => (
                FailureKind::Corrupt,
                format!(
                    "{file} is damaged: stop every program that uses it and restore a backup, or \
                     save what can be read with `sqlite3 {file} .recover`"
                ),
            ),
            Some(ErrorCode::NotADatabase) => (
                FailureKind::Corrupt,
                format!(
                    "{file} is not a SQLite database, or is encrypted: let connectionString name \
                     another file, or move this one away"
                ),
            ),
            Some(ErrorCode::TooBig) => {
                (FailureKind::Invalid, format!("{file} cannot hold a value of this size"))
            }
            Some(ErrorCode::OutOfMemory) => {
                (FailureKind::Unavailable, format!("there is not enough memory to use {file}"))
            }
            Some(ErrorCode::SystemIoFailure) => (
                FailureKind::Unavailable,
                format!("the disk that holds {file} failed: check the disk and its logs"),
            ),
            _ => (FailureKind::Unavailable, format!("{file} cannot be used")),
        }
    }

    fn explain_unopenable(&self) -> String {
        let file = self.label();
        let Some(path) = self.settings.target.path() else {
            return format!("{file} could not be opened");
        };
        let folder = path.parent().filter(|it| !it.as_os_str().is_empty());
        if let Some(folder) = folder
            && !folder.is_dir()
        {
            let folder = folder.display();
            return format!("{file} could not be opened: there is no folder {folder}; create it");
        }
        if path.is_dir() {
            return format!("{file} is a folder: let connectionString name a file in it");
        }
        format!("{file} could not be opened: give this user the right to read and write it")
    }
}

fn set_journal_mode(connection: &Connection, wanted: &str) -> rusqlite::Result<()> {
    let mut statement = connection.prepare(&format!("PRAGMA journal_mode = {wanted}"))?;
    let mut rows = statement.query([])?;
    let mode = rows.next()?.map_or_else(|| Ok(String::new()), |row| row.get(0))?;
    // The new mode is committed after its name was given, and that may fail.
    while rows.next()?.is_some() {}
    if !mode.eq_ignore_ascii_case(wanted) && !connection.is_readonly(MAIN_DB)? {
        warn!(wanted, mode, "the file system does not allow this journal mode");
    }
    Ok(())
}

/// Repeats `attempt` while another process holds the lock it needs, until `deadline`.
///
/// The pauses are short and uneven: under load the lock is free for moments only, and whoever
/// looks rarely, or in step with others, never finds it so.
pub(super) fn while_busy<T>(
    deadline: Instant,
    mut attempt: impl FnMut() -> rusqlite::Result<T>,
) -> rusqlite::Result<T> {
    let mut pause_us: u64 = 20;
    loop {
        let result = attempt();
        let busy =
            matches!(&result, Err(e) if e.sqlite_error_code() == Some(ErrorCode::DatabaseBusy));
        if !busy || Instant::now() >= deadline {
            return result;
        }
        pause(Duration::from_micros(pause_us));
        pause_us = if pause_us > 1_000 { 50 } else { pause_us * 7 / 4 };
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "on the writer's own thread; SQLite has no wake-up call for a free lock"
)]
fn pause(time: Duration) {
    thread::sleep(time);
}
