//! Opens stores on servers of the tests, and looks at what they have written.

use std::{net::SocketAddr, sync::Arc};

use real_servers::redis::{Redis, Reply};
use state::{Result, Store};

pub(crate) use crate::words::*;

/// A store with these settings.
pub(crate) async fn try_open(properties: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let driver = state_stores::driver("state.redis").unwrap();
    (driver.open)(properties.iter().copied().collect()).await
}

/// A store at an address, with more settings.
pub(crate) async fn open(address: SocketAddr, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let address = address.to_string();
    try_open(&[&[("redisHost", address.as_str())], more].concat()).await.unwrap()
}

/// A store on several addresses, with more settings.
pub(crate) async fn open_at(addresses: &[SocketAddr], more: &[(&str, &str)]) -> Arc<dyn Store> {
    let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let addresses = addresses.join(",");
    try_open(&[&[("redisHost", addresses.as_str())], more].concat()).await.unwrap()
}

/// The fields of a hash, as pairs in the order of their names.
pub(crate) async fn fields(server: &Redis, name: &str) -> Vec<(String, String)> {
    let words = server.command(&["HGETALL", name]).await.unwrap().array().unwrap();
    let words: Vec<String> = words.into_iter().map(|it| it.text().unwrap()).collect();
    let (pairs, _) = words.as_chunks::<2>();
    let mut pairs: Vec<_> =
        pairs.iter().map(|[name, value]| (name.clone(), value.clone())).collect();
    pairs.sort();
    pairs
}

/// Sends commands that have to be understood.
pub(crate) async fn arrange(server: &Redis, commands: &[&[&str]]) {
    for command in commands {
        let reply = server.command(command).await.unwrap();
        assert!(!matches!(reply, Reply::Error(_)), "{command:?}: {reply:?}");
    }
}

/// How often a server was asked a command, scripts included.
pub(crate) async fn calls(server: &Redis, command: &str) -> u64 {
    let stats = server.info("commandstats").await.unwrap();
    let Some(stats) = stats.get(&format!("cmdstat_{command}")) else { return 0 };
    let calls = stats.split(',').find_map(|it| it.strip_prefix("calls="));
    calls.unwrap().parse().unwrap()
}
