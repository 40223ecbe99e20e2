//! `state.postgresql`, in its two versions: a row for each key, in the layouts that Dapr reads and writes.
//!
//! Every operation is one statement, which looks at the condition and writes value, version and deadline at one instant;
//! transactions are such statements between BEGIN and COMMIT. Single statements share a few connections, on which many
//! are under way; each transaction has one for itself. YugabyteDB and CockroachDB speak the same language.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use state::{
    Capabilities, Error, FailureKind, Item, Key, KeyPage, Read, Result, Store, Write, Written,
};
use state_config::Properties;
use tokio::sync::Semaphore;

use self::{
    connection::Connector,
    engine::{Engine, REQUESTS_MAX},
    layout::{Columns, V1, V2},
    pool::Pool,
    promises::Inspection,
    refusal::Trouble,
    settings::Settings,
    standby::Standby,
};
use crate::{Driver, Opening, waves::in_waves};

mod bulk;
mod connection;
mod connection_string;
mod engine;
mod layout;
mod migrations;
mod persistence;
mod plan;
mod pool;
mod promises;
mod refusal;
mod settings;
mod standby;
mod statements;
mod sweep;
mod transaction;

pub(crate) const POSTGRESQL_V1: Driver = Driver {
    component: "state.postgresql",
    aliases: &["state.postgres"],
    version: "v1",
    in_process: false,
    open: |properties| open(properties, &V1),
};

pub(crate) const POSTGRESQL_V2: Driver =
    Driver { version: "v2", open: |properties| open(properties, &V2), ..POSTGRESQL_V1 };

pub(crate) const COCKROACHDB_V1: Driver = Driver {
    component: "state.cockroachdb",
    aliases: &[],
    version: "v1",
    in_process: false,
    open: |_| Box::pin(async { Err(without_versions()) }),
};

pub(crate) const COCKROACHDB_V2: Driver =
    Driver { version: "v2", open: |properties| open(properties, &V2), ..COCKROACHDB_V1 };

pub(crate) const YUGABYTEDB: Driver =
    Driver { component: "state.yugabytedb", aliases: &["state.yugabyte"], ..POSTGRESQL_V2 };

#[derive(Debug)]
struct PostgresStore {
    capabilities: Capabilities,
    engine: Arc<Engine>,
}

fn open(properties: Properties, columns: &'static Columns) -> Opening {
    Box::pin(async move {
        let settings = Settings::parse(&properties, columns)?;
        Ok(Arc::new(PostgresStore::open(settings).await?) as Arc<dyn Store>)
    })
}

impl PostgresStore {
    async fn open(settings: Settings) -> Result<PostgresStore> {
        let servers = settings.servers;
        let bare = Connector {
            servers: servers.clone(),
            statements: Vec::new(),
            greeting: None,
            asks_system: false,
        };
        let first = Arc::new(bare).connect(None).await;
        let first = first.map_err(|e| Trouble::of_connecting(&e, &servers.label).error())?;
        settings.layout.migrate(&first.client, &servers.label).await?;
        let inspection = Inspection::of(&first.client).await;
        let inspection = inspection
            .map_err(|e| Trouble::of(&e, &servers.label, refusal::Intent::Read).error())?;
        drop(first);

        let connector = |servers, asks_system| Connector {
            servers,
            statements: settings.layout.statements(),
            greeting: settings.owns_session.then(|| greeting(settings.timeout)),
            asks_system,
        };
        let to_standby = settings
            .reads_from_standby
            .then(|| Arc::new(connector(standby::servers(&servers), false)));
        let pool = Pool::new(
            Arc::new(connector(servers, inspection.tells_fates)),
            settings.connections_max,
        );
        let capabilities = inspection.capabilities(&settings.layout, settings.reads_from_standby);
        let engine = Arc::new(Engine {
            pool,
            layout: settings.layout,
            timeout: settings.timeout,
            strong_setting: inspection.strong_setting(),
            tells_fates: inspection.tells_fates,
            limits: limits(settings.timeout),
            standby: settings.reads_from_standby.then(Standby::default),
            places: Semaphore::new(REQUESTS_MAX),
        });
        let weak = Arc::downgrade(&engine);
        tokio::spawn(sweep::keep(weak.clone(), settings.cleanup_interval, settings.idle_max));
        if let Some(connector) = to_standby {
            tokio::spawn(standby::follow(weak, connector));
        }
        Ok(PostgresStore { capabilities, engine })
    }
}

#[async_trait]
impl Store for PostgresStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        self.engine.get(read).await
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        self.engine.write_alone(write).await
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        if writes.is_empty() {
            return Ok(Vec::new());
        }
        self.engine.transact(writes).await
    }

    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        self.engine.get_many(reads).await
    }

    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        in_waves(writes, |these| Box::pin(async move { self.engine.write_apart(&these).await }))
            .await
    }

    async fn list(&self, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
        self.engine.list(prefix, after, limit).await
    }

    async fn ping(&self) -> Result<()> {
        let key = Key::stored("");
        self.engine
            .get(&Read { consistency: state::Consistency::Strong, ..Read::new(key) })
            .await
            .map(drop)
    }
}

/// How long a statement may wait for a lock on a connection that others share.
const LOCK_TIMEOUT_MS: u64 = 500;

/// How long a statement may take: less than whoever waits for it does, so that it is known that it was not applied.
fn statement_timeout_ms(timeout: Duration) -> u128 {
    timeout.mul_f64(0.9).as_millis()
}

/// What a session is told at its start, if it is ours alone.
fn greeting(timeout: Duration) -> String {
    format!(
        "SET default_transaction_isolation = 'read committed'; SET statement_timeout = {}; SET lock_timeout = \
         {LOCK_TIMEOUT_MS}; SET idle_in_transaction_session_timeout = {}",
        statement_timeout_ms(timeout),
        timeout.as_millis(),
    )
}

/// What a transaction is told at its start. It holds up nobody, and may wait.
fn limits(timeout: Duration) -> String {
    format!(
        "SET LOCAL statement_timeout = {}; SET LOCAL lock_timeout = 0; SET LOCAL \
         idle_in_transaction_session_timeout = {}",
        statement_timeout_ms(timeout),
        timeout.as_millis(),
    )
}

/// Differs from Dapr: its first layout for CockroachDB numbers the versions of a row from 1, and gives the same number
/// to different values.
fn without_versions() -> Error {
    let message = "version v1 of state.cockroachdb, which is the default, has no ETags that could be relied on: set \
                   spec.version to v2, which has a table of its own";
    Error::new(FailureKind::Invalid, message)
}
