//! Group commit: one thread owns the connection that writes, and commits together whatever has
//! gathered while the last commit was on its way to the disk.

use std::{
    cell::RefCell,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use rusqlite::{Connection, ErrorCode, MAIN_DB};
use state::{Error, FailureKind, Outcome, Result};
use tokio::sync::{mpsc, oneshot};
use tracing::{error, info, warn};

use super::{
    checkpointer::{Checkpointer, checkpoint, empty_log},
    database::{Database, FileId, while_busy},
    settings::Kind,
};

/// Jobs that may wait; one more is refused.
const QUEUE_LEN_MAX: usize = 4096;

/// A batch is closed when it has this many writes, or bytes of values.
const BATCH_LEN_MAX: usize = 512;
const BATCH_BYTES_MAX: usize = 1 << 20;

/// The pause before a database whose disk failed, or that could not be written, is opened again.
const REOPEN_PAUSE: Duration = Duration::from_secs(1);

/// Sends work to the thread that writes, which ends when the last `Committer` is dropped.
#[derive(Clone, Debug)]
pub(super) struct Committer(mpsc::Sender<Message>);

/// What the thread that writes is told.
#[derive(Debug)]
pub(super) enum Message {
    Job(Job),
    /// To empty the log, and to say when that is done.
    Close(oneshot::Sender<()>),
}

/// Work for one transaction, together with other people's.
pub(super) struct Job {
    /// How many writes it makes, and how many bytes of values they have.
    len: usize,
    bytes: usize,
    task: Box<dyn Task>,
}

/// The open transaction that a job works in.
pub(super) struct Transaction<'a> {
    pub(super) connection: &'a Connection,
    pub(super) database: &'a Database,
    last_failure: &'a RefCell<Option<Failed>>,
}

/// A failure that befell a whole batch: every job in it gets a copy.
#[derive(Clone, Debug)]
struct Failed {
    kind: FailureKind,
    message: String,
    source: String,
}

impl Committer {
    /// Starts the thread that writes through `connection`.
    pub(super) fn start(database: Arc<Database>, connection: Connection) -> Result<Committer> {
        let (sender, messages) = mpsc::channel(QUEUE_LEN_MAX);
        let checkpointer = Checkpointer::start(&database)?;
        let mut writer = Writer {
            file: database.file_id(),
            database,
            connection: Some(connection),
            reopen_at: Instant::now(),
            checkpointer,
        };
        thread::Builder::new()
            .name("sqlite-writer".to_owned())
            .spawn(move || writer.run(messages))
            .map_err(|e| {
                Error::new(FailureKind::Unavailable, "cannot start a thread").with_source(e)
            })?;
        Ok(Committer(sender))
    }

    /// Runs `work` in a transaction and returns its result once that has been committed.
    ///
    /// `work` makes `len` writes with `bytes` bytes of values. If it fails it must have undone
    /// what it did: the transaction goes on with the work of others.
    pub(super) async fn run<T: Send + 'static>(
        &self,
        (len, bytes): (usize, usize),
        work: impl FnOnce(&Transaction<'_>) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        let (reply, answer) = oneshot::channel();
        let task = Box::new(Replying { work: Some(work), result: None, reply });
        self.0.try_send(Message::Job(Job { len, bytes, task })).map_err(|e| match e {
            mpsc::error::TrySendError::Full(_) => Error::new(
                FailureKind::Overloaded,
                format!("{QUEUE_LEN_MAX} requests wait to be written already: try again later"),
            ),
            mpsc::error::TrySendError::Closed(_) => {
                let message = "the thread that writes has ended: restart the sidecar";
                Error::new(FailureKind::Unavailable, message)
            }
        })?;
        let lost = |_| Error::new(FailureKind::Lost, "the thread that writes ended");
        answer.await.map_err(lost)?
    }

    /// Moves everything from the log to the database, so that the one file is all there is, unless
    /// another process is using it.
    pub(super) async fn close(&self) {
        let (reply, done) = oneshot::channel();
        if self.0.send(Message::Close(reply)).await.is_ok() {
            // Without an answer the log stays, and is read when the file is next opened.
            let _ = done.await;
        }
    }

    /// A handle that does not keep the thread alive.
    pub(super) fn downgrade(&self) -> mpsc::WeakSender<Message> {
        self.0.downgrade()
    }

    /// The handle again, unless the thread was told to end meanwhile.
    pub(super) fn upgrade(weak: &mpsc::WeakSender<Message>) -> Option<Committer> {
        weak.upgrade().map(Committer)
    }
}

