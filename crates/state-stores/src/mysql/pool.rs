//! A few connections, each for one request at a time.

use std::{fmt, time::Duration};

use mysql_async::{Conn, Error as Cause, Params, Row, Value, prelude::Queryable};
use parking_lot::Mutex;
use state::FailureKind;
use tokio::{
    sync::{Semaphore, SemaphorePermit},
    time::{Instant, timeout, timeout_at},
};

use super::{
    connector::Connector,
    refusal::{Refusal, Remedy, Stage},
};

/// Connections that nobody uses, and how many there may be.
pub(super) struct Pool {
    connector: Connector,
    permits: Semaphore,
    idle: Mutex<Vec<Idle>>,
    timeout: Duration,
}

struct Idle {
    connection: Conn,
    /// When it was last known to work; `None` if there is reason to doubt it.
    worked_at: Option<Instant>,
}

/// A connection for one attempt. One with an answer pending is never used again.
pub(super) struct Session<'a> {
    pool: &'a Pool,
    /// `None` once it cannot be used any more.
    connection: Option<Conn>,
    deadline: Instant,
    _permit: SemaphorePermit<'a>,
}

/// For how long an idle connection is taken to be there still. After that it is asked first, because a write that is sent
/// to nobody has an unknown outcome.
const TRUST: Duration = Duration::from_secs(1);

/// How long it may take to say so, or to say farewell.
const COURTESY: Duration = Duration::from_secs(1);

impl Pool {
    pub(super) fn new(connector: Connector, connections_max: usize, timeout: Duration) -> Pool {
        let permits = Semaphore::new(connections_max.min(Semaphore::MAX_PERMITS));
        Pool { connector, permits, idle: Mutex::default(), timeout }
    }

    pub(super) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits for a connection, and makes one if none is idle.
    pub(super) async fn session(&self, deadline: Instant) -> Result<Session<'_>, Refusal> {
        let Ok(permit) = timeout_at(deadline, self.permits.acquire()).await else {
            let message = format!(
                "all connections to mysql at {} were busy for {:?}: try again, or raise maxConns",
                self.connector.address(),
                self.timeout
            );
            return Err(Refusal::new(FailureKind::Overloaded, message, Remedy::Nothing));
        };
        let permit = permit.expect("it is never closed");
        let connection = match self.working().await {
            Some(it) => it,
            None => self.connector.connect(deadline).await?,
        };
        Ok(Session { pool: self, connection: Some(connection), deadline, _permit: permit })
    }

    /// Has every idle connection asked before it is used.
    pub(super) fn doubt(&self) {
        for it in self.idle.lock().iter_mut() {
            it.worked_at = None;
        }
    }

    /// Closes every idle connection.
    pub(super) fn clear(&self) {
        let idle = std::mem::take(&mut *self.idle.lock());
        idle.into_iter().for_each(|it| farewell(it.connection));
    }

    async fn working(&self) -> Option<Conn> {
        loop {
            let Idle { mut connection, worked_at } = self.idle.lock().pop()?;
            if worked_at.is_some_and(|it| it.elapsed() < TRUST) {
                return Some(connection);
            }
            if let Ok(Ok(())) = timeout(COURTESY, connection.ping()).await {
                return Some(connection);
            }
            self.doubt();
            farewell(connection);
        }
    }
}

impl Session<'_> {
    /// The rows that a statement finds.
    pub(super) async fn rows(
        &mut self,
        stage: Stage,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<Vec<Row>, Refusal> {
        self.execute(stage, statement, parameters).await.map(|(rows, _)| rows)
    }

    /// Runs a statement, and returns how many rows it has affected.
    pub(super) async fn change(
        &mut self,
        stage: Stage,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<u64, Refusal> {
        self.execute(stage, statement, parameters).await.map(|(_, affected)| affected)
    }

    /// Runs a statement that is not prepared, such as `COMMIT`.
    pub(super) async fn command(&mut self, stage: Stage, statement: &str) -> Result<(), Refusal> {
        self.ask(stage, async |connection: &mut Conn| connection.query_drop(statement).await).await
    }

    /// Makes sure that the server answers.
    pub(super) async fn ping(&mut self) -> Result<(), Refusal> {
        self.ask(Stage::Read, async |connection: &mut Conn| connection.ping().await).await
    }

    /// Closes the connection: nobody knows what its session is in.
    pub(super) fn give_up(&mut self) {
        if let Some(connection) = self.connection.take() {
            farewell(connection);
        }
    }

    /// Gives the connection back, if it can be used again.
    pub(super) fn end(mut self) {
        if let Some(connection) = self.connection.take() {
            let worked_at = Some(Instant::now());
            self.pool.idle.lock().push(Idle { connection, worked_at });
        }
    }

    async fn execute(
        &mut self,
        stage: Stage,
        statement: &str,
        parameters: Vec<Value>,
    ) -> Result<(Vec<Row>, u64), Refusal> {
        // Prepared once for each connection. Apart from its execution, so that what goes wrong here is known to have
        // changed nothing.
        let before = if stage == Stage::Commit { stage } else { Stage::Prepare };
        let prepared = self
            .ask(before, async |connection: &mut Conn| connection.prep(statement).await)
            .await?;
        self.ask(stage, async |connection: &mut Conn| {
            let rows = connection.exec(&prepared, Params::Positional(parameters)).await?;
            Ok((rows, connection.affected_rows()))
        })
        .await
    }

    async fn ask<T>(
        &mut self,
        stage: Stage,
        request: impl AsyncFnOnce(&mut Conn) -> Result<T, Cause>,
    ) -> Result<T, Refusal> {
        let address = self.pool.connector.address();
        let Some(connection) = &mut self.connection else {
            let message = format!("the connection to mysql at {address} has ended");
            return Err(Refusal::new(FailureKind::Unavailable, message, Remedy::AnotherTry));
        };
        let (refusal, is_over) = match timeout_at(self.deadline, request(connection)).await {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(cause)) => {
                // An answer like any other, unless the server hangs up after it.
                let is_over =
                    !matches!(&cause, Cause::Server(e) if !ENDS_SESSION.contains(&e.code));
                if is_over {
                    // What has ended this connection may have ended others.
                    self.pool.doubt();
                }
                (Refusal::of(&cause, address, stage), is_over)
            }
            Err(_) => (Refusal::too_late(address, stage, self.pool.timeout), true),
        };
        if is_over && let Some(connection) = self.connection.take() {
            farewell(connection);
        }
        Err(refusal)
    }
}

/// Errors after which a server hangs up, or does not know its statements any more.
const ENDS_SESSION: [u16; 8] = [1047, 1053, 1153, 1243, 1615, 1927, 3169, 4031];

/// Closes a connection without waiting for anything that it may still have to say.
fn farewell(connection: Conn) {
    tokio::spawn(async move {
        // The other side may be gone, so it does not matter how this ends.
        let _ = timeout(COURTESY, connection.disconnect()).await;
    });
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("address", self.connector.address()).finish_non_exhaustive()
    }
}

impl Drop for Session<'_> {
    fn drop(&mut self) {
        // Whoever waited has given up, in the middle of a transaction perhaps.
        if let Some(connection) = self.connection.take() {
            farewell(connection);
        }
    }
}
