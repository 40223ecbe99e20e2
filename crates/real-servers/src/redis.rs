//! Redis, or what speaks like it: alone, replicated, watched by sentinels, as a cluster.
//!
//! The program is `redis-server`, or what the environment variable `STEADFAST_REDIS_SERVER` names, by a name in `PATH` or
//! an absolute path, so that the same tests can be run with other versions of Redis and with Valkey.

mod client;
mod cluster;
mod configuration;
mod options;
mod replicated;
mod reply;
mod sentinels;

use std::{
    collections::HashMap,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, ensure};
use tokio::net::UnixStream;

use self::configuration::{Configuration, Role, SOCKET};
use crate::process::Process;

pub use self::{
    client::{Client, command},
    cluster::{Cluster, Migration},
    options::Options,
    replicated::Replicated,
    reply::Reply,
    sentinels::{MASTER_NAME, Sentinels},
};

/// A server of Redis: a plain one, a member of a group, or a sentinel.
///
/// Tests look at it through a Unix socket in its folder, which is there however its clients reach it.
#[derive(Debug)]
pub struct Redis {
    process: Process,
    password: Option<String>,
}

impl Redis {
    /// Starts a plain one and waits until it answers.
    pub async fn start(options: &Options) -> Result<Redis> {
        Redis::start_as(Role::Plain, options).await
    }

    /// The same in a folder that exists, and that is not removed. The data that is there is loaded, the configuration is
    /// written anew.
    pub async fn start_in(folder: &Path, options: &Options) -> Result<Redis> {
        let configuration = Configuration { role: Role::Plain, options: options.clone() };
        let password = configuration.password();
        Ok(Redis { process: Process::start_in(folder, configuration).await?, password })
    }

    async fn start_as(role: Role, options: &Options) -> Result<Redis> {
        let configuration = Configuration { role, options: options.clone() };
        let password = configuration.password();
        Ok(Redis { process: Process::start(configuration).await?, password })
    }

    /// To kill it, pause it and start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its clients find it; with TLS if the options have certificates.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The Unix socket at which it listens as well, always without TLS.
    pub fn socket(&self) -> PathBuf {
        self.process.folder().join(SOCKET)
    }

    /// A client that is connected through the Unix socket and has given the password.
    pub async fn client(&self) -> Result<Client<UnixStream>> {
        let mut client = Client::connect_unix(&self.socket()).await?;
        if let Some(password) = &self.password {
            client.ask(&["AUTH", password]).await?.ok()?;
        }
        Ok(client)
    }

    /// What it replies to one command, which may be an error.
    pub async fn command(&self, words: &[&str]) -> Result<Reply> {
        self.client().await?.ask(words).await
    }

    /// The fields of a section of `INFO`.
    pub async fn info(&self, section: &str) -> Result<HashMap<String, String>> {
        let text = self.command(&["INFO", section]).await?.text()?;
        let fields = text.lines().filter_map(|it| it.split_once(':'));
        Ok(fields.map(|(field, value)| (field.to_owned(), value.to_owned())).collect())
    }

    /// Whether it can be asked: it runs, and is not paused.
    fn is_up(&self) -> Result<bool> {
        Ok(self.process.is_running()? && !self.process.is_paused())
    }

    /// Whether it is a primary now.
    pub async fn is_primary(&self) -> Result<bool> {
        let replication = self.info("replication").await?;
        Ok(replication.get("role").context("there is no role")? == "master")
    }

    /// Whether it follows a primary and has all that the primary had when it began to.
    async fn is_in_sync(&self) -> Result<bool> {
        let replication = self.info("replication").await?;
        Ok(replication.get("master_link_status").is_some_and(|it| it == "up"))
    }

    /// Whether so many replicas follow it, as it sees it.
    async fn has_replicas(&self, count: usize) -> Result<bool> {
        let replication = self.info("replication").await?;
        let online = replication.values().filter(|it| it.contains("state=online")).count();
        ensure!(online <= count, "there are {online} replicas instead of {count}");
        Ok(online == count)
    }
}
