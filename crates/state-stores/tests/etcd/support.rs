//! Opens stores on servers of the tests, and looks at what is on them.

use std::sync::Arc;

use base64::{Engine as _, prelude::BASE64_STANDARD};
use real_servers::etcd::Etcd;
use state::{Result, Store};

pub(crate) use crate::words::*;

/// Both layouts.
pub(crate) const VERSIONS: [&str; 2] = ["v1", "v2"];

/// A store of this version of the component.
pub(crate) async fn try_open(version: &str, properties: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let driver = state_stores::versions("state.etcd").find(|it| it.version == version).unwrap();
    (driver.open)(properties.iter().copied().collect()).await
}

/// A store on these endpoints, with more settings. The keys of each version are under a prefix of its own.
pub(crate) async fn open(endpoints: &str, version: &str, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let properties = [&[("endpoints", endpoints), ("keyPrefixPath", version)], more].concat();
    try_open(version, &properties).await.unwrap()
}

/// Writes bytes as another client would, with a lease or without (`0`).
pub(crate) async fn put_raw(etcd: &Etcd, key: &str, value: &[u8], lease: i64) {
    let (key, value) = (encoded(key.as_bytes()), encoded(value));
    let question = format!(r#"{{"key":"{key}","value":"{value}","lease":"{lease}"}}"#);
    etcd.post("/v3/kv/put", &question).await.unwrap();
}

/// The bytes of a key, as another client reads them.
pub(crate) async fn raw(etcd: &Etcd, key: &str) -> Option<Vec<u8>> {
    let question = format!(r#"{{"key":"{}"}}"#, encoded(key.as_bytes()));
    let answer = etcd.post("/v3/kv/range", &question).await.unwrap();
    let value = text_of(&answer, "value")?;
    Some(BASE64_STANDARD.decode(value).unwrap())
}

/// How many leases there are.
pub(crate) async fn leases(etcd: &Etcd) -> usize {
    etcd.post("/v3/lease/leases", "{}").await.unwrap().matches("\"ID\"").count()
}

/// A text in an answer in JSON.
pub(crate) fn text_of<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let (_, rest) = answer.split_once(&format!("\"{name}\":\""))?;
    rest.split('"').next()
}

fn encoded(bytes: &[u8]) -> String {
    BASE64_STANDARD.encode(bytes)
}
