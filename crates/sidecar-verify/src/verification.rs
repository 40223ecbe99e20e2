//! The phases of a verification.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use parking_lot::Mutex;
use state::{Capabilities, Change, Format, Key, Read, Store, Write};
use state_checker::{History, Limits, Record};

use crate::{
    Findings, Plan, Progress, RealTime, Target, Theme, Time, Workload,
    judging::{Evidence, Recovery},
    sealed::Sealed,
    semantics::{Semantics, Trial},
};

/// What to do, and how much of it.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The name of the component.
    pub store: String,
    /// What is asked, for the report.
    pub endpoints: Vec<String>,
    /// For how long clients contend, with and without faults.
    pub duration: Duration,
    /// How many clients contend for each group of keys.
    pub clients: usize,
    /// How many operations a second there are at most.
    pub rate: u32,
    /// What all choices are made from.
    pub seed: u64,
    /// What all keys begin with: letters, digits and dashes.
    pub prefix: String,
}

/// How far a verification has come, for whoever watches, and the way to end it early.
#[derive(Debug, Default)]
pub struct Watch {
    /// What is being done.
    pub phase: Mutex<&'static str>,
    /// Operations of clients that contend.
    pub progress: Arc<Progress>,
    /// Cases that have been run, and how many there are.
    pub cases: AtomicU64,
    /// How many there are to run.
    pub cases_total: AtomicU64,
    /// Faults that were made.
    pub faults: AtomicU64,
    /// Set to end it early; whatever was written is removed all the same.
    pub interrupted: AtomicBool,
}

/// A verification under way.
#[derive(Debug)]
pub struct Verification<'a> {
    target: &'a dyn Target,
    settings: Settings,
    watch: Arc<Watch>,
    workload: Workload,
    semantics: Semantics,
    sealed: Sealed,
}

/// What a verification has come to.
#[derive(Debug)]
pub struct Outcome {
    /// What is to be said.
    pub findings: Findings,
    /// What was seen, of which it can be said again.
    pub history: History,
}

/// How many groups of keys are contended for at once.
const GROUPS_AT_ONCE: usize = 8;

/// How many operations a group has. More would let each of them tell less: a long history has more
/// explanations.
const OPERATIONS: usize = 300;

/// The share of the time that clients contend in peace, in hundredths; then come the faults.
const PEACE_SHARE: u32 = 60;

/// The pause between two faults, in milliseconds.
const FAULT_PAUSE_MS: std::ops::Range<u64> = 200..800;

/// After which an answer is no longer waited for: short, so that faults leave outcomes unknown.
const TIMEOUT: Duration = Duration::from_millis(500);

/// For how long values are kept that nobody removes.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How soon everything must serve again. Source: semantics.md, I14.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How often whoever waits looks whether it was interrupted.
const TICK: Duration = Duration::from_millis(50);

