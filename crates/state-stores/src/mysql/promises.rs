//! What the server promises with the settings that it has, and a warning for what it does not.

use state::{Capabilities, Consistencies, Durability};
use tracing::warn;

use super::layout::Layout;

/// Operations of one transaction: their rows are locked while it runs. The same as on the embedded stores.
const TRANSACTION_LEN_MAX: usize = 10_000;

pub(super) fn capabilities(layout: &Layout) -> Capabilities {
    let is = |name: &str, value: &str| layout.settings.get(name).is_some_and(|it| it == value);
    let flushes = is("innodb_flush_log_at_trx_commit", "1");
    let binlog = is("log_bin", "OFF") || is("sync_binlog", "1");
    // With 2 every commit is handed to the system, which keeps it when the process ends.
    let process_crash = flushes || is("innodb_flush_log_at_trx_commit", "2");
    let power_loss = flushes && binlog && !is("innodb_doublewrite", "OFF");
    if !power_loss {
        warn!(
            "acknowledged writes may not survive a power loss: set innodb_flush_log_at_trx_commit=1, and \
             sync_binlog=1 if there is a binary log, to keep them"
        );
    }
    if is("read_only", "ON") {
        warn!("mysql takes no writes (read_only): is connectionString the address of a replica?");
    }
    Capabilities {
        etag: true,
        ttl: true,
        list: true,
        transaction_len_max: Some(TRANSACTION_LEN_MAX),
        key_len_max: layout.key_len_max,
        exact_values: !layout.normalizes,
        consistency: Consistencies {
            strong_write: Some("committed by the server, like every write".into()),
            strong_read: Some("from the server that takes the writes, like every read".into()),
            eventual_read: None,
        },
        durability: Durability {
            process_crash,
            power_loss,
            // Who follows is not told to everybody; without this log, nobody can.
            failover: is("log_bin", "ON").then_some(false),
            memory_pressure: true,
        },
        server_settings: layout.settings.clone(),
    }
}
