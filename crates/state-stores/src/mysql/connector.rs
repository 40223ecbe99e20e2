//! How connections are made, and what their sessions are set to.

use std::time::Duration;

use mysql_async::{Conn, DriverError, Error, Opts, OptsBuilder};
use tokio::time::{Instant, timeout_at};

use super::{
    dsn::{Address, TlsMode},
    refusal::{Refusal, Stage},
    settings::Settings,
};

/// Everything that connections have in common. Shows nothing of it, because it has the password.
pub(super) struct Connector {
    options: Opts,
    /// The same without TLS, if the server may go without.
    plain: Option<Opts>,
    address: Address,
    patience: Duration,
}

/// Whose server it is, as far as that makes a difference.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flavour {
    MariaDb,
    MySql,
}

/// After how long an idle connection is looked after, so that nobody on the way forgets it.
const KEEPALIVE: Duration = Duration::from_secs(30);

/// How many statements each connection keeps prepared: more than this store has. A server allows 16382 for all its
/// connections by default.
const STATEMENTS_MAX: usize = 48;

impl Connector {
    /// For the first connection, which finds out what the server is, and makes the tables.
    pub(super) fn to_server(settings: &Settings) -> Connector {
        let seconds = settings.timeout.as_secs();
        // A table that is altered may be large: only what waits for others is bounded.
        let variables = format!("{COMMON}, lock_wait_timeout = {seconds}");
        Connector::new(settings, variables, None)
    }

    /// For all others.
    pub(super) fn to_tables(settings: &Settings, flavour: Flavour) -> Connector {
        let seconds = settings.timeout.as_secs();
        let lock_s = lock_wait(settings.timeout).as_secs();
        // What a client has given up on ends at the server too, and with it the locks that it has.
        let limits = match flavour {
            Flavour::MariaDb => {
                let statement_s = settings.timeout.as_secs_f64() * 0.9;
                format!(
                    "max_statement_time = {statement_s:.1}, idle_transaction_timeout = {seconds}"
                )
            }
            Flavour::MySql => {
                format!("max_execution_time = {}", settings.timeout.as_millis() * 9 / 10)
            }
        };
        let variables = format!(
            "{COMMON}, lock_wait_timeout = {lock_s}, innodb_lock_wait_timeout = {lock_s}, {limits}"
        );
        Connector::new(settings, variables, Some(settings.names.schema.to_string()))
    }

    fn new(settings: &Settings, variables: String, database: Option<String>) -> Connector {
        let dsn = &settings.dsn;
        let options = OptsBuilder::default()
            .user(dsn.user.clone())
            .pass(dsn.password.clone())
            .db_name(database)
            .prefer_socket(false)
            .tcp_keepalive(Some(KEEPALIVE))
            .stmt_cache_size(STATEMENTS_MAX)
            .enable_cleartext_plugin(dsn.allows_cleartext)
            .init(vec![ISOLATION.to_owned(), variables]);
        let options = match &dsn.address {
            Address::Tcp { host, port } => options.ip_or_hostname(host).tcp_port(*port),
            Address::Unix(path) => options.socket(path.to_str()),
        };
        let plain = (dsn.tls == TlsMode::Preferred).then(|| options.clone().into());
        Connector {
            options: options.ssl_opts(settings.tls.clone()).into(),
            plain,
            address: dsn.address.clone(),
            patience: settings.connect_timeout,
        }
    }

    pub(super) fn address(&self) -> &Address {
        &self.address
    }

    /// Connects, logs in and sets up the session, before `deadline`.
    pub(super) async fn connect(&self, deadline: Instant) -> Result<Conn, Refusal> {
        let until = deadline.min(Instant::now() + self.patience);
        let connecting = async {
            match (Conn::new(self.options.clone()).await, &self.plain) {
                (Err(Error::Driver(DriverError::NoClientSslFlagFromServer)), Some(plain)) => {
                    Conn::new(plain.clone()).await
                }
                (connected, _) => connected,
            }
        };
        match timeout_at(until, connecting).await {
            Ok(connected) => connected.map_err(|e| Refusal::of(&e, &self.address, Stage::Connect)),
            Err(_) => Err(Refusal::too_late(&self.address, Stage::Connect, self.patience)),
        }
    }
}

/// How long a statement may wait for a lock: so short that it can be tried again, and that its end is heard of.
pub(super) fn lock_wait(timeout: Duration) -> Duration {
    Duration::from_secs((timeout.as_secs() / 4).max(1))
}

/// Dapr's statements compare with the time of the session's zone, and read it as UTC. What does not fit is refused and
/// not cut, and assignments take effect one after the other.
const COMMON: &str = "SET NAMES utf8mb4, time_zone = '+00:00', sql_mode = 'STRICT_ALL_TABLES,NO_ENGINE_SUBSTITUTION'";

/// Each statement sees what is committed when it begins, and locks the rows that it finds and no gaps between them, for
/// which transactions of unrelated keys would wait, and find deadlocks.
const ISOLATION: &str = "SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED";
