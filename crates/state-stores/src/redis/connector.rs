//! How connections to servers are made: the stream, the login, and a look at who answers.

use std::{
    future::poll_fn,
    io,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::Poll,
    time::Duration,
};

use parking_lot::Mutex;
use redis::{
    AsyncConnectionConfig, Cmd, ErrorKind, RedisConnectionInfo, RedisError, Value,
    aio::{AsyncStream, MultiplexedConnection, PubSub},
    cmd,
};
use rustls::pki_types::ServerName;
use socket2::{SockRef, TcpKeepalive};
use tokio::{
    net::{TcpStream, UnixStream},
    sync::Notify,
    task::JoinHandle,
    time::{Instant, timeout},
};

use super::{
    address::Address,
    line::SUSPICION,
    settings::{Login, Settings, Timing, Tls},
};

/// Everything that the connections to a group of servers have in common.
#[derive(Clone, Debug)]
pub(super) struct Connector {
    tls: Option<Tls>,
    info: RedisConnectionInfo,
    greeting: Greeting,
    pub(super) timing: Timing,
    /// Told when a server is slow to answer, so that somebody finds out whether another has taken its place.
    pub(super) suspicion: Arc<Notify>,
}

/// What is made sure of, or asked for, right after the login.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Greeting {
    /// That somebody answers: until then nothing that matters is sent.
    Answers,
    /// That the server is no replica. Sentinels may be behind. Source: Redis' guidelines for clients of Sentinel.
    IsPrimary,
    /// Reads from a replica of a cluster, which would otherwise send its readers away.
    ReadOnly,
}

/// A connection, and the task that serves it. Ends when it is dropped or cut.
#[derive(Debug)]
pub(super) struct Connection {
    redis: MultiplexedConnection,
    driver: JoinHandle<()>,
    is_cut: AtomicBool,
    waiters: Mutex<Waiters>,
}

/// Those who wait for replies.
#[derive(Debug, Default)]
struct Waiters {
    count: usize,
    /// Since when there is always one.
    since: Option<Instant>,
    /// Since when there is a request without a reply, perhaps of one who has given up since.
    unanswered_since: Option<Instant>,
}

type Stream = Pin<Box<dyn AsyncStream + Send + Sync>>;

/// After how long an idle connection is looked after, so that one whose other side has vanished does not
/// wait for a request to be noticed, and nobody on the way forgets it.
const KEEPALIVE: Duration = Duration::from_secs(30);
const KEEPALIVE_INTERVAL: Duration = Duration::from_secs(10);

impl Connector {
    /// Connections to the servers that hold the data.
    pub(super) fn to_data(settings: &Settings) -> Connector {
        Connector::new(settings, &settings.login, settings.database)
    }

    /// Connections to Sentinels, which have logins of their own and no databases.
    pub(super) fn to_sentinels(settings: &Settings, login: &Login) -> Connector {
        Connector::new(settings, login, 0)
    }

    fn new(settings: &Settings, login: &Login, database: i64) -> Connector {
        let mut info = RedisConnectionInfo::default()
            .set_db(database)
            .set_protocol(settings.protocol)
            .set_skip_set_lib_name();
        if let Some(it) = &login.username {
            info = info.set_username(it);
        }
        if let Some(it) = &login.password {
            info = info.set_password(it);
        }
        Connector {
            tls: settings.tls.clone(),
            info,
            greeting: Greeting::Answers,
            timing: settings.timing.clone(),
            suspicion: Arc::default(),
        }
    }

    /// The same with another greeting.
    pub(super) fn greeting(&self, greeting: Greeting) -> Connector {
        Connector { greeting, ..self.clone() }
    }

    /// Connects and logs in, or says why not, in words for users.
    pub(super) async fn connect(&self, address: &Address) -> Result<Connection, String> {
        self.bounded(address, async {
            let stream = self.stream(address).await?;
            // Ours are the time-outs, which tell what was sent from what was not.
            let config = AsyncConnectionConfig::new()
                .set_connection_timeout(None)
                .set_response_timeout(None);
            let (mut redis, driver) =
                MultiplexedConnection::new_with_config(&self.info, stream, config).await?;
            let driver = tokio::spawn(taking_turns(driver));
            let greeted = self.greet(&mut redis).await;
            let (is_cut, waiters) = Default::default();
            let connection = Connection { redis, driver, is_cut, waiters };
            greeted.map(|()| connection)
        })
        .await
    }

    /// Connects for messages that come unasked.
    pub(super) async fn subscribe(
        &self,
        address: &Address,
        channels: &[&str],
    ) -> Result<PubSub, String> {
        self.bounded(address, async {
            let stream = self.stream(address).await?;
            let mut messages = PubSub::new(&self.info, stream).await?;
            messages.subscribe(channels).await?;
            Ok(messages)
        })
        .await
    }

    async fn bounded<T>(
        &self,
        address: &Address,
        connecting: impl Future<Output = Result<T, RedisError>>,
    ) -> Result<T, String> {
        let patience = self.timing.connect;
        match timeout(patience, connecting).await {
            Ok(connected) => connected.map_err(|e| explain(address, &e)),
            Err(_) => {
                Err(format!("redis at {address} did not take a connection within {patience:?}"))
            }
        }
    }

