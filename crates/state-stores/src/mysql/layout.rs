//! The tables, in Dapr's layout: made if they are missing, brought up to date if they are old, refused if they fold keys.

use std::collections::BTreeMap;

use mysql_async::{Conn, Error as Cause, Row, prelude::Queryable};
use state::{Error, FailureKind, Result};

use super::{
    connector::Flavour,
    dsn::Address,
    refusal::{Refusal, Stage},
    settings::Names,
};

/// What a server and its table turn out to be.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) flavour: Flavour,
    /// Whether values are in a JSON type that does not keep their text.
    pub(super) normalizes: bool,
    /// How many characters a key may have.
    pub(super) key_len_max: usize,
    /// What makes a time of seconds.
    pub(super) expiry: &'static str,
    pub(super) settings: BTreeMap<String, String>,
}

/// The settings that durability follows from.
const SETTINGS: &str = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'innodb_flush_log_at_trx_commit', \
                        'sync_binlog', 'log_bin', 'innodb_doublewrite', 'read_only')";

const UNTIL_2038: &str = "LEAST(SYSDATE() + INTERVAL ? SECOND, TIMESTAMP'2038-01-19 03:14:07')";

/// Columns and indexes that another sidecar has made in the meantime.
const MADE_BY_OTHERS: [u16; 4] = [1007, 1050, 1060, 1061];

pub(super) async fn prepare(
    connection: &mut Conn,
    names: &Names,
    address: &Address,
) -> Result<Layout> {
    let Names { schema, state_table, metadata_table } = names;
    let explain = |e: Cause| Refusal::of(&e, address, Stage::Connect).error;
    let rows: Vec<(String, String)> = connection.query(SETTINGS).await.map_err(explain)?;
    let settings: BTreeMap<String, String> = rows.into_iter().collect();
    let is_mariadb = settings.get("version").is_some_and(|it| it.contains("MariaDB"));
    let flavour = if is_mariadb { Flavour::MariaDb } else { Flavour::MySql };
    let exact = if is_mariadb { "utf8mb4_nopad_bin" } else { "utf8mb4_0900_bin" };
    let known = format!("SELECT 1 FROM information_schema.schemata WHERE schema_name = '{schema}'");
    if connection.query_first::<u8, _>(known).await.map_err(explain)?.is_none() {
        make(
            connection,
            &format!("CREATE DATABASE IF NOT EXISTS `{schema}` CHARACTER SET utf8mb4"),
        )
        .await
        .map_err(explain)?;
    }
    let table = format!("`{schema}`.`{state_table}`");
    let mut columns = columns(connection, names).await.map_err(explain)?;
    if columns.is_empty() {
        let zone: (String, String) = connection
            .query_first("SELECT @@global.time_zone, @@system_time_zone")
            .await
            .map_err(explain)?
            .unwrap_or_default();
        // DATETIME goes beyond 2038, and has no zone: it is the same to Dapr only where the server's is UTC.
        let zone = if zone.0 == "SYSTEM" { zone.1 } else { zone.0 };
        let time = match matches!(&*zone, "UTC" | "Etc/UTC" | "+00:00") {
            true => "DATETIME",
            false => "TIMESTAMP",
        };
        let exactly = format!("CHARACTER SET utf8mb4 COLLATE {exact}");
        let statement = format!(
            "CREATE TABLE IF NOT EXISTS {table} (id VARCHAR(255) {exactly} NOT NULL PRIMARY KEY, value JSON NOT NULL, \
             isbinary BOOLEAN NOT NULL, insertDate TIMESTAMP NOT NULL DEFAULT CURRENT_TIMESTAMP, updateDate TIMESTAMP \
             NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE CURRENT_TIMESTAMP, eTag VARCHAR(36) {exactly} NOT NULL, \
             expiredate {time} NULL DEFAULT NULL, row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, \
             INDEX expiredate_idx (expiredate), UNIQUE INDEX row_id_uidx (row_id)) ENGINE = InnoDB"
        );
        make(connection, &statement).await.map_err(explain)?;
        columns = self::columns(connection, names).await.map_err(explain)?;
    }
    let id =
        columns.get("id").ok_or_else(|| refused(address, "has a table without the column id"))?;
    if !matches!(&*id.collation, "" | "utf8mb4_nopad_bin" | "utf8mb4_0900_bin") {
        return Err(refused(
            address,
            &format!(
                "has the table {table}, which takes keys for the same that differ in case, accents or trailing \
                 spaces. Stop all sidecars that use it, and run: ALTER TABLE {table} MODIFY id VARCHAR({}) CHARACTER \
                 SET utf8mb4 COLLATE {exact} NOT NULL",
                id.len
            ),
        ));
    }
    for (column, change) in [
        (
            "expiredate",
            "ADD COLUMN expiredate TIMESTAMP NULL DEFAULT NULL, ADD INDEX expiredate_idx (expiredate)",
        ),
        (
            "row_id",
            "ADD COLUMN row_id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT, ADD UNIQUE INDEX row_id_uidx (row_id)",
        ),
    ] {
        if !columns.contains_key(column) {
            make(connection, &format!("ALTER TABLE {table} {change}")).await.map_err(explain)?;
        }
    }
    let statement = format!(
        "CREATE TABLE IF NOT EXISTS `{schema}`.`{metadata_table}` (id VARCHAR(255) NOT NULL PRIMARY KEY, value TEXT \
         NOT NULL) ENGINE = InnoDB"
    );
    make(connection, &statement).await.map_err(explain)?;
    let has = |column: &str, kind: &str| columns.get(column).is_some_and(|it| it.kind == kind);
    Ok(Layout {
        flavour,
        normalizes: has("value", "json"),
        key_len_max: id.len,
        expiry: if has("expiredate", "datetime") {
            "SYSDATE() + INTERVAL ? SECOND"
        } else {
            UNTIL_2038
        },
        settings,
    })
}

struct Column {
    kind: String,
    collation: String,
    len: usize,
}

async fn columns(connection: &mut Conn, names: &Names) -> Result<BTreeMap<String, Column>, Cause> {
    let statement = format!(
        "SELECT column_name, data_type, IFNULL(collation_name, ''), IFNULL(character_maximum_length, 0) \
         FROM information_schema.columns WHERE table_schema = '{}' AND table_name = '{}'",
        names.schema, names.state_table
    );
    let rows: Vec<Row> = connection.query(statement).await?;
    let column = |row| {
        let (name, kind, collation, len): (String, String, String, u64) =
            mysql_async::from_row(row);
        (name, Column { kind, collation, len: usize::try_from(len).unwrap_or(usize::MAX) })
    };
    Ok(rows.into_iter().map(column).collect())
}

async fn make(connection: &mut Conn, statement: &str) -> Result<(), Cause> {
    match connection.query_drop(statement).await {
        Err(Cause::Server(e)) if MADE_BY_OTHERS.contains(&e.code) => Ok(()),
        made => made,
    }
}

fn refused(address: &Address, what: &str) -> Error {
    Error::new(FailureKind::Invalid, format!("mysql at {address} {what}"))
}