/// A job's two moments: its turn in the transaction, and the end of that.
trait Task: Send {
    fn work(&mut self, transaction: &Transaction<'_>);
    fn end(self: Box<Self>, committed: Result<(), &Failed>);
}

struct Replying<T, F> {
    work: Option<F>,
    result: Option<Result<T>>,
    reply: oneshot::Sender<Result<T>>,
}

impl<T: Send, F: FnOnce(&Transaction<'_>) -> Result<T> + Send> Task for Replying<T, F> {
    fn work(&mut self, transaction: &Transaction<'_>) {
        self.result = self.work.take().map(|work| work(transaction));
    }

    fn end(self: Box<Self>, committed: Result<(), &Failed>) {
        let result = match committed {
            Ok(()) => self.result.expect("what was committed had its turn"),
            Err(failed) => Err(failed.error()),
        };
        // Nobody listens any more when a client has hung up: what was done is done.
        let _ = self.reply.send(result);
    }
}

/// The state of the thread that writes.
struct Writer {
    database: Arc<Database>,
    /// `None` after the disk has failed, until the database could be opened again.
    connection: Option<Connection>,
    /// The file that `connection` is open on.
    file: Option<FileId>,
    reopen_at: Instant,
    checkpointer: Checkpointer,
}

impl Writer {
    fn run(&mut self, mut messages: mpsc::Receiver<Message>) {
        while let Some(first) = messages.blocking_recv() {
            let mut batch = Batch::default();
            let mut next = Some(first);
            while let Some(message) = next {
                match message {
                    Message::Job(job) => batch.add(job),
                    Message::Close(reply) => {
                        self.write(std::mem::take(&mut batch));
                        self.tidy_up();
                        let _ = reply.send(());
                    }
                }
                let full = batch.len >= BATCH_LEN_MAX || batch.bytes >= BATCH_BYTES_MAX;
                next = if full { None } else { messages.try_recv().ok() };
            }
            self.write(batch);
        }
    }

    /// Empties the log, and closes its connections: with the last one to a file, SQLite removes the log.
    fn tidy_up(&mut self) {
        if self.database.settings.target.kind != Kind::WalFile {
            return;
        }
        let Some(connection) = &self.connection else { return };
        if let Err(e) = checkpoint(connection, "TRUNCATE") {
            warn!(file = self.database.label(), error = %e, "the log was not emptied");
        }
        self.checkpointer.end();
        self.connection = None;
    }

    /// Gives each task its turn in one transaction. Nobody is answered before it is on the disk.
    fn write(&mut self, mut batch: Batch) {
        if batch.tasks.is_empty() {
            return;
        }
        let database = self.database.clone();
        let connection = match self.connection() {
            Ok(it) => it,
            Err(failed) => return batch.end(Err(&failed)),
        };
        if let Err(e) = database.begin(connection) {
            if e.sqlite_error_code() == Some(ErrorCode::ReadOnly) {
                self.close_for_a_while();
            }
            return batch.end(Err(&Failed::new(&database.explain(e))));
        }
        let last_failure = RefCell::new(None);
        let transaction =
            Transaction { connection, database: &database, last_failure: &last_failure };
        for task in &mut batch.tasks {
            task.work(&transaction);
            if connection.is_autocommit() {
                // A full disk, for one, makes SQLite roll back everything by itself.
                let failed = last_failure.take().unwrap_or_else(Failed::rolled_back);
                return batch.end(Err(&failed));
            }
        }
        match database.commit(connection) {
            Ok(()) => {
                let (len, bytes) = (batch.len, batch.bytes);
                batch.end(Ok(()));
                if let Some(connection) = &self.connection {
                    self.checkpointer.wrote(len, bytes, connection);
                }
            }
            Err(e) => self.abort(batch, e),
        }
    }

    /// Ends a transaction that could not be committed.
    fn abort(&mut self, batch: Batch, e: rusqlite::Error) {
        let failed = Failed::new(&self.database.explain_commit(e));
        let connection = self.connection.as_ref().expect("a batch was being written");
        let undone = connection.is_autocommit() || connection.execute_batch("ROLLBACK").is_ok();
        if failed.kind.outcome() == Outcome::Unknown || !undone {
            // After a failed flush the system's cache says one thing and the disk another, so a
            // flush is never tried again: the database is closed, and used again only when
            // everything in its log could be written once more.
            error!(
                file = self.database.label(),
                error = failed.source,
                "closing a failed database"
            );
            self.close_for_a_while();
        }
        batch.end(Err(&failed));
    }