    async fn stream(&self, address: &Address) -> Result<Stream, RedisError> {
        let (host, stream) = match address {
            Address::Unix(path) => return Ok(Box::pin(UnixStream::connect(path).await?)),
            Address::Tcp { host, port } => {
                (host, TcpStream::connect((host.as_str(), *port)).await?)
            }
        };
        stream.set_nodelay(true)?;
        let keepalive = TcpKeepalive::new().with_time(KEEPALIVE).with_interval(KEEPALIVE_INTERVAL);
        let socket = SockRef::from(&stream);
        socket.set_tcp_keepalive(&keepalive)?;
        // While something is under way there are no keepalives, and the system would go on for a quarter of an
        // hour.
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(Some(self.timing.reply.max(self.timing.connect)))?;
        let Some(Tls(connector)) = &self.tls else { return Ok(Box::pin(stream)) };
        let name = ServerName::try_from(host.clone()).map_err(io::Error::other)?;
        Ok(Box::pin(connector.connect(name, stream).await?))
    }

    async fn greet(&self, redis: &mut MultiplexedConnection) -> Result<(), RedisError> {
        let greeting = match self.greeting {
            Greeting::Answers => "PING",
            Greeting::IsPrimary => "ROLE",
            Greeting::ReadOnly => "READONLY",
        };
        match redis.send_packed_command(&cmd(greeting)).await? {
            // A server that loads its data, or does not permit the question, goes on to serve. Others
            // say why they do not, and hang up.
            Value::ServerError(e) if !SERVES.contains(&e.code()) => Err(e.into()),
            Value::Array(role) if role.first().is_some_and(is_replica) => {
                Err(io::Error::other("it is a replica now").into())
            }
            _ => Ok(()),
        }
    }
}

/// Errors of servers that stay connected.
const SERVES: [&str; 5] = ["BUSY", "LOADING", "MASTERDOWN", "NOPERM", "NOREPLICAS"];

fn is_replica(role: &Value) -> bool {
    matches!(role, Value::BulkString(it) if it == b"slave")
}

impl Connection {
    /// Whether it is worth sending anything on it: it has not ended, and has not kept anybody waiting for longer
    /// than `patience`. One that has is cut: those who waited may have given up before they could do so.
    pub(super) fn is_usable(&self, patience: Duration) -> bool {
        if self.is_cut.load(Relaxed) || self.driver.is_finished() {
            return false;
        }
        let is_silent = self.waiters.lock().are_kept_waiting(patience);
        if is_silent {
            self.cut();
        }
        !is_silent
    }

    /// Ends it: whoever waits for a reply learns that none will come.
    pub(super) fn cut(&self) {
        self.is_cut.store(true, Relaxed);
        self.driver.abort();
    }

    /// Sends a command and waits for its reply, which may be an error of the server's.
    pub(super) async fn ask(&self, command: &Cmd) -> Result<Value, RedisError> {
        let waiting = Waiting::new(self);
        let mut redis = self.redis.clone();
        let replied = redis.send_packed_command(command).await;
        waiting.replied();
        replied
    }

    /// Sends commands one after the other, with nobody else's between them, and waits for all the replies.
    pub(super) async fn ask_all(
        &self,
        commands: &redis::Pipeline,
    ) -> Result<Vec<Value>, RedisError> {
        let waiting = Waiting::new(self);
        let mut redis = self.redis.clone();
        let replied = redis.send_packed_commands(commands, 0, commands.len()).await;
        waiting.replied();
        replied
    }
}

impl Waiters {
    /// Whether nothing was answered for longer than `patience`. What somebody waits for now is given a moment, because
    /// the one before it may have been answered after its client had given up.
    fn are_kept_waiting(&self, patience: Duration) -> bool {
        let is_new = self.count > 0 && self.since.is_some_and(|it| it.elapsed() < SUSPICION);
        !is_new && self.unanswered_since.is_some_and(|it| it.elapsed() > patience)
    }
}

/// Counts one who waits for a reply, for as long as it does.
struct Waiting<'a>(&'a Connection);

impl<'a> Waiting<'a> {
    fn new(connection: &'a Connection) -> Waiting<'a> {
        let (mut waiters, now) = (connection.waiters.lock(), Instant::now());
        waiters.unanswered_since.get_or_insert(now);
        if waiters.count == 0 {
            waiters.since = Some(now);
        }
        waiters.count += 1;
        Waiting(connection)
    }

    fn replied(self) {
        self.0.waiters.lock().unanswered_since = None;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiters.lock().count -= 1;
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.cut();
    }
}

/// Lets whoever is ready to send do so before the driver writes: otherwise it would be woken after each, and write
/// commands one by one that could go out together.
async fn taking_turns(driver: impl Future<Output = ()>) {
    let (mut driver, mut waits) = (pin!(driver), false);
    poll_fn(move |context| {
        waits = !waits;
        if waits {
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        driver.as_mut().poll(context)
    })
    .await;
}

fn explain(address: &Address, e: &RedisError) -> String {
    let code = e.code().unwrap_or_default();
    if e.kind() == ErrorKind::AuthenticationFailed || matches!(code, "NOAUTH" | "WRONGPASS") {
        return format!(
            "redis at {address} refused the login: check redisUsername and redisPassword (for Sentinel \
             sentinelUsername and sentinelPassword)"
        );
    }
    let detail = e.to_string();
    if code == "DENIED" {
        return format!(
            "redis at {address} is in protected mode, and takes no connections from elsewhere: give it a \
             password"
        );
    }
    if detail.contains("max number of clients") {
        return format!(
            "redis at {address} has as many clients as it may have: raise its maxclients"
        );
    }
    if detail.contains("NOPROTO") || detail.contains("HELLO") {
        return format!("redis at {address} does not speak this protocol: set protocol to 2");
    }
    format!("redis at {address} cannot be reached: {detail}")
}
