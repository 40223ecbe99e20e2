use std::{net::TcpStream, time::Duration};

use anyhow::Result;
use async_trait::async_trait;
use real_servers::{
    process::{Kind, Place, Process},
    redis::{Client, Options, Redis, Reply},
};
use tokio::time::timeout;

/// How long to watch that no answer comes.
const MOMENT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn a_killed_server_refuses_clients_and_starts_again_where_it_was() {
    let redis = Redis::start(&Options::default().durable()).await.unwrap();
    let (address, id) = (redis.address(), redis.process().id());
    redis.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    redis.process().kill().unwrap();
    assert!(!redis.process().is_running().unwrap());
    assert_eq!(redis.process().id(), None);
    assert!(TcpStream::connect(address).is_err());
    redis.process().restart().await.unwrap();
    assert_eq!(redis.address(), address);
    assert_ne!(redis.process().id(), id);
    assert_eq!(redis.command(&["GET", "k"]).await.unwrap(), Reply::Bulk(b"v".into()));
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let redis = Redis::start(&Options::default()).await.unwrap();
    let mut client = Client::connect(redis.address()).await.unwrap();
    for _ in 0..2 {
        redis.process().pause().unwrap();
        client.send(&["PING"]).await.unwrap();
        assert!(timeout(MOMENT, client.reply()).await.is_err());
        assert!(redis.process().is_running().unwrap());
        redis.process().resume().unwrap();
        assert_eq!(client.reply().await.unwrap().text().unwrap(), "PONG");
    }
}

#[tokio::test]
async fn a_paused_server_is_killed_and_starts_again() {
    let redis = Redis::start(&Options::default()).await.unwrap();
    redis.process().pause().unwrap();
    redis.process().restart().await.unwrap();
    assert!(!redis.process().is_paused());
    redis.process().terminate().await.unwrap();
    assert!(redis.process().log().contains("bye bye"));
    redis.process().restart().await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_dropped_leaves_nothing() {
    let redis = Redis::start(&Options::default()).await.unwrap();
    let (address, folder) = (redis.address(), redis.process().folder().to_owned());
    redis.process().pause().unwrap();
    drop(redis);
    assert!(TcpStream::connect(address).is_err());
    assert!(!folder.exists());
}

#[tokio::test]
async fn a_folder_that_was_given_stays() {
    let folder = tempfile::tempdir().unwrap();
    for expected in [Reply::Nil, Reply::Bulk(b"v".into())] {
        let redis = Redis::start_in(folder.path(), &Options::default().durable()).await.unwrap();
        assert_eq!(redis.command(&["GET", "k"]).await.unwrap(), expected);
        redis.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    }
}

#[tokio::test]
async fn a_server_that_ends_at_once_is_reported_with_its_log() {
    let failed = Redis::start(&Options::default().setting("no-such-setting", "1")).await;
    let error = failed.unwrap_err().to_string();
    assert!(error.contains("redis-server ends as soon as it is started"), "{error}");
    assert!(error.contains("no-such-setting"), "{error}");
}

#[tokio::test]
async fn a_program_that_is_missing_is_reported_with_its_package() {
    let error = format!("{:#}", Process::start(Missing).await.unwrap_err());
    assert!(error.contains("install the package no-such-package"), "{error}");
}

#[derive(Debug)]
struct Missing;

#[async_trait]
impl Kind for Missing {
    fn program(&self) -> std::ffi::OsString {
        "no-such-program".into()
    }

    fn package(&self) -> &str {
        "no-such-package"
    }

    fn prepare(&self, _: &Place) -> Result<()> {
        Ok(())
    }

    fn arguments(&self, _: &Place) -> Vec<std::ffi::OsString> {
        Vec::new()
    }

    async fn answers(&self, _: &Place) -> bool {
        false
    }
}
