//! One connection: what it was greeted with, and how statements are sent on it.

use std::{
    fmt,
    future::poll_fn,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering::Relaxed},
    },
    task::Poll,
    time::{Duration, Instant},
};

use futures::future::{BoxFuture, join_all};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    sync::OwnedSemaphorePermit,
    time::timeout,
};
use tokio_postgres::{
    AsyncMessage, Client, NoTls, Row,
    error::SqlState,
    types::{ToSql, Type},
};
use tracing::debug;

use super::{
    settings::{CONNECT_TIMEOUT, Servers, Way},
    statements::{Statement, Which},
};

/// What is sent, with its parameters.
pub(super) type Parameters<'a> = &'a [&'a (dyn ToSql + Sync)];

/// How connections are made, and what is the same for all of them.
#[derive(Debug)]
pub(super) struct Connector {
    pub(super) servers: Servers,
    /// Empty where there is no table yet.
    pub(super) statements: Vec<Statement>,
    /// What a new session is told, if it is ours alone.
    pub(super) greeting: Option<String>,
    /// Whether the server tells which database system it is.
    pub(super) asks_system: bool,
}

/// The number that a database system has had since it was made, and that its standbys share.
pub(super) const SYSTEM: &str = "SELECT system_identifier::text FROM pg_control_system()";

/// A connection, for one request at a time or for many.
pub(super) struct Connection {
    pub(super) client: Client,
    /// The number of the database system, if it tells.
    pub(super) system: Option<String>,
    connector: Arc<Connector>,
    /// In the order of [`Which`]; `None` if statements are not prepared.
    prepared: Option<Vec<tokio_postgres::Statement>>,
    load: AtomicUsize,
    opened: Instant,
    /// Since when it has been asked without an answer to anything, in milliseconds after it was opened; 0 if it has not.
    /// That nobody waits any more makes no difference.
    unanswered_ms: AtomicU64,
    /// No request is to be sent on it any more.
    retired: AtomicBool,
    /// How often the server has said that it stopped to wait for a standby.
    unconfirmed: Arc<AtomicU64>,
    /// Free when this is.
    #[expect(dead_code, reason = "it is there to be dropped")]
    permit: Option<OwnedSemaphorePermit>,
}

/// How long a connection may be silent while requests wait before new ones go elsewhere: some of those that wait may be
/// waiting for a lock, and others need not.
const SUSPICION: Duration = Duration::from_secs(1);

/// Why there is none.
#[derive(Debug)]
pub(super) enum NoConnection {
    Refused(tokio_postgres::Error),
    /// There was no answer for so long.
    Silence(Duration),
}

impl Connector {
    /// Makes a connection, by the first way that works.
    pub(super) async fn connect(
        self: &Arc<Self>,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Result<Connection, NoConnection> {
        let mut ways = self.servers.ways.iter().peekable();
        loop {
            let way = ways.next().expect("there is a way");
            // The driver's own time-out ends when the server has taken the connection, and not when it answers.
            let limit = way.config.get_connect_timeout().copied().unwrap_or(CONNECT_TIMEOUT);
            match timeout(limit, self.connect_by(way)).await {
                Err(_) => return Err(NoConnection::Silence(limit)),
                Ok(Err(e)) if ways.peek().is_some() && is_not_let_in(&e) => {}
                Ok(Err(e)) => return Err(NoConnection::Refused(e)),
                Ok(Ok(it)) => return Ok(Connection { permit, ..it }),
            }
        }
    }

    async fn connect_by(self: &Arc<Self>, way: &Way) -> Result<Connection, tokio_postgres::Error> {
        let (client, unconfirmed) = connect(way).await?;
        if let Some(greeting) = &self.greeting {
            client.batch_execute(greeting).await?;
        }
        let prepared = match self.greeting {
            None => None,
            Some(_) => {
                let all =
                    self.statements.iter().map(|it| client.prepare_typed(&it.text, &it.types));
                Some(join_all(all).await.into_iter().collect::<Result<_, _>>()?)
            }
        };
        let system = match self.asks_system {
            false => None,
            true => client.query_typed(SYSTEM, &[]).await?.first().map(|it| it.get(0)),
        };
        Ok(Connection {
            client,
            system,
            connector: self.clone(),
            prepared,
            load: AtomicUsize::new(0),
            opened: Instant::now(),
            unanswered_ms: AtomicU64::new(0),
            retired: AtomicBool::new(false),
            unconfirmed,
            permit: None,
        })
    }
}

impl Connection {
    /// Sends one of the statements, and returns what it returns.
    pub(super) async fn run(
        &self,
        which: Which,
        parameters: Parameters<'_>,
    ) -> Result<Vec<Row>, tokio_postgres::Error> {
        let statement = &self.connector.statements[which as usize];
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX).max(1);
        // It is no matter if somebody else comes first.
        let _ = self.unanswered_ms.compare_exchange(0, now_ms, Relaxed, Relaxed);
        self.load.fetch_add(1, Relaxed);
        let _busy = Busy(self);
        let answer = match &self.prepared {
            Some(prepared) => self.client.query(&prepared[which as usize], parameters).await,
            None => {
                let types = statement.types.iter().cloned();
                let typed: Vec<(&(dyn ToSql + Sync), Type)> =
                    parameters.iter().copied().zip(types).collect();
                self.client.query_typed(&statement.text, &typed).await
            }
        };
        self.unanswered_ms.store(0, Relaxed);
        answer
    }

    /// How many requests are under way.
    pub(super) fn load(&self) -> usize {
        self.load.load(Relaxed)
    }

    /// Whether new requests should be sent elsewhere: it has ended, is to end, or is silent.
    pub(super) fn is_doubtful(&self) -> bool {
        self.is_over() || self.silent() > SUSPICION
    }

    /// Whether nothing can be sent on it any more.
    pub(super) fn is_over(&self) -> bool {
        self.client.is_closed() || self.retired.load(Relaxed)
    }

    /// Sends nothing on it any more.
    pub(super) fn retire(&self) {
        self.retired.store(true, Relaxed);
    }

    /// How often the server has acknowledged what no standby has confirmed.
    pub(super) fn unconfirmed(&self) -> u64 {
        self.unconfirmed.load(Relaxed)
    }

    fn silent(&self) -> Duration {
        match self.unanswered_ms.load(Relaxed) {
            0 => Duration::ZERO,
            since => self.opened.elapsed().saturating_sub(Duration::from_millis(since)),
        }
    }
}

/// A request under way.
struct Busy<'a>(&'a Connection);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0.load.fetch_sub(1, Relaxed);
    }
}

