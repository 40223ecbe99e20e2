//! What the server promises with the settings that it has, and a warning for what it does not.

use std::{borrow::Cow, collections::BTreeMap};

use state::{Capabilities, Consistencies, Durability};
use tokio_postgres::Client;
use tracing::warn;

use super::{connection::SYSTEM, layout::Layout};

/// Operations of one transaction: they hold their locks until the last is done. The same as on the embedded stores.
const TRANSACTION_LEN_MAX: usize = 10_000;

/// Bytes of a key, prefix included: an entry of an index has room for 2704. Source: PostgreSQL, BTMaxItemSize.
const KEY_LEN_MAX: usize = 2048;

/// The settings that the promises follow from.
const TOLD: &[&str] = &[
    "fsync",
    "full_page_writes",
    "server_version",
    "synchronous_commit",
    "synchronous_standby_names",
];

/// What a server says of itself.
#[derive(Debug)]
pub(super) struct Inspection {
    settings: BTreeMap<String, String>,
    standbys: i64,
    is_standby: bool,
    /// Whether it tells what became of a transaction, in which history.
    pub(super) tells_fates: bool,
}

impl Inspection {
    pub(super) async fn of(client: &Client) -> Result<Inspection, tokio_postgres::Error> {
        let mut settings = BTreeMap::new();
        for name in TOLD {
            // Servers that speak the same protocol do not have all of them.
            let asked = format!("SELECT current_setting('{name}', true)");
            let rows = client.query_typed(&asked, &[]).await?;
            if let Some(value) = rows.first().and_then(|it| it.get::<_, Option<String>>(0)) {
                settings.insert((*name).to_owned(), value);
            }
        }
        let first = async |text| {
            let rows = client.query_typed(text, &[]).await.ok()?;
            rows.into_iter().next()
        };
        let standbys = first("SELECT count(*) FROM pg_stat_replication").await;
        let is_standby = first("SELECT pg_is_in_recovery()").await;
        let is_standby = is_standby.is_some_and(|it| it.get(0));
        let history = "SELECT txid_status(txid_current()), pg_walfile_name(pg_current_wal_lsn())";
        let tells_fates = first(history).await.is_some() && first(SYSTEM).await.is_some();
        let standbys = standbys.map_or(0, |it| it.get(0));
        Ok(Inspection { settings, standbys, is_standby, tells_fates })
    }

    fn setting(&self, name: &str) -> &str {
        self.settings.get(name).map_or("", |it| it.trim())
    }

    fn has_synchronous_standbys(&self) -> bool {
        !self.setting("synchronous_standby_names").is_empty()
    }

    /// What `synchronous_commit` has to be for a strong write; `None` if it is already.
    ///
    /// Source: semantics.md, section 4; PostgreSQL, `synchronous_commit`: without synchronous standbys all but `off` are
    /// the same.
    pub(super) fn strong_setting(&self) -> Option<&'static str> {
        let now = self.setting("synchronous_commit");
        match self.has_synchronous_standbys() {
            true => (now != "remote_apply").then_some("remote_apply"),
            false => (now == "off").then_some("on"),
        }
    }

    /// What the server can do, by what it says of itself.
    pub(super) fn capabilities(&self, layout: &Layout, reads_from_standby: bool) -> Capabilities {
        let durability = self.durability();
        if self.is_standby {
            warn!(
                "this server is a standby, and takes no writes: name all servers in the connection string, so that the \
                 one that does is found"
            );
        }
        warn_of_losses(durability);
        let strong_write = match self.has_synchronous_standbys() {
            true => "committed, and applied by the synchronous standbys",
            false => "committed and flushed to the disk of the server",
        };
        Capabilities {
            etag: true,
            ttl: true,
            list: true,
            transaction_len_max: Some(TRANSACTION_LEN_MAX),
            key_len_max: KEY_LEN_MAX,
            exact_values: layout.columns.version != 1,
            consistency: Consistencies {
                strong_write: Some(Cow::Borrowed(strong_write)),
                strong_read: Some(Cow::Borrowed("from the server that takes the writes")),
                eventual_read: reads_from_standby.then_some(Cow::Borrowed(
                    "from a hot standby that had, three seconds ago at most, all that was written; from the server that \
                     takes the writes if there is none",
                )),
            },
            durability,
            server_settings: self.settings.clone(),
        }
    }

    fn durability(&self) -> Durability {
        let waits = self.setting("synchronous_commit") != "off";
        let flushes = self.setting("fsync") != "off";
        // A page that was written in part when the power was cut cannot be mended without this.
        let whole = self.setting("full_page_writes") != "off";
        let confirmed =
            matches!(self.setting("synchronous_commit"), "on" | "remote_write" | "remote_apply");
        let has_others = self.standbys > 0 || self.has_synchronous_standbys();
        Durability {
            process_crash: waits,
            power_loss: waits && flushes && whole,
            failover: has_others.then_some(confirmed && self.has_synchronous_standbys()),
            memory_pressure: true,
        }
    }
}

fn warn_of_losses(it: Durability) {
    if !it.power_loss {
        let survives = if it.process_crash { "a power loss" } else { "a crash of postgresql" };
        warn!(
            "acknowledged writes may not survive {survives}: set fsync, full_page_writes and synchronous_commit to on in \
             postgresql.conf to keep them; strong writes are committed synchronously in any case"
        );
    }
    if it.failover == Some(false) {
        warn!(
            "a failover of postgresql may lose acknowledged writes, because its replication is asynchronous: set \
             synchronous_standby_names to keep them"
        );
    }
}
