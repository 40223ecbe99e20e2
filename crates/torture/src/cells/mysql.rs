//! MariaDB. The server flushes each commit, and its binary log, before it acknowledges it.
//!
//! Its disk is not filled: without room MariaDB loses rows by itself, as `tests/mariadb_full_disk.py` shows.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use fault_proxy::Proxy;
use mysql_async::{Conn, OptsBuilder};
use real_servers::mysql::{Client, Mysql, Options, PASSWORD, USER};
use tokio::time::{sleep, timeout};

use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    fault::FaultKind,
};

pub(crate) const CELL: Cell = Cell {
    name: "mysql",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillSidecar,
        FaultKind::KillStore,
        FaultKind::PauseStore,
        FaultKind::LoseStoreReplies,
        FaultKind::ResetStoreConnections,
        FaultKind::DelayStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::WithholdStoreReplies,
        FaultKind::HalfOpenToStore,
        FaultKind::OneByteAtATimeToStore,
        FaultKind::TakeConnections,
        FaultKind::FewConnections,
        FaultKind::CrossLocks,
    ],
    may_lose: &[],
};

/// So many that all sidecars have enough, and so few that others can take them.
const CONNECTIONS_MAX: &str = "max_connections=40";

/// How long a lock is held before the next is asked for, and between two tries to take connections.
const HOLD: Duration = Duration::from_millis(20);

/// After which somebody else was quicker.
const CONNECTING_MAX: Duration = Duration::from_secs(1);

#[derive(Debug)]
struct Server {
    server: Mysql,
    few_connections: bool,
    links: Vec<Proxy>,
    /// Of others.
    taken: Vec<Conn>,
    rng: Rng,
    deadlocks: u64,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let options = Options::default().setting(CONNECTIONS_MAX);
    let server = Mysql::start(&options.durable()).await?;
    let mut links = Vec::new();
    for (_, seed) in (0..setup.sidecars).zip(setup.seed..) {
        links.push(Proxy::start_with_seed(server.address(), seed).await?);
    }
    Ok(Box::new(Server {
        server,
        few_connections: setup.fault == FaultKind::FewConnections,
        links,
        taken: Vec::new(),
        rng: Rng::with_seed(setup.seed),
        deadlocks: 0,
    }))
}

#[async_trait]
impl Tortured for Server {
    fn spec(&self, sidecar: usize) -> String {
        let source = format!("{USER}:{PASSWORD}@tcp({})/", self.links[sidecar].address());
        let mut spec = format!(
            "  type: state.mysql\n  version: v1\n  metadata:\n  - name: connectionString\n    value: {source:?}\n"
        );
        if self.few_connections {
            spec += "  - name: maxConns\n    value: \"1\"\n";
        }
        spec
    }

    fn links(&self) -> &[Proxy] {
        &self.links
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        match fault {
            FaultKind::KillStore => self.server.process().kill(),
            FaultKind::PauseStore => self.server.process().pause(),
            FaultKind::CrossLocks | FaultKind::TakeConnections => Ok(()),
            _ => bail!("MariaDB cannot be harmed in this way: {fault:?}"),
        }
    }

    async fn prolong(
        &mut self,
        fault: FaultKind,
        duration: Duration,
        busy: Busy<'_>,
    ) -> Result<()> {
        let started = Instant::now();
        match fault {
            FaultKind::CrossLocks => self.cross_locks(duration, busy).await?,
            FaultKind::TakeConnections => {
                // An administrator has a connection more than others, and keeps it.
                let mut client = self.server.client().await?;
                while started.elapsed() < duration {
                    self.take_connections(&mut client).await?;
                    sleep(HOLD).await;
                }
            }
            _ => sleep(duration).await,
        }
        Ok(())
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        match fault {
            FaultKind::KillStore => self.server.process().restart().await?,
            FaultKind::PauseStore => self.server.process().resume()?,
            _ => self.taken.clear(),
        }
        Ok(())
    }

    fn meetings(&self) -> u64 {
        self.deadlocks
    }
}

impl Server {
    /// Ends the sessions of the sidecars, and has as many as are left before they come back.
    async fn take_connections(&mut self, client: &mut Client) -> Result<()> {
        let mine: Vec<String> = self.taken.iter().map(|it| it.id().to_string()).collect();
        let mine = if mine.is_empty() { "0".to_owned() } else { mine.join(",") };
        let others = format!(
            "SELECT id FROM information_schema.processlist WHERE user = '{USER}' AND id NOT IN ({mine})"
        );
        for row in client.query(&others).await? {
            let id = row.into_iter().next().flatten().context("a session has a number")?;
            // It may have ended by itself.
            let _ = client.attempt(&format!("KILL {id}")).await?;
        }
        let address = self.server.address();
        let options = OptsBuilder::default()
            .ip_or_hostname(address.ip().to_string())
            .tcp_port(address.port())
            .user(Some(USER))
            .pass(Some(PASSWORD));
        while let Ok(Ok(it)) = timeout(CONNECTING_MAX, Conn::new(options.clone())).await {
            self.taken.push(it);
        }
        Ok(())
    }

    /// Locks keys that sidecars use, the other way round than they do.
    async fn cross_locks(&mut self, duration: Duration, busy: Busy<'_>) -> Result<()> {
        let (started, before) = (Instant::now(), self.deadlocks().await?);
        let mut client = self.server.client().await?;
        while started.elapsed() < duration {
            client.query("START TRANSACTION").await?;
            let first = busy(&mut self.rng);
            let stem = first.strip_suffix('0').context("the first key of a group ends so")?;
            for number in (0..3).rev() {
                let lock = format!(
                    "SELECT id FROM dapr_state_store.state WHERE id = 'app||{stem}{number}' FOR UPDATE"
                );
                // Whoever closes the circle is told to give up, and that may be this one.
                if client.attempt(&lock).await?.is_err() {
                    break;
                }
                sleep(HOLD).await;
            }
            client.query("ROLLBACK").await?;
        }
        self.deadlocks += self.deadlocks().await? - before;
        Ok(())
    }

    /// How many the server has counted.
    async fn deadlocks(&self) -> Result<u64> {
        let count = "SELECT variable_value FROM information_schema.global_status \
                     WHERE variable_name = 'Innodb_deadlocks'";
        Ok(self.server.value(count).await?.parse()?)
    }
}
