//! A hot standby for reads that may be a little old.

use std::{
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use parking_lot::RwLock;
use tokio::time::{sleep, timeout};
use tokio_postgres::{
    config::TargetSessionAttrs,
    types::{ToSql, Type},
};
use tracing::debug;

use super::{
    connection::{Connection, Connector},
    engine::Engine,
    settings::Servers,
};

/// How often it is looked how far the standby is.
const INTERVAL: Duration = Duration::from_secs(1);

/// How old what it shows may be: less than the five seconds in which everybody has to agree. Source: semantics.md,
/// section 4.
pub(super) const AGE_MAX: Duration = Duration::from_secs(3);

#[derive(Debug, Default)]
pub(super) struct Standby {
    now: RwLock<Option<Seen>>,
}

#[derive(Debug)]
struct Seen {
    connection: Arc<Connection>,
    /// The standby has everything that was written before this.
    complete_at: Instant,
}

impl Standby {
    /// The standby, if it is known to keep up and nothing is in its way.
    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        let now = self.now.read();
        let seen = now.as_ref()?;
        let keeps_up = seen.complete_at.elapsed() < AGE_MAX && !seen.connection.is_doubtful();
        keeps_up.then(|| seen.connection.clone())
    }
}

/// The same servers, of which one is looked for that does not take the writes.
pub(super) fn servers(servers: &Servers) -> Servers {
    let mut servers = servers.clone();
    for way in &mut servers.ways {
        way.config.target_session_attrs(TargetSessionAttrs::ReadOnly);
    }
    servers
}

/// Looks how far a standby is, for as long as the store lives.
pub(super) async fn follow(engine: Weak<Engine>, connector: Arc<Connector>) {
    let mut connection: Option<Arc<Connection>> = None;
    loop {
        let Some(engine) = engine.upgrade() else { return };
        let Some(standby) = &engine.standby else { return };
        if connection.as_ref().is_none_or(|it| it.is_doubtful()) {
            connection = connector.connect(None).await.ok().map(Arc::new);
        }
        if let Some(connection) = &connection {
            match timeout(AGE_MAX, look(&engine, connection)).await {
                Ok(Ok(complete_at)) => {
                    let connection = connection.clone();
                    *standby.now.write() =
                        complete_at.map(|at| Seen { connection, complete_at: at });
                }
                Ok(Err(e)) => debug!(error = %e, "there is no standby to read from"),
                Err(_) => debug!("the standby does not keep up"),
            }
        }
        drop(engine);
        sleep(INTERVAL).await;
    }
}

/// A time before which the standby has everything; nothing if the server that takes the writes cannot be asked.
async fn look(
    engine: &Engine,
    standby: &Connection,
) -> Result<Option<Instant>, tokio_postgres::Error> {
    let asked = Instant::now();
    let Ok(primary) = engine.pool.shared().await else { return Ok(None) };
    let written =
        primary.client.query_typed("SELECT pg_current_wal_flush_lsn()::text", &[]).await?;
    let Some(written) = written.first().map(|it| it.get::<_, String>(0)) else { return Ok(None) };
    let parameters: [(&(dyn ToSql + Sync), Type); 1] = [(&written, Type::TEXT)];
    let text = "SELECT pg_is_in_recovery() AND pg_last_wal_replay_lsn() >= $1::text::pg_lsn";
    loop {
        let rows = standby.client.query_typed(text, &parameters).await?;
        if rows.first().is_some_and(|it| it.get::<_, Option<bool>>(0) == Some(true)) {
            return Ok(Some(asked));
        }
        sleep(INTERVAL / 20).await;
    }
}
