//! One store under one kind of fault, from start to judgement.

use std::{
    fs,
    net::SocketAddr,
    path::{Path, PathBuf},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use fault_proxy::{Fault, Proxy};
use sidecar_client::HttpStore;
use sidecar_verify::{Plan, RealTime, Theme, Time, Workload};
use state::{Read, Store};
use state_checker::{History, Origin, Record, Reply, Report};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use crate::{
    cell::{Cell, Tortured},
    fault::{Bite, FaultKind, Place},
    run,
    sidecar::{self, Sidecar},
};

/// What a session is like.
#[derive(Clone, Debug)]
pub(crate) struct Session {
    pub(crate) cell: &'static Cell,
    pub(crate) fault: FaultKind,
    pub(crate) seed: u64,
    /// How long clients contend, most of it under faults.
    pub(crate) duration: Duration,
    pub(crate) program: PathBuf,
}

/// What a session has come to.
#[derive(Debug)]
pub(crate) struct Seen {
    pub(crate) history: History,
    pub(crate) report: Report,
    pub(crate) faults: u64,
    pub(crate) unknown: u64,
    pub(crate) not_applied: u64,
    /// How long until every sidecar served again.
    pub(crate) recovery: Duration,
    /// Why nothing was proven, if so.
    pub(crate) void: Option<String>,
    /// What did not come back.
    pub(crate) dead: Vec<String>,
}

/// A sidecar that can be started again, and the way that clients take to it.
struct Replica {
    plan: sidecar::Plan,
    sidecar: Sidecar,
    link: Proxy,
}

struct Stage {
    replicas: Vec<Replica>,
    store: Box<dyn Tortured>,
    rng: Rng,
    faults: u64,
    /// The times in which something was wrong, on the clock of the records.
    windows: Vec<(u64, u64)>,
}

const SIDECARS: usize = 3;

/// After which an answer is no longer waited for. Source: what etcd's own tests take.
const TIMEOUT: Duration = Duration::from_millis(200);

/// How long there is peace before the first fault.
const PEACE: Duration = Duration::from_secs(2);

/// How long a fault lasts, and the pause until the next, in milliseconds.
const FAULT_MS: std::ops::Range<u64> = 200..1500;
const PAUSE_MS: std::ops::Range<u64> = 300..1500;

/// How soon every sidecar must serve after the last fault. Source: semantics.md, I14.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// Fewer operations a second in peace prove nothing. Source: testing.md, 3.3.
const PEACE_RATE_MIN: f64 = 100.0;

/// A fault that spoils a smaller share of the operations did not bite. Source: testing.md, 3.3.
const SPOILT_SHARE_MIN: f64 = 0.01;

const STORE_NAME: &str = "statestore";

impl Session {
    pub(crate) async fn run(&self) -> Result<Seen> {
        let folder = TempDir::new().context("cannot make a folder")?;
        let mut store = (self.cell.start)(folder.path(), self.fault).await?;
        let mut replicas = Vec::new();
        for number in 0..SIDECARS {
            replicas.push(self.replica(number, &mut *store, folder.path()).await?);
        }
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for replica in &replicas {
            let url = format!("http://{}", replica.link.address());
            stores.push(Arc::new(HttpStore::connect(&url, STORE_NAME).await?));
        }
        let time: Arc<dyn Time> = Arc::new(RealTime::start());
        let plan = self.plan(&*stores[0]);
        let workload = Workload::new(stores.clone(), time.clone(), plan);
        let rng = Rng::with_seed(self.seed);
        let mut stage = Stage { replicas, store, rng, faults: 0, windows: Vec::new() };
        let torturing = async {
            let tortured = stage.torture(self, &*time).await;
            workload.progress.stop.store(true, Relaxed);
            tortured
        };
        let (mut groups, tortured) = tokio::join!(workload.run(), torturing);
        tortured?;

        let (recovery, mut dead) = recover(&stores).await;
        let mut looked = true;
        for (group, records) in &mut groups {
            let last = workload.look_at(*group).await;
            looked &= is_answered(&last);
            records.extend(last);
        }
        if !looked {
            dead.push("a key could not be read after the faults were over".to_owned());
        }
        let mut report = Report::default();
        groups.values().for_each(|it| report.add(it, &run::limits()));
        let records: Vec<Record> = groups.into_values().flatten().collect();
        let void = self.void(&records, &stage);
        let subject = format!("{} under {:?}", self.cell.name, self.fault);
        Ok(Seen {
            history: History { origin: Origin::new(&subject, self.seed), records },
            report,
            faults: stage.faults,
            unknown: workload.progress.unknown.load(Relaxed),
            not_applied: workload.progress.not_applied.load(Relaxed),
            recovery,
            void,
            dead,
        })
    }

    fn plan(&self, store: &dyn Store) -> Plan {
        let themes = Theme::ALL.into_iter().filter(|it| it.is_offered(store.capabilities()));
        Plan {
            prefix: format!("torture-{:x}", self.seed),
            seed: self.seed,
            themes: themes.collect(),
            groups: u32::MAX,
            groups_at_once: 12,
            clients: 5,
            operations: 300,
            pace: None,
            timeout: TIMEOUT,
            lifetime: None,
            filling: 200,
        }
    }

    async fn replica(
        &self,
        number: usize,
        store: &mut dyn Tortured,
        folder: &Path,
    ) -> Result<Replica> {
        let components = folder.join(format!("components-{number}"));
        fs::create_dir(&components)?;
        let spec = store.spec(number);
        let component = format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {STORE_NAME}\nspec:\n\
             {spec}"
        );
        fs::write(components.join("statestore.yaml"), component)?;
        let plan = sidecar::Plan::serve(&self.program, folder)
            .argument("--resources-path")
            .argument(components)
            .under(store.wrapper(number));
        let sidecar = Sidecar::start(&plan).await?;
        let port = sidecar.port();
        let link = Proxy::start_with_seed(address(port), self.seed).await?;
        // From now on it has to be where its clients look for it.
        let plan = plan.argument("--dapr-http-port").argument(port.to_string());
        Ok(Replica { plan, sidecar, link })
    }

    /// Why the session proves nothing, if so.
    fn void(&self, records: &[Record], stage: &Stage) -> Option<String> {
        let peace = PEACE.as_nanos() as u64;
        let early = records.iter().filter(|it| it.returned < peace).count();
        let rate = early as f64 / PEACE.as_secs_f64();
        if rate < PEACE_RATE_MIN {
            return Some(format!("only {rate:.0} operations a second before the first fault"));
        }
        match self.fault.bite() {
            Bite::No => None,
            Bite::Connections => {
                let hit: u64 = stage.replicas.iter().map(|it| it.link.counts().hit).sum();
                (hit == 0).then(|| "no connection was affected".to_owned())
            }
            Bite::Failures => {
                let during = |it: &&Record| {
                    stage.windows.iter().any(|(from, to)| it.called < *to && it.returned > *from)
                };
                let spoilt = |it: &&Record| matches!(it.reply, Reply::Unknown | Reply::NotApplied);
                let all = records.iter().filter(during).count();
                let spoilt = records.iter().filter(during).filter(spoilt).count();
                let share = spoilt as f64 / all.max(1) as f64;
                (share < SPOILT_SHARE_MIN)
                    .then(|| format!("the faults spoilt only {spoilt} of {all} operations"))
            }
        }
    }
}