async fn connect(way: &Way) -> Result<(Client, Arc<AtomicU64>), tokio_postgres::Error> {
    let unconfirmed = Arc::new(AtomicU64::new(0));
    let client = match &way.tls {
        None => {
            let (client, connection) = way.config.connect(NoTls).await?;
            serve(connection, unconfirmed.clone());
            client
        }
        Some(tls) => {
            let (client, connection) = way.config.connect(tls.clone()).await?;
            serve(connection, unconfirmed.clone());
            client
        }
    };
    Ok((client, unconfirmed))
}

/// Moves what is sent and received, until the connection ends.
fn serve<S, T>(mut connection: tokio_postgres::Connection<S, T>, unconfirmed: Arc<AtomicU64>)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    T: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    tokio::spawn(async move {
        loop {
            match poll_fn(|it| connection.poll_message(it)).await {
                // Somebody cancelled the wait for a standby: the commit is there, and may not outlive a failover.
                // Source: PostgreSQL, SyncRepWaitForLSN.
                Some(Ok(AsyncMessage::Notice(it))) if *it.code() == SqlState::WARNING => {
                    unconfirmed.fetch_add(1, Relaxed);
                }
                Some(Ok(_)) => {}
                // Whoever waits for an answer is told that there will be none.
                Some(Err(e)) => return debug!(error = %e, "a connection to postgresql has ended"),
                None => return,
            }
        }
    });
}

/// Whether the server wants to be connected to in another way, with or without TLS.
fn is_not_let_in(e: &tokio_postgres::Error) -> bool {
    e.code().is_some_and(|it| *it == SqlState::INVALID_AUTHORIZATION_SPECIFICATION)
}

/// Sends requests one after the other without waiting in between, and returns the answers in their order.
///
/// A request is sent when its future is first polled.
pub(super) async fn pipelined<T>(mut requests: Vec<BoxFuture<'_, T>>) -> Vec<T> {
    let mut answers: Vec<Option<T>> = Vec::with_capacity(requests.len());
    for request in &mut requests {
        answers.push(match futures::poll!(request) {
            Poll::Ready(answer) => Some(answer),
            Poll::Pending => None,
        });
    }
    for (request, answer) in requests.into_iter().zip(&mut answers) {
        if answer.is_none() {
            *answer = Some(request.await);
        }
    }
    answers.into_iter().map(|it| it.expect("each was waited for")).collect()
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("load", &self.load()).finish_non_exhaustive()
    }
}
