//! PostgreSQL, in both layouts. The server flushes each commit before it acknowledges it.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use fault_proxy::Proxy;
use real_servers::postgres::{Options, Postgres};
use tokio::time::sleep;
use tokio_postgres::{Client, NoTls};

use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    disk::SmallDisk,
    fault::FaultKind,
};

pub(crate) const V2: Cell = Cell {
    name: "postgresql",
    start: |setup| Box::pin(start(setup, "v2")),
    faults: &[
        FaultKind::None,
        FaultKind::KillSidecar,
        FaultKind::KillStore,
        FaultKind::AbortStore,
        FaultKind::PauseStore,
        FaultKind::LoseStoreReplies,
        FaultKind::ResetStoreConnections,
        FaultKind::CutStoreReplies,
        FaultKind::DelayStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::WithholdStoreReplies,
        FaultKind::HalfOpenToStore,
        FaultKind::OneByteAtATimeToStore,
        FaultKind::TakeConnections,
        FaultKind::FewConnections,
        FaultKind::CrossLocks,
        FaultKind::FullDisk,
    ],
    may_lose: &[],
};

pub(crate) const V1: Cell = Cell {
    name: "postgresql-v1",
    start: |setup| Box::pin(start(setup, "v1")),
    faults: &[
        FaultKind::None,
        FaultKind::KillStore,
        FaultKind::AbortStore,
        FaultKind::LoseStoreReplies,
        FaultKind::CutStoreReplies,
        FaultKind::WithholdStoreRequests,
        FaultKind::CrossLocks,
    ],
    may_lose: &[],
};

/// Room for the database, the log of a session, and little more.
const DISK_BYTES: u64 = 160 << 20;

/// So many that all sidecars have enough, and so few that others can take them.
const CONNECTIONS_MAX: &str = "40";

/// How long a lock is held before the next is asked for.
const HOLD: Duration = Duration::from_millis(20);

#[derive(Debug)]
struct Server {
    server: Postgres,
    version: &'static str,
    few_connections: bool,
    links: Vec<Proxy>,
    disk: Option<SmallDisk>,
    /// Of others.
    taken: Vec<Client>,
    rng: Rng,
    deadlocks: u64,
}

async fn start(setup: Setup<'_>, version: &'static str) -> Result<Box<dyn Tortured>> {
    let options = Options::default()
        .durable()
        .setting("max_connections", CONNECTIONS_MAX)
        .setting("max_wal_size", "64MB")
        .setting("min_wal_size", "32MB")
        .setting("wal_keep_size", "0")
        .setting("deadlock_timeout", "50ms");
    let disk = match setup.fault {
        FaultKind::FullDisk => Some(SmallDisk::mount(&setup.folder.join("disk"), DISK_BYTES)?),
        _ => None,
    };
    let server = match &disk {
        None => Postgres::start(&options).await?,
        Some(disk) => {
            // The server is not run by whoever owns the folders around it.
            fs::set_permissions(setup.folder, fs::Permissions::from_mode(0o711))?;
            Postgres::start_in(disk.path(), &options).await?
        }
    };
    // Who may not use what is kept for administrators.
    server.run("CREATE ROLE app LOGIN; GRANT ALL ON SCHEMA public TO app").await?;
    let mut links = Vec::new();
    for (_, seed) in (0..setup.sidecars).zip(setup.seed..) {
        links.push(Proxy::start_with_seed(server.address(), seed).await?);
    }
    Ok(Box::new(Server {
        server,
        version,
        few_connections: setup.fault == FaultKind::FewConnections,
        links,
        disk,
        taken: Vec::new(),
        rng: Rng::with_seed(setup.seed),
        deadlocks: 0,
    }))
}

