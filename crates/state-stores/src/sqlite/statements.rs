//! The statements, in the layout that Dapr's `state.sqlite` reads and writes.
//!
//! Times are UTC text `YYYY-MM-DD HH:MM:SS`, compared as text. A deadline is rounded up to the
//! next second, so that a value never lives for less than its time to live.

use crate::sql::Identifier;

/// The level that Dapr's migrations reach with the schema below.
pub(super) const MIGRATION_LEVEL: u32 = 1;

#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create_tables: String,
    pub(super) create_index: String,
    pub(super) index_exists: String,
    pub(super) migration_level: String,
    pub(super) set_migration_level: String,
    pub(super) state_table_exists: String,
    pub(super) get: String,
    pub(super) version: String,
    pub(super) put: String,
    pub(super) put_if_absent: String,
    pub(super) put_if_matches: String,
    pub(super) delete: String,
    pub(super) delete_if_matches: String,
    pub(super) list: String,
    pub(super) claim_sweep: String,
    pub(super) sweep: String,
}

const LIVE: &str = "(expiration_time IS NULL OR expiration_time > CURRENT_TIMESTAMP)";

/// `?5` is the time to live in seconds, or NULL, which makes the deadline NULL too.
const DEADLINE: &str = "datetime(unixepoch('now') + ?5 + 1, 'unixepoch')";

impl Statements {
    pub(super) fn new(state: &Identifier, metadata: &Identifier) -> Statements {
        let insert = format!(
            "INSERT INTO {state} (key, value, is_binary, etag, expiration_time, update_time)
             VALUES (?1, ?2, ?3, ?4, {DEADLINE}, CURRENT_TIMESTAMP)
             ON CONFLICT (key) DO UPDATE SET
                 value = excluded.value,
                 is_binary = excluded.is_binary,
                 etag = excluded.etag,
                 expiration_time = excluded.expiration_time,
                 update_time = excluded.update_time"
        );
        // The index is ours, under a name of our own.
        let create_index = format!(
            "CREATE INDEX IF NOT EXISTS steadfast_{state}_expiration
                 ON {state} (expiration_time) WHERE expiration_time IS NOT NULL;"
        );
        Statements {
            // Dapr inserts into the state table by position: the order of the columns is part of
            // the layout.
            create_tables: format!(
                "CREATE TABLE IF NOT EXISTS {metadata} (
                     key TEXT NOT NULL PRIMARY KEY,
                     value TEXT NOT NULL
                 );
                 CREATE TABLE IF NOT EXISTS {state} (
                     key TEXT NOT NULL PRIMARY KEY,
                     value TEXT NOT NULL,
                     is_binary BOOLEAN NOT NULL,
                     etag TEXT NOT NULL,
                     expiration_time TIMESTAMP DEFAULT NULL,
                     update_time TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP
                 );
                 {create_index}"
            ),
            create_index,
            index_exists: format!(
                "SELECT count(*) = 1 FROM sqlite_master
                 WHERE type = 'index' AND name = 'steadfast_{state}_expiration'"
            ),
            migration_level: format!("SELECT value FROM {metadata} WHERE key = 'migrations'"),
            set_migration_level: format!(
                "INSERT INTO {metadata} (key, value) VALUES ('migrations', '{MIGRATION_LEVEL}')
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value"
            ),
            state_table_exists: format!(
                "SELECT count(*) = 2 FROM sqlite_master
                 WHERE type = 'table' AND name IN ('{state}', '{metadata}')"
            ),
            get: format!(
                "SELECT value, is_binary, etag, unixepoch(expiration_time)
                 FROM {state} WHERE key = ?1 AND {LIVE}"
            ),
            version: format!("SELECT etag FROM {state} WHERE key = ?1 AND {LIVE}"),
            put_if_absent: format!("{insert} WHERE NOT {LIVE}"),
            put: insert,
            put_if_matches: format!(
                "UPDATE {state} SET
                     value = ?2,
                     is_binary = ?3,
                     etag = ?4,
                     expiration_time = {DEADLINE},
                     update_time = CURRENT_TIMESTAMP
                 WHERE key = ?1 AND etag = ?6 AND {LIVE}"
            ),
            delete: format!("DELETE FROM {state} WHERE key = ?1"),
            delete_if_matches: format!(
                "DELETE FROM {state} WHERE key = ?1 AND etag = ?2 AND {LIVE}"
            ),
            list: format!(
                "SELECT key FROM {state}
                 WHERE key >= ?1 AND (?2 IS NULL OR key > ?2) AND {LIVE} ORDER BY key LIMIT ?3"
            ),
            // Several processes share a file; whoever comes first in an interval sweeps.
            claim_sweep: format!(
                "INSERT INTO {metadata} (key, value) VALUES ('last-cleanup', CURRENT_TIMESTAMP)
                 ON CONFLICT (key) DO UPDATE SET value = excluded.value
                 WHERE unixepoch('now') - unixepoch(value) >= ?1"
            ),
            // Inside a write transaction: what is found expired cannot be rewritten meanwhile.
            sweep: format!(
                "DELETE FROM {state} WHERE rowid IN (
                     SELECT rowid FROM {state}
                     WHERE expiration_time IS NOT NULL AND expiration_time <= CURRENT_TIMESTAMP
                     LIMIT ?1
                 )"
            ),
        }
    }
}