impl<'a> Verification<'a> {
    /// Looks whether the ways to the data lead to the same data.
    ///
    /// # Errors
    ///
    /// If one does not answer, or they do not.
    pub async fn prepare(
        target: &'a dyn Target,
        settings: Settings,
        watch: Arc<Watch>,
    ) -> Result<Verification<'a>> {
        *watch.phase.lock() = "preflight";
        let stores = target.stores();
        check_agreement(stores, &settings).await?;
        let capabilities = stores[0].capabilities().clone();
        let time: Arc<dyn Time> = Arc::new(RealTime::start());
        let plan = plan(&settings, &capabilities);
        let mut workload = Workload::new(stores.to_vec(), time.clone(), plan.clone());
        workload.progress = watch.progress.clone();
        let semantics = Semantics::new(stores, &settings.prefix);
        watch.cases_total.store(semantics.len() as u64, Relaxed);
        let sealed = Sealed::new(stores.to_vec(), time, &plan);
        Ok(Verification { target, settings, watch, workload, semantics, sealed })
    }

    /// Does all of it, and removes what it has written.
    ///
    /// # Errors
    ///
    /// If what was disturbed cannot be brought back, or the user's own command failed.
    pub async fn run(self) -> Result<Outcome> {
        let started = self.workload.time.now();
        let mut evidence = self.gather().await?;
        self.phase("cleaning up");
        evidence.left_behind = self.clean_up(evidence.groups.keys()).await;
        self.phase("judging");
        let elapsed = Duration::from_nanos(self.workload.time.now() - started);
        let capabilities = self.target.stores()[0].capabilities();
        let theme = |group| self.workload.theme(group);
        let limits = Limits::default();
        let history = evidence.history(&self.settings);
        let findings = evidence.judge(&self.settings, capabilities, &theme, &limits, elapsed);
        Ok(Outcome { findings, history })
    }

    async fn gather(&self) -> Result<Evidence> {
        let mut evidence = Evidence::default();
        self.sealed.write().await;
        let direct = async {
            let directed = self.direct(&mut evidence).await;
            self.watch.progress.stop.store(true, Relaxed);
            directed
        };
        let (groups, directed) = tokio::join!(self.workload.run(), direct);
        directed?;
        evidence.groups = groups;
        self.phase("settling");
        evidence.recovery = self.recover().await;
        for (group, records) in &mut evidence.groups {
            records.extend(self.workload.look_at(*group).await);
        }
        evidence.sealed = self.sealed.look().await;
        evidence.unknown = self.watch.progress.unknown.load(Relaxed);
        evidence.faults = self.watch.faults.load(Relaxed);
        evidence.kills_the_store = self.target.kills_the_store();
        evidence.interrupted = self.is_interrupted();
        Ok(evidence)
    }

    /// What happens while clients contend: first the cases, in peace, then faults, then what the
    /// user has asked for.
    async fn direct(&self, evidence: &mut Evidence) -> Result<()> {
        self.phase("cases and contention");
        let peace = self.settings.duration * PEACE_SHARE / 100;
        let trials = async {
            let mut trials = Vec::new();
            tokio::select! {
                () = self.semantics.run(|it| self.keep(&mut trials, it)) => {}
                () = self.interruption() => {}
            }
            trials
        };
        let (trials, ()) = tokio::join!(trials, self.wait(peace));
        evidence.trials = trials;
        self.phase("contention under faults");
        self.disturb(evidence, self.settings.duration - peace).await?;
        if !self.is_interrupted() {
            self.phase("your command, under load");
            evidence.provoked = self.target.provoke().await.context("the command of --hook")?;
            if evidence.provoked.is_some() {
                self.wait(RECOVERY_MAX).await;
            }
        }
        Ok(())
    }

    fn keep(&self, trials: &mut Vec<Trial>, trial: Trial) {
        self.watch.cases.fetch_add(1, Relaxed);
        trials.push(trial);
    }

    async fn disturb(&self, evidence: &mut Evidence, duration: Duration) -> Result<()> {
        let mut rng = Rng::with_seed(self.settings.seed);
        let until = self.workload.time.now() + duration.as_nanos() as u64;
        while self.workload.time.now() < until && !self.is_interrupted() {
            let Some(fault) = self.target.disturb(&mut rng).await? else {
                self.wait(duration).await;
                return Ok(());
            };
            *evidence.made.entry(fault).or_default() += 1;
            self.watch.faults.fetch_add(1, Relaxed);
            self.wait(Duration::from_millis(rng.u64(FAULT_PAUSE_MS))).await;
        }
        Ok(())
    }

    /// How long each way to the data takes to serve again.
    async fn recover(&self) -> Vec<Recovery> {
        let key = Key::new(&format!("{}-recovery", self.settings.prefix)).expect("a plain word");
        let one = |store: &Arc<dyn Store>| {
            let (store, key) = (store.clone(), key.clone());
            async move {
                let began = self.workload.time.now();
                let read = Read::new(key);
                loop {
                    let served = tokio::time::timeout(TIMEOUT, store.get(&read)).await;
                    let served = matches!(served, Ok(Ok(_)));
                    let took = Duration::from_nanos(self.workload.time.now() - began);
                    if served || took > RECOVERY_MAX {
                        return Recovery { took, in_time: served && took <= RECOVERY_MAX };
                    }
                    tokio::time::sleep(TICK).await;
                }
            }
        };
        futures::future::join_all(self.target.stores().iter().map(one)).await
    }

    /// Returns how many keys could not be removed.
    async fn clean_up(&self, groups: impl Iterator<Item = &u32>) -> usize {
        let keys = groups.flat_map(|it| self.workload.keys(*it)).chain(self.sealed.keys());
        let keys = keys.filter_map(|it| Key::new(&it).ok());
        let deletes: Vec<Write> = keys.map(Write::delete).collect();
        let mut left = self.semantics.clean_up().await;
        for some in deletes.chunks(GROUPS_AT_ONCE) {
            let answers = self.target.stores()[0].write_many(some).await;
            left += answers.iter().filter(|it| it.is_err()).count();
        }
        left
    }

    fn phase(&self, phase: &'static str) {
        *self.watch.phase.lock() = phase;
    }

    fn is_interrupted(&self) -> bool {
        self.watch.interrupted.load(Relaxed)
    }

    async fn interruption(&self) {
        while !self.is_interrupted() {
            tokio::time::sleep(TICK).await;
        }
    }

    async fn wait(&self, duration: Duration) {
        let _ = tokio::time::timeout(duration, self.interruption()).await;
    }
}

fn plan(settings: &Settings, capabilities: &Capabilities) -> Plan {
    let themes = Theme::ALL.into_iter().filter(|it| it.is_offered(capabilities)).collect();
    let clients = u32::try_from(GROUPS_AT_ONCE * settings.clients).unwrap_or(u32::MAX);
    Plan {
        prefix: settings.prefix.clone(),
        seed: settings.seed,
        themes,
        groups: u32::MAX,
        groups_at_once: GROUPS_AT_ONCE,
        clients: settings.clients,
        operations: OPERATIONS,
        pace: Some(Duration::from_secs(1) * clients / settings.rate.max(1)),
        timeout: TIMEOUT,
        lifetime: Some(LIFETIME),
        filling: 0,
    }
}

/// Writes through each way, and reads what was written through every other.
async fn check_agreement(stores: &[Arc<dyn Store>], settings: &Settings) -> Result<()> {
    let Some(first) = stores.first() else { bail!("there is nothing to verify") };
    let key = Key::new(&format!("{}-preflight", settings.prefix)).context("the prefix")?;
    let value = format!("\"{}\"", settings.prefix);
    let ttl = first.capabilities().ttl.then_some(LIFETIME);
    let put = Change::Put { value: value.clone().into(), format: Format::Json, ttl };
    first.write(&Write::new(key.clone(), put)).await.context("the store takes no write")?;
    for (store, endpoint) in stores.iter().zip(&settings.endpoints) {
        let mut read = Read::new(key.clone());
        if store.capabilities().consistency.strong_read.is_some() {
            read.consistency = state::Consistency::Strong;
        }
        let item = store.get(&read).await.with_context(|| format!("{endpoint} serves no read"))?;
        if item.is_none_or(|it| it.value != value) {
            bail!(
                "{endpoint} does not see what was written through {}: they must be sidecars of \
                 one app-id, on one store",
                settings.endpoints[0]
            );
        }
    }
    first.write(&Write::delete(key)).await.context("the store takes no delete")?;
    Ok(())
}

/// The records of each group.
pub(crate) type Groups = BTreeMap<u32, Vec<Record>>;
