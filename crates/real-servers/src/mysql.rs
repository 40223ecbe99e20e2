//! MariaDB, or MySQL.
//!
//! The program is `mariadbd`, or what the environment variable `STEADFAST_MYSQL_SERVER` names, by a name in `PATH` or an
//! absolute path, so that the same tests can be run with other versions of MariaDB and with MySQL.

mod client;
mod configuration;
mod options;
mod template;

use std::{net::SocketAddr, path::Path, path::PathBuf};

use anyhow::Result;

use self::configuration::{Configuration, SOCKET};
use crate::process::Process;

pub use self::{
    client::{Client, Refused},
    configuration::{PASSWORD, USER},
    options::Options,
};

/// A server with a fresh data directory.
///
/// Tests look at it as `root`, through a Unix socket in its folder. Its clients are [`USER`], who may do everything with
/// tables, and nothing with the server.
#[derive(Debug)]
pub struct Mysql {
    process: Process,
}

impl Mysql {
    /// Starts one and waits until it answers.
    pub async fn start(options: &Options) -> Result<Mysql> {
        Ok(Mysql { process: Process::start(Configuration { options: options.clone() }).await? })
    }

    /// The same in a folder that exists, and that is not removed.
    pub async fn start_in(folder: &Path, options: &Options) -> Result<Mysql> {
        let configuration = Configuration { options: options.clone() };
        Ok(Mysql { process: Process::start_in(folder, configuration).await? })
    }

    /// To kill it, pause it and start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its clients find it, with TLS or without.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// The Unix socket at which it listens as well.
    pub fn socket(&self) -> PathBuf {
        self.process.folder().join(SOCKET)
    }

    /// A client that is connected through the Unix socket, as `root`.
    pub async fn client(&self) -> Result<Client> {
        Client::connect(&self.socket()).await
    }

    /// The rows of one statement, on a connection of its own.
    pub async fn query(&self, statement: &str) -> Result<Vec<Vec<Option<String>>>> {
        self.client().await?.query(statement).await
    }

    /// The only value of the only row of one statement.
    pub async fn value(&self, statement: &str) -> Result<String> {
        let rows = self.query(statement).await?;
        let value = rows.into_iter().flatten().next().flatten();
        value.ok_or_else(|| anyhow::anyhow!("nothing comes of {statement}"))
    }
}
