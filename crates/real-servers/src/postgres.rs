//! PostgreSQL: alone, with hot standbys, and behind PgBouncer.
//!
//! The programs are those of the newest version that Debian has installed, those in `PATH`, or those in the folder that the
//! environment variable `STEADFAST_POSTGRES_PROGRAMS` names.

mod configuration;
mod pooler;
mod programs;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use tokio_postgres::{Client, NoTls};

use self::configuration::{Configuration, Role};
pub use self::{pooler::PgBouncer, programs::find};
use crate::{Certificates, process::Process};

/// The user that owns everything, and the database that is there from the start.
const OWNER: &str = "postgres";

/// How a server is set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    password: Option<String>,
    certificates: Option<Arc<Certificates>>,
    durable: bool,
    settings: Vec<(String, String)>,
}

/// A server of PostgreSQL.
#[derive(Debug)]
pub struct Postgres {
    process: Process,
    options: Options,
}

impl Options {
    /// What clients must give, by SCRAM; without it, everybody is let in.
    pub fn password(mut self, password: &str) -> Options {
        self.password = Some(password.to_owned());
        self
    }

    /// Lets clients in only with TLS.
    pub fn tls(mut self, certificates: Certificates) -> Options {
        self.certificates = Some(Arc::new(certificates));
        self
    }

    /// Flushes each commit to the disk, as servers do that are not for tests.
    pub fn durable(mut self) -> Options {
        self.durable = true;
        self
    }

    /// A line of its configuration.
    pub fn setting(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }
}

impl Postgres {
    /// Starts one with an empty database and waits until it answers.
    pub async fn start(options: &Options) -> Result<Postgres> {
        let configuration = Configuration { role: Role::Primary, options: options.clone() };
        Ok(Postgres { process: Process::start(configuration).await?, options: options.clone() })
    }

    /// The same in a folder that exists, is empty, and is not removed.
    pub async fn start_in(folder: &Path, options: &Options) -> Result<Postgres> {
        let configuration = Configuration { role: Role::Primary, options: options.clone() };
        let process = Process::start_in(folder, configuration).await?;
        Ok(Postgres { process, options: options.clone() })
    }

    /// Starts a hot standby of this one, which it calls `name`.
    pub async fn standby(&self, name: &str) -> Result<Postgres> {
        let role = Role::StandbyOf { primary: self.url(), name: name.to_owned() };
        let configuration = Configuration { role, options: self.options.clone() };
        let process = Process::start(configuration).await?;
        Ok(Postgres { process, options: self.options.clone() })
    }

    /// To kill it, pause it and start it again.
    pub fn process(&self) -> &Process {
        &self.process
    }

    /// Where its clients find it.
    pub fn address(&self) -> SocketAddr {
        self.process.address()
    }

    /// What its clients are told, if they come by this address.
    pub fn url_at(&self, address: SocketAddr) -> String {
        let password = self.options.password.as_ref().map(|it| format!(":{it}"));
        format!("postgres://{OWNER}{}@{address}/{OWNER}", password.unwrap_or_default())
    }

    /// What its clients are told.
    pub fn url(&self) -> String {
        self.url_at(self.address())
    }

    /// A client of the server, which needs no TLS.
    pub async fn client(&self) -> Result<Client> {
        let (client, connection) = tokio_postgres::connect(&self.url(), NoTls)
            .await
            .context("cannot connect to the server")?;
        // It ends with the client, which is told what it ended with.
        tokio::spawn(connection);
        Ok(client)
    }

    /// Runs statements.
    pub async fn run(&self, statements: &str) -> Result<()> {
        self.client().await?.batch_execute(statements).await.context("the server refuses")
    }

    /// The first column of the first row that a statement returns, as text.
    pub async fn ask(&self, statement: &str) -> Result<String> {
        let row = self.client().await?.query_one(statement, &[]).await.context("no one row")?;
        row.try_get(0).context("it is no text")
    }
}
