//! One store under one kind of fault, from start to judgement.

mod counters;
mod stage;

use std::{
    fmt,
    path::PathBuf,
    sync::{Arc, atomic::Ordering::Relaxed},
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use fastrand::Rng;
use futures::future::join_all;
use sidecar_verify::{Plan, RealTime, Theme, Time, Workload};
use state::{Key, Read, Store, Write};
use state_checker::{History, Origin, Record, Reply, Report, Verdict, Violation};
use tempfile::TempDir;
use tokio::time::{sleep, timeout};

use self::{
    counters::Counters,
    stage::{Replica, Stage},
};
use crate::{
    cell::{Cell, Setup},
    excuse,
    fault::{Bite, FaultKind},
    run,
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
    /// What nothing but the loss explains that the cell declares.
    pub(crate) declared: Vec<Violation>,
    pub(crate) faults: u64,
    /// How often sidecars have met a fault that need not spoil anything.
    pub(crate) meetings: u64,
    pub(crate) unknown: u64,
    pub(crate) not_applied: u64,
    /// How many strong writes of counters were acknowledged.
    pub(crate) counted: u64,
    /// What of them was lost.
    pub(crate) lost: Vec<String>,
    /// How long until every sidecar served again.
    pub(crate) recovery: Duration,
    /// The longest that it took them after another server had taken over.
    pub(crate) succession: Duration,
    /// Why nothing was proven, if so.
    pub(crate) void: Option<String>,
    /// What did not come back.
    pub(crate) dead: Vec<String>,
}

const SIDECARS: usize = 3;

/// After which an answer is no longer waited for. Source: what etcd's own tests take.
const TIMEOUT: Duration = Duration::from_millis(200);

/// How long there is peace before the first fault.
const PEACE: Duration = Duration::from_secs(2);

/// How soon every sidecar must serve after the last fault, and after another server has taken over.
/// Source: semantics.md, I14; testing.md, 3.3.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// Fewer operations a second in peace prove nothing. Source: testing.md, 3.3.
const PEACE_RATE_MIN: f64 = 100.0;

/// A fault that spoils a smaller share of the operations did not bite. Source: testing.md, 3.3.
const SPOILT_SHARE_MIN: f64 = 0.01;

/// A fault that is to spare most operations must not spoil a larger share.
const SPOILT_SHARE_MAX: f64 = 0.5;

const STORE_NAME: &str = "statestore";

impl Session {
    pub(crate) async fn run(&self) -> Result<Seen> {
        let folder = TempDir::new().context("cannot make a folder")?;
        let (fault, seed, sidecars) = (self.fault, self.seed, SIDECARS);
        let setup = Setup { folder: folder.path(), fault, seed, sidecars };
        let store = (self.cell.start)(setup).await?;
        let mut replicas = Vec::new();
        for number in 0..SIDECARS {
            replicas.push(Replica::start(self, number, &*store, folder.path()).await?);
        }
        let mut stores: Vec<Arc<dyn Store>> = Vec::new();
        for replica in &replicas {
            stores.push(replica.client().await?);
        }
        let time: Arc<dyn Time> = Arc::new(RealTime::start());
        let workload = Workload::new(stores.clone(), time.clone(), self.plan(&*stores[0]));
        let counters = Counters::new(&stores, &workload.plan.prefix, seed);
        let rng = Rng::with_seed(seed);
        let mut stage = Stage::new(replicas, store, &stores, rng);
        let torturing = async {
            let tortured = stage.torture(self, &workload).await;
            workload.progress.stop.store(true, Relaxed);
            tortured
        };
        let counting = counters.count(&workload.progress.stop);
        let (mut groups, tortured, counted) = tokio::join!(workload.run(), torturing, counting);
        tortured?;

        let mut dead = std::mem::take(&mut stage.dead);
        let mut looked = true;
        for (group, records) in &mut groups {
            let last = workload.look_at(*group).await;
            looked &= is_answered(&last);
            records.extend(last);
        }
        if !looked {
            dead.push("a key could not be read after the faults were over".to_owned());
        }
        let lost = counters.look(&counted).await;
        let mut report = Report::default();
        groups.values().for_each(|it| report.add(it, &run::limits()));
        let mut declared = Vec::new();
        if self.cell.may_lose.iter().any(|(it, _)| *it == self.fault) {
            let violations = std::mem::take(&mut report.violations);
            for violation in violations {
                let records = &groups[&violation.group];
                match excuse::judge(records, &stage.twilights, &run::limits()) {
                    Verdict::Legal => declared.push(violation),
                    Verdict::Illegal(worse) => report.violations.push(*worse),
                    Verdict::Exhausted => report.exhausted.push(violation.group),
                }
            }
        }
        let records: Vec<Record> = groups.into_values().flatten().collect();
        let spoilt = Spoilt::count(&records, &stage.windows);
        if self.fault.spares_most() && spoilt.share() > SPOILT_SHARE_MAX {
            dead.push(format!("{spoilt}, though most should have gone on"));
        }
        let void = self.void(&records, &spoilt, &stage);
        let subject = format!("{} under {:?}", self.cell.name, self.fault);
        Ok(Seen {
            history: History { origin: Origin::new(&subject, self.seed), records },
            report,
            declared,
            faults: stage.faults,
            meetings: stage.store.meetings(),
            unknown: workload.progress.unknown.load(Relaxed),
            not_applied: workload.progress.not_applied.load(Relaxed),
            counted: counted.iter().sum(),
            lost,
            recovery: stage.recovery,
            succession: stage.succession,
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

    /// Why the session proves nothing, if so.
    fn void(&self, records: &[Record], spoilt: &Spoilt, stage: &Stage<'_>) -> Option<String> {
        let peace = PEACE.as_nanos() as u64;
        let early = records.iter().filter(|it| it.returned < peace).count();
        let rate = early as f64 / PEACE.as_secs_f64();
        if rate < PEACE_RATE_MIN {
            return Some(format!("only {rate:.0} operations a second before the first fault"));
        }
        match self.fault.bite() {
            Bite::No => None,
            Bite::Connections(side) => {
                (stage.hit(side) == 0).then(|| "no connection was affected".to_owned())
            }
            Bite::Meetings => {
                let (met, faults) = (stage.store.meetings(), stage.faults);
                (met < faults).then(|| format!("sidecars met {faults} faults only {met} times"))
            }
            Bite::Failures => (spoilt.share() < SPOILT_SHARE_MIN).then(|| format!("only {spoilt}")),
        }
    }
}

/// What became of the operations during faults.
struct Spoilt {
    /// Those that failed, or of which nobody knows.
    spoilt: usize,
    all: usize,
}

impl Spoilt {
    fn count(records: &[Record], windows: &[(u64, u64)]) -> Spoilt {
        let during =
            |it: &&Record| windows.iter().any(|(from, to)| it.called < *to && it.returned > *from);
        let is_spoilt = |it: &&Record| matches!(it.reply, Reply::Unknown | Reply::NotApplied);
        let all = records.iter().filter(during).count();
        let spoilt = records.iter().filter(during).filter(is_spoilt).count();
        Spoilt { spoilt, all }
    }

    fn share(&self) -> f64 {
        self.spoilt as f64 / self.all.max(1) as f64
    }
}

impl fmt::Display for Spoilt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} operations were spoilt during faults", self.spoilt, self.all)
    }
}

/// How all sidecars have come back.
struct Recovered {
    /// How long the slowest took.
    took: Duration,
    /// Those that have not.
    dead: Vec<String>,
}

/// Waits until each sidecar reads and writes again.
async fn recover(stores: &[Arc<dyn Store>]) -> Recovered {
    let started = Instant::now();
    // In braces, which name the slot in a cluster: of three primaries, each has one of these at first.
    let keys: Vec<Key> = ["{0}", "{1}", "{2}", "{3}"]
        .map(|tag| Key::new(&format!("torture-recovery-{tag}")).expect("a plain word"))
        .into();
    let serves = async |store: &Arc<dyn Store>, key: &Key| {
        let (read, write) = (Read::new(key.clone()), Write::put(key.clone(), "0"));
        loop {
            let answers =
                async { store.get(&read).await.is_ok() && store.write(&write).await.is_ok() };
            if timeout(TIMEOUT, answers).await == Ok(true) {
                return;
            }
            sleep(TIMEOUT / 20).await;
        }
    };
    let served = stores.iter().enumerate().map(async |(number, store)| {
        let all = join_all(keys.iter().map(|key| serves(store, key)));
        let in_time = timeout(RECOVERY_MAX, all).await.is_ok();
        (!in_time).then(|| format!("sidecar {number} did not serve within {RECOVERY_MAX:?}"))
    });
    let dead = join_all(served).await.into_iter().flatten().collect();
    Recovered { took: started.elapsed(), dead }
}

/// Whether every key was read in the end through every sidecar.
fn is_answered(last: &[Record]) -> bool {
    let is_read = |it: &Record| !matches!(it.reply, Reply::Unknown | Reply::NotApplied);
    last.iter().all(|it| {
        last.iter()
            .any(|other| other.endpoint == it.endpoint && other.call == it.call && is_read(other))
    })
}
