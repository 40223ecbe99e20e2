//! Removes expired rows, and closes connections that nobody needs.

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio_postgres::Client;
use tracing::warn;

use super::{
    engine::Engine,
    refusal::{Intent, Trouble},
};

/// Rows that are removed in one transaction.
const SWEEP_LEN: u64 = 1000;

/// How often it is looked for connections of no use.
const TIDY: Duration = Duration::from_secs(30);

/// Does so for as long as the store lives.
pub(super) async fn keep(engine: Weak<Engine>, interval: Option<Duration>, idle_max: Duration) {
    let mut tidy = tokio::time::interval(TIDY);
    tidy.tick().await;
    // Never is a long time.
    let mut sweep = tokio::time::interval(interval.unwrap_or(Duration::from_secs(u32::MAX.into())));
    sweep.tick().await;
    loop {
        let sweeps = tokio::select! {
            _ = tidy.tick() => false,
            _ = sweep.tick() => interval.is_some(),
        };
        let Some(engine) = engine.upgrade() else { return };
        match interval {
            Some(interval) if sweeps => sweep_once(&engine, interval).await,
            _ => engine.pool.tidy(idle_max),
        }
    }
}

async fn sweep_once(engine: &Arc<Engine>, interval: Duration) {
    let swept = async {
        let lease = engine.pool.lease().await?;
        let swept = engine.remove_expired(&lease.connection.client, interval).await;
        swept.map_err(|e| Trouble::of(&e, engine.pool.label(), Intent::Read))?;
        lease.give_back();
        Ok::<_, Trouble>(())
    };
    if let Err(trouble) = swept.await {
        let error = trouble.error();
        warn!(error = %error, "expired rows could not be removed; they stay invisible");
    }
}

impl Engine {
    /// Unless somebody has done so since the interval began. A row that was written anew is not removed: it is locked
    /// when it is found expired.
    async fn remove_expired(
        &self,
        client: &Client,
        interval: Duration,
    ) -> Result<(), tokio_postgres::Error> {
        let (metadata, state, expires) =
            (&self.layout.metadata, &self.layout.state, self.layout.columns.expires);
        // A little less than the interval, so that the same process does not miss its own turn. Source: Dapr.
        let interval_ms = interval.as_millis().saturating_sub(100);
        let claim = format!(
            "INSERT INTO {metadata} AS last (key, value) VALUES ('{}', now()::text)
             ON CONFLICT (key) DO UPDATE SET value = excluded.value
             WHERE now() - last.value::timestamp with time zone > {interval_ms} * interval '1 millisecond'",
            self.layout.sweep_key()
        );
        if client.execute_typed(&claim, &[]).await? == 0 {
            return Ok(());
        }
        let sweep = format!(
            "DELETE FROM {state} WHERE key IN
             (SELECT key FROM {state} WHERE {expires} <= now() LIMIT {SWEEP_LEN} FOR UPDATE SKIP LOCKED)"
        );
        while client.execute_typed(&sweep, &[]).await? == SWEEP_LEN {}
        Ok(())
    }
}