#[async_trait]
impl Tortured for Server {
    fn spec(&self, sidecar: usize) -> String {
        let url = self.as_app(&self.server.url_at(self.links[sidecar].address()));
        let mut spec = format!(
            "  type: state.postgresql\n  version: {}\n  metadata:\n  - name: connectionString\n    value: {url:?}\n",
            self.version
        );
        if self.few_connections {
            spec += "  - name: maxConns\n    value: \"2\"\n";
        }
        spec
    }

    fn links(&self) -> &[Proxy] {
        &self.links
    }

    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        match fault {
            FaultKind::KillStore => self.server.process().kill(),
            FaultKind::AbortStore => self.server.process().abort().await,
            FaultKind::PauseStore => self.server.process().pause(),
            FaultKind::FullDisk => self.disk()?.fill(),
            FaultKind::CrossLocks | FaultKind::TakeConnections => Ok(()),
            _ => bail!("PostgreSQL cannot be harmed in this way: {fault:?}"),
        }
    }

    async fn prolong(
        &mut self,
        fault: FaultKind,
        duration: Duration,
        busy: Busy<'_>,
    ) -> Result<()> {
        match fault {
            FaultKind::CrossLocks => self.cross_locks(duration, busy).await,
            FaultKind::TakeConnections => {
                let started = Instant::now();
                while started.elapsed() < duration {
                    self.take_connections().await?;
                    sleep(HOLD).await;
                }
                Ok(())
            }
            _ => {
                sleep(duration).await;
                Ok(())
            }
        }
    }

    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        match fault {
            FaultKind::KillStore | FaultKind::AbortStore => self.server.process().restart().await,
            FaultKind::PauseStore => self.server.process().resume(),
            FaultKind::TakeConnections => {
                self.taken.clear();
                Ok(())
            }
            FaultKind::FullDisk => {
                self.disk()?.free()?;
                // Without room for its log, it ends.
                match self.server.process().is_running()? {
                    true => Ok(()),
                    false => self.server.process().restart().await,
                }
            }
            _ => Ok(()),
        }
    }

    fn meetings(&self) -> u64 {
        self.deadlocks
    }
}

impl Server {
    fn as_app(&self, url: &str) -> String {
        url.replace("postgres@", "app@")
    }

    fn disk(&self) -> Result<&SmallDisk> {
        self.disk.as_ref().context("there is no disk to fill")
    }

    /// Ends the sessions of the sidecars, and has as many as are left before they come back.
    async fn take_connections(&mut self) -> Result<()> {
        let url = self.as_app(&self.server.url());
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'steadfast'";
        self.server.run(end).await?;
        while let Ok((client, connection)) = tokio_postgres::connect(&url, NoTls).await {
            tokio::spawn(connection);
            self.taken.push(client);
        }
        Ok(())
    }

    /// Locks keys that sidecars use, in whichever order.
    async fn cross_locks(&mut self, duration: Duration, busy: Busy<'_>) -> Result<()> {
        let (started, before) = (Instant::now(), self.deadlocks().await?);
        let client = self.server.client().await?;
        let lock = "SELECT 1 FROM state WHERE key = $1 FOR UPDATE";
        let lock = client.prepare(lock).await?;
        while started.elapsed() < duration {
            client.batch_execute("BEGIN").await?;
            let first = format!("app||{}", busy(&mut self.rng));
            let stem = first.strip_suffix('0').context("the first key of a group ends so")?;
            // The other way round than the sidecars.
            for number in (0..3).rev() {
                let key = format!("{stem}{number}");
                // Whoever closes the circle is told to give up, and that may be this one.
                if client.query(&lock, &[&key]).await.is_err() {
                    break;
                }
                sleep(HOLD).await;
            }
            client.batch_execute("ROLLBACK").await?;
        }
        self.deadlocks += self.deadlocks().await? - before;
        Ok(())
    }

    /// How many the server has counted.
    async fn deadlocks(&self) -> Result<u64> {
        let count = "SELECT deadlocks::text FROM pg_stat_database WHERE datname = 'postgres'";
        Ok(self.server.ask(count).await?.parse()?)
    }
}