    fn may_reopen(&self) -> bool {
        Instant::now() >= self.reopen_at
    }

    fn close_for_a_while(&mut self) {
        self.connection = None;
        self.reopen_at = Instant::now() + REOPEN_PAUSE;
    }

    /// The connection, opened again if the disk failed a while ago.
    ///
    /// A file that was deleted or replaced can still be written, and nobody would ever see what
    /// was: whatever is at its path now is opened instead.
    fn connection(&mut self) -> Result<&Connection, Failed> {
        if self.connection.is_some() && self.database.file_id() != self.file {
            error!(file = self.database.label(), "somebody has deleted or replaced the file");
            self.connection = None;
        }
        // What it cannot open for writing, SQLite opens for reading, and the reason may pass.
        let is_meant = self.database.settings.target.kind == Kind::ReadOnlyFile;
        let is_read_only = |it: &Connection| it.is_readonly(MAIN_DB).unwrap_or(false);
        if !is_meant && self.connection.as_ref().is_some_and(is_read_only) && self.may_reopen() {
            self.connection = None;
        }
        if self.connection.is_none() {
            self.connection = Some(self.reopen()?);
            self.file = self.database.file_id();
            self.database.begin_generation();
            info!(file = self.database.label(), "opened again");
        }
        Ok(self.connection.as_ref().expect("opened above"))
    }

    fn reopen(&mut self) -> Result<Connection, Failed> {
        let file = self.database.label();
        if !self.may_reopen() {
            let message = format!("{file} was closed because its disk failed: try again later");
            return Err(Failed::new(&Error::new(FailureKind::Unavailable, message)));
        }
        self.reopen_at = Instant::now() + REOPEN_PAUSE;
        let opened = self.open_emptied();
        if let Err(e) = &opened {
            warn!(file, error = e.message, source = e.source, "it cannot be opened again yet");
        }
        opened
    }

    /// A new connection, with nothing in the log.
    fn open_emptied(&self) -> Result<Connection, Failed> {
        let connection = self.database.open_writer().map_err(|e| Failed::new(&e))?;
        if self.database.settings.target.kind != Kind::WalFile {
            return Ok(connection);
        }
        let emptied = empty_log(&connection, self.database.settings.busy_timeout);
        emptied.map_err(|e| Failed::new(&self.database.explain(e)))?;
        Ok(connection)
    }
}

#[derive(Default)]
struct Batch {
    len: usize,
    bytes: usize,
    tasks: Vec<Box<dyn Task>>,
}

impl Batch {
    fn add(&mut self, job: Job) {
        self.len += job.len;
        self.bytes += job.bytes;
        self.tasks.push(job.task);
    }

    fn end(self, committed: Result<(), &Failed>) {
        self.tasks.into_iter().for_each(|it| it.end(committed));
    }
}

impl Database {
    fn begin(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.patiently(connection, "BEGIN IMMEDIATE")
    }

    fn commit(&self, connection: &Connection) -> rusqlite::Result<()> {
        self.patiently(connection, "COMMIT")
    }

    fn patiently(&self, connection: &Connection, statement: &str) -> rusqlite::Result<()> {
        let deadline = Instant::now() + self.settings.busy_timeout;
        while_busy(deadline, || connection.prepare_cached(statement)?.execute([]).map(drop))
    }
}

impl Transaction<'_> {
    /// Makes an error of the driver one for the caller.
    pub(super) fn explain(&self, e: rusqlite::Error) -> Error {
        let error = self.database.explain(e);
        *self.last_failure.borrow_mut() = Some(Failed::new(&error));
        error
    }
}

impl Failed {
    fn new(e: &Error) -> Failed {
        let kind = match e {
            Error::Failure(it) => it.kind(),
            Error::Conflict(_) => FailureKind::Unavailable,
        };
        let source = std::error::Error::source(e).map_or_else(String::new, ToString::to_string);
        Failed { kind, message: e.to_string(), source }
    }

    fn rolled_back() -> Failed {
        let message = "another request in the same batch made the database roll it back";
        Failed::new(&Error::new(FailureKind::Unavailable, message))
    }

    fn error(&self) -> Error {
        let error = Error::new(self.kind, self.message.clone());
        if self.source.is_empty() { error } else { error.with_source(self.source.clone()) }
    }
}

impl std::fmt::Debug for Job {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Job").field("len", &self.len).field("bytes", &self.bytes).finish()
    }
}
