//! Moves the write-ahead log into the database, off the path of the writes.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
        mpsc::{Receiver, SyncSender, sync_channel},
    },
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use rusqlite::{Connection, ffi};
use state::{Error, FailureKind, Result};
use tracing::{debug, warn};

use super::{
    database::{Database, while_busy},
    settings::Kind,
};

/// How much is written between two checkpoints. SQLite's own default is 1000 pages of 4 KiB.
const CHECKPOINT_BYTES: usize = 4 << 20;

/// What one small write adds to the log: the page of the row and the page of its key.
const WRITE_BYTES: usize = 2 * 4096;

/// Beyond this many pages (32 MiB), the log is emptied even if a batch must wait for that.
const LOG_PAGES_MAX: i64 = 8192;

/// The thread that checkpoints ends when this is dropped.
#[derive(Debug)]
pub(super) struct Checkpointer {
    /// `None` where there is no write-ahead log.
    wake: Option<SyncSender<()>>,
    pending_bytes: usize,
    /// The thread could not catch up with the writes: the writer is to do the rest itself.
    behind: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Checkpointer {
    pub(super) fn start(database: &Arc<Database>) -> Result<Checkpointer> {
        let behind = Arc::new(AtomicBool::new(false));
        if database.settings.target.kind != Kind::WalFile {
            return Ok(Checkpointer { wake: None, pending_bytes: 0, behind, thread: None });
        }
        // What a killed process has left counts too: who is killed often would never get there.
        let pending_bytes = database.log_bytes();
        // One waiting signal is enough: a checkpoint takes in all that came before it.
        let (wake, woken) = sync_channel(1);
        let (database, late) = (database.clone(), behind.clone());
        let thread = thread::Builder::new()
            .name("sqlite-checkpoint".to_owned())
            .spawn(move || run(&database, &woken, &late))
            .map_err(|e| {
                Error::new(FailureKind::Unavailable, "cannot start a thread").with_source(e)
            })?;
        Ok(Checkpointer { wake: Some(wake), pending_bytes, behind, thread: Some(thread) })
    }

    /// Ends the thread and waits until it has closed its connection.
    pub(super) fn end(&mut self) {
        self.wake = None;
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            warn!("the thread that checkpoints has panicked");
        }
    }

    /// Notes that a batch was committed through `connection`.
    pub(super) fn wrote(&mut self, len: usize, bytes: usize, connection: &Connection) {
        let Some(wake) = &self.wake else { return };
        if self.behind.swap(false, Ordering::AcqRel) {
            // Between two batches of the only thread that writes, nothing is added to the log, so
            // little is left to do, and then the log can start over.
            report(checkpoint(connection, "PASSIVE"));
        }
        self.pending_bytes = self.pending_bytes.saturating_add(bytes + len * WRITE_BYTES);
        if self.pending_bytes >= CHECKPOINT_BYTES {
            self.pending_bytes = 0;
            // A full channel means that the thread will look anyway.
            let _ = wake.try_send(());
        }
    }
}

/// What a checkpoint says of the log, in pages.
#[derive(Clone, Copy, Debug)]
pub(super) struct Progress {
    /// Somebody else is in the way.
    pub(super) busy: bool,
    pub(super) log: i64,
    pub(super) moved: i64,
}

/// Runs a checkpoint of this mode. Source: sqlite.org/pragma.html#pragma_wal_checkpoint.
pub(super) fn checkpoint(connection: &Connection, mode: &str) -> rusqlite::Result<Progress> {
    connection.query_row(&format!("PRAGMA wal_checkpoint({mode})"), [], |row| {
        Ok(Progress { busy: row.get(0)?, log: row.get(1)?, moved: row.get(2)? })
    })
}

/// Moves all of the log into the database, and empties it. Waits for others who use it for `patience`, and less than twice as
/// long: no attempt begins after that, and each may wait as long by itself.
///
/// The connection does not wait by itself afterwards. Fails with `SQLITE_BUSY` if the log was in use all the time.
pub(super) fn empty_log(connection: &Connection, patience: Duration) -> rusqlite::Result<()> {
    let deadline = Instant::now() + patience;
    // SQLite waits for those who write and read, and meanwhile others begin without the log; but for another checkpoint it
    // does not wait.
    connection.busy_timeout(patience)?;
    let emptied = while_busy(deadline, || match checkpoint(connection, "TRUNCATE")?.busy {
        true => Err(rusqlite::Error::SqliteFailure(ffi::Error::new(ffi::SQLITE_BUSY), None)),
        false => Ok(()),
    });
    connection.busy_timeout(Duration::ZERO)?;
    emptied
}

fn run(database: &Database, woken: &Receiver<()>, behind: &AtomicBool) {
    let (mut connection, mut generation) = (None, database.generation());
    while woken.recv().is_ok() {
        if connection.is_none() || generation != database.generation() {
            generation = database.generation();
            connection = database
                .open_checkpointer()
                .inspect_err(|e| warn!(error = %e, "cannot checkpoint"))
                .ok();
        }
        let Some(open) = &connection else { continue };
        let progress = checkpoint(open, "PASSIVE");
        if let Ok(Progress { log, moved, .. }) = progress
            && log > LOG_PAGES_MAX
            && moved < log
        {
            behind.store(true, Ordering::Release);
        }
        report(progress);
    }
}

fn report(progress: rusqlite::Result<Progress>) {
    match progress {
        Ok(Progress { busy, log, moved }) => debug!(busy, log, moved, "checkpoint"),
        // The log keeps what could not be moved: nothing is lost, and the next one tries again.
        Err(e) => warn!(error = %e, "checkpoint failed"),
    }
}
