use std::{ffi::OsString, fs, net::SocketAddr};

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{OWNER, Postgres, configuration::greet, programs};
use crate::process::{Kind, Place, Process};

/// In the pooler's folder.
const FILE: &str = "pgbouncer.ini";

/// PgBouncer before a server, which gives each transaction whichever session is free: three for everybody.
#[derive(Debug)]
pub struct PgBouncer {
    process: Process,
}

#[derive(Debug)]
struct Configuration {
    server: SocketAddr,
}

impl PgBouncer {
    /// Starts one before a server that lets everybody in, and waits until it answers.
    pub async fn start(server: &Postgres) -> Result<PgBouncer> {
        let configuration = Configuration { server: server.address() };
        Ok(PgBouncer { process: Process::start(configuration).await? })
    }

    /// What its clients are told.
    pub fn url(&self) -> String {
        format!("postgres://{OWNER}@{}/{OWNER}", self.process.address())
    }
}

#[async_trait]
impl Kind for Configuration {
    fn program(&self) -> OsString {
        programs::as_anybody("pgbouncer".into()).swap_remove(0)
    }

    fn package(&self) -> &str {
        "pgbouncer"
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let (ip, port) = (self.server.ip(), self.server.port());
        let text = format!(
            "[databases]\n* = host={ip} port={port} user={OWNER}\n\
             [pgbouncer]\nlisten_addr = 127.0.0.1\nlisten_port = {}\nunix_socket_dir =\nauth_type = any\n\
             pool_mode = transaction\ndefault_pool_size = 3\nignore_startup_parameters = extra_float_digits\n",
            place.address().port()
        );
        programs::hand_over(place.folder()).context("cannot hand the folder over")?;
        fs::write(place.folder().join(FILE), text).context("cannot write the configuration")
    }

    fn arguments(&self, _: &Place) -> Vec<OsString> {
        let mut words = programs::as_anybody("pgbouncer".into());
        words.remove(0);
        words.push(FILE.into());
        words
    }

    async fn answers(&self, place: &Place) -> bool {
        greet(place.address()).await.is_ok_and(|it| it.first() == Some(&b'R'))
    }
}