impl Stage {
    /// Peace, then one fault after the other.
    async fn torture(&mut self, session: &Session, time: &dyn Time) -> Result<()> {
        let started = Instant::now();
        sleep(PEACE).await;
        while started.elapsed() < session.duration {
            let from = time.now();
            let made = self.disturb(session.fault).await?;
            self.windows.push((from, time.now()));
            if made {
                self.faults += 1;
                sleep(Duration::from_millis(self.rng.u64(PAUSE_MS))).await;
            }
        }
        self.faults += self.store.faults_of_its_own();
        Ok(())
    }

    /// Makes one fault, and ends it again; says whether there was one to make.
    async fn disturb(&mut self, fault: FaultKind) -> Result<bool> {
        let which = self.rng.usize(..self.replicas.len());
        let duration = Duration::from_millis(self.rng.u64(FAULT_MS));
        let replica = &mut self.replicas[which];
        match fault.place() {
            Place::Nowhere => {
                sleep(duration).await;
                return Ok(false);
            }
            Place::Link(one_in, fault) => {
                replica.link.set_one_in(one_in, fault.clone());
                if fault == Fault::HalfOpen {
                    // It meets new connections only.
                    replica.link.cut_all();
                }
                sleep(duration).await;
                replica.link.heal();
            }
            Place::Process if fault == FaultKind::PauseSidecar => {
                replica.sidecar.pause();
                sleep(duration).await;
                replica.sidecar.resume();
            }
            Place::Process => {
                replica.sidecar.kill();
                replica.sidecar.wait().await?;
                sleep(duration / 4).await;
                replica.sidecar = Sidecar::start(&replica.plan).await?;
            }
            Place::Store => {
                self.store.harm(fault).await?;
                sleep(duration).await;
                self.store.repair(fault).await?;
            }
        }
        Ok(true)
    }
}

/// How long the slowest sidecar takes to serve again, and those that do not.
async fn recover(stores: &[Arc<dyn Store>]) -> (Duration, Vec<String>) {
    let started = Instant::now();
    let key = state::Key::new("torture-recovery").expect("a plain word");
    let mut dead = Vec::new();
    for (number, store) in stores.iter().enumerate() {
        let read = Read::new(key.clone());
        let write = state::Write::put(key.clone(), "0");
        let served = async {
            loop {
                let answers =
                    async { store.get(&read).await.is_ok() && store.write(&write).await.is_ok() };
                if timeout(TIMEOUT, answers).await == Ok(true) {
                    return;
                }
                sleep(TIMEOUT / 20).await;
            }
        };
        let left = RECOVERY_MAX.saturating_sub(started.elapsed());
        if timeout(left, served).await.is_err() {
            dead.push(format!("sidecar {number} did not serve within {RECOVERY_MAX:?}"));
        }
    }
    (started.elapsed(), dead)
}

/// Whether every key was read in the end through every sidecar.
fn is_answered(last: &[Record]) -> bool {
    let is_read = |it: &Record| !matches!(it.reply, Reply::Unknown | Reply::NotApplied);
    last.iter().all(|it| {
        last.iter()
            .any(|other| other.endpoint == it.endpoint && other.call == it.call && is_read(other))
    })
}

fn address(port: u16) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], port))
}
