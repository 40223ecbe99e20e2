//! What is asked of a server. Whether a row lives is looked at with `SYSDATE()`, the time at which a statement comes to
//! the row, after it has waited for its lock; `NOW()` is the time before that.

use super::settings::Names;

/// The statements for one table.
#[derive(Debug)]
pub(super) struct Statements {
    pub(super) create: String,
    pub(super) put_one: String,
    pub(super) put_if_matches: String,
    pub(super) delete_if_matches: String,
    pub(super) version: String,
    pub(super) list: String,
    pub(super) claim_sweep: String,
    pub(super) sweep: String,
    table: String,
    row: String,
}

const LIVES: &str = "(expiredate IS NULL OR expiredate > SYSDATE())";

/// Byte for byte, whatever the column's collation.
const MATCHES: &str = "CAST(eTag AS BINARY) = CAST(? AS BINARY)";

impl Statements {
    /// `expiry` makes a time of a number of seconds, or nothing of nothing.
    pub(super) fn new(names: &Names, expiry: &str) -> Statements {
        let Names { schema, state_table, metadata_table } = names;
        let table = format!("`{schema}`.`{state_table}`");
        let metadata = format!("`{schema}`.`{metadata_table}`");
        let row = format!("(?, ?, ?, ?, {expiry})");
        Statements {
            // Assignments take effect in their order: the first decides, at one instant, and the others follow it.
            create: format!(
                "INSERT INTO {table} (id, value, isbinary, eTag, expiredate) VALUES {row} ON DUPLICATE KEY UPDATE \
                 eTag = IF(expiredate <= SYSDATE(), VALUES(eTag), eTag), \
                 value = IF(eTag = VALUES(eTag), VALUES(value), value), \
                 isbinary = IF(eTag = VALUES(eTag), VALUES(isbinary), isbinary), \
                 expiredate = IF(eTag = VALUES(eTag), {expiry}, expiredate)"
            ),
            put_one: format!(
                "INSERT INTO {table} (id, value, isbinary, eTag, expiredate) VALUES {row} ON DUPLICATE KEY UPDATE \
                 value = VALUES(value), isbinary = VALUES(isbinary), eTag = VALUES(eTag), expiredate = {expiry}"
            ),
            put_if_matches: format!(
                "UPDATE {table} SET value = ?, isbinary = ?, eTag = ?, expiredate = {expiry} \
                 WHERE id = ? AND {MATCHES} AND {LIVES}"
            ),
            delete_if_matches: format!(
                "DELETE FROM {table} WHERE id = ? AND {MATCHES} AND {LIVES}"
            ),
            version: format!("SELECT eTag FROM {table} WHERE id = ? AND {LIVES}"),
            list: format!(
                "SELECT id FROM {table} WHERE id >= ? AND id > ? AND {LIVES} ORDER BY id LIMIT ?"
            ),
            claim_sweep: format!(
                "INSERT INTO {metadata} (id, value) VALUES ('last-cleanup', CURRENT_TIMESTAMP) ON DUPLICATE KEY UPDATE \
                 value = IF(CURRENT_TIMESTAMP > DATE_ADD(value, INTERVAL ? SECOND), CURRENT_TIMESTAMP, value)"
            ),
            sweep: format!("DELETE FROM {table} WHERE expiredate <= CURRENT_TIMESTAMP LIMIT ?"),
            table,
            row,
        }
    }

    /// Puts so many rows that never expire, whatever is there. `insertDate` and `row_id` of a row that is there stay.
    ///
    /// What the first clause says is worked out before a row's lock is waited for, and would be too early for a time.
    pub(super) fn put(&self, rows: usize) -> String {
        let Statements { table, row, .. } = self;
        let rows = vec![row.as_str(); rows].join(", ");
        format!(
            "INSERT INTO {table} (id, value, isbinary, eTag, expiredate) VALUES {rows} ON DUPLICATE KEY UPDATE \
             value = VALUES(value), isbinary = VALUES(isbinary), eTag = VALUES(eTag), \
             expiredate = NULL"
        )
    }

    pub(super) fn delete(&self, keys: usize) -> String {
        format!("DELETE FROM {} WHERE id IN ({})", self.table, marks(keys))
    }

    pub(super) fn get(&self, keys: usize) -> String {
        format!(
            "SELECT id, value, isbinary, eTag, TIMESTAMPDIFF(SECOND, '1970-01-01', expiredate) FROM {} \
             WHERE id IN ({}) AND {LIVES}",
            self.table,
            marks(keys)
        )
    }

    /// Locks the rows that are there, in the order of their keys, and tells the version of each that lives.
    pub(super) fn lock(&self, keys: usize) -> String {
        format!(
            "SELECT id, IF({LIVES}, eTag, NULL) FROM {} WHERE id IN ({}) ORDER BY id FOR UPDATE",
            self.table,
            marks(keys)
        )
    }
}

fn marks(count: usize) -> String {
    vec!["?"; count].join(", ")
}
