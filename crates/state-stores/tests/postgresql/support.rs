//! Opens stores on servers of the tests.

use std::sync::Arc;

use real_servers::postgres::Postgres;
use state::{Result, Store};

pub(crate) use crate::words::*;

/// Both layouts.
pub(crate) const VERSIONS: [&str; 2] = ["v1", "v2"];

/// A store of this version of the component.
pub(crate) async fn try_open(version: &str, properties: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let driver =
        state_stores::versions("state.postgresql").find(|it| it.version == version).unwrap();
    (driver.open)(properties.iter().copied().collect()).await
}

/// A store behind a URL, with more settings. The tables of each version are in a schema of their own.
pub(crate) async fn open(url: &str, version: &str, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let prefix = format!("{version}_");
    let table = format!("{version}_state");
    let properties = [
        &[
            ("connectionString", url),
            ("tableName", &table),
            ("tablePrefix", &prefix),
            ("metadataTableName", "meta"),
        ],
        more,
    ]
    .concat();
    try_open(version, &properties).await.unwrap()
}

/// Changes a setting of a server that runs.
pub(crate) async fn configure(server: &Postgres, change: &str) {
    // ALTER SYSTEM wants to be alone, and goes also where writes do not.
    let client = server.client().await.unwrap();
    client.batch_execute("SET default_transaction_read_only = off").await.unwrap();
    client.batch_execute(&format!("ALTER SYSTEM {change}")).await.unwrap();
    client.batch_execute("SELECT pg_reload_conf()").await.unwrap();
}
