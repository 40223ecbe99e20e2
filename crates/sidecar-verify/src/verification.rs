//! The phases of a verification.

use std::{
    collections::VecDeque,
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use anyhow::{Context, Result, bail};
use fastrand::Rng;
use futures::StreamExt;
use parking_lot::Mutex;
use state::{Capabilities, Change, Format, Key, Read, Store, Write};
use state_checker::{History, Origin, Record};

use crate::{
    Findings, Plan, Progress, RealTime, Target, Theme, Time, Workload,
    judging::{Evidence, Recovery},
    sealed::Sealed,
    semantics::{RATE_MIN, Semantics, Trial},
    tally::{Judge, Seen},
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
    /// How many requests a second there are at most of clients that contend, and besides as many
    /// of the cases of the contract, which have 100 at least.
    pub rate: u32,
    /// What all choices are made from.
    pub seed: u64,
    /// What all keys begin with: letters, digits and dashes.
    pub prefix: String,
    /// Whether to keep all that clients saw. It takes some 300 bytes of memory for each operation.
    pub keeps_history: bool,
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
    /// What was seen, of which it can be said again; empty if it was not to be kept.
    pub history: History,
}

/// How many groups of keys are contended for at once.
const GROUPS_AT_ONCE: usize = 8;

/// How many operations a group has. More would let each of them tell less: a long history has more
/// explanations.
const OPERATIONS: usize = 300;

/// How many groups are looked at once more in the end, the first ones and the last ones. Each takes
/// some 100 kB.
const GROUPS_KEPT: usize = 128;

/// The share of the time that clients contend in peace, in hundredths; then come the faults.
const PEACE_SHARE: u32 = 60;

/// The pause between two faults, in milliseconds.
const FAULT_PAUSE_MS: std::ops::Range<u64> = 200..800;

/// How many faults there are however short the time is: one alone may meet nobody.
const FAULTS_MIN: u64 = 3;

/// After which an answer is no longer waited for: short, so that faults leave outcomes unknown.
const TIMEOUT: Duration = Duration::from_millis(500);

/// For how long values are kept that nobody removes.
const LIFETIME: Duration = Duration::from_secs(3600);

/// How soon everything must serve again. Source: semantics.md, I14.
const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How long removing a few keys may take.
const REMOVAL_MAX: Duration = Duration::from_secs(10);

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
        let semantics = Semantics::new(stores, &settings.prefix, settings.rate);
        watch.cases_total.store(semantics.len() as u64, Relaxed);
        let sealed = Sealed::new(stores.to_vec(), time, &plan);
        Ok(Verification { target, settings, watch, workload, semantics, sealed })
    }

    /// Does all of it, and removes what it has written.
    ///
    /// # Errors
    ///
    /// If what was disturbed cannot be brought back, or the user's own command failed. What was
    /// written is removed all the same.
    pub async fn run(self) -> Result<Outcome> {
        let started = self.workload.time.now();
        let judge = Judge::start(self.settings.keeps_history);
        let mut evidence = Evidence::default();
        let mut groups = Vec::new();
        let gathered = self.gather(&mut evidence, &mut groups, &judge).await;
        self.phase("cleaning up");
        evidence.left_behind = self.clean_up(&groups).await;
        if evidence.left_behind > 0 {
            let (keys, prefix) = (evidence.left_behind, &self.settings.prefix);
            gathered.with_context(|| {
                format!("{keys} keys that begin with {prefix} could not be removed")
            })?;
        } else {
            gathered?;
        }
        self.phase("judging");
        evidence.tally = judge.end().await;
        let elapsed = Duration::from_nanos(self.workload.time.now() - started);
        let capabilities = self.target.stores()[0].capabilities();
        let history = History {
            origin: Origin::new(&self.settings.store, self.settings.seed),
            records: std::mem::take(&mut evidence.tally.records),
        };
        let findings = evidence.judge(&self.settings, capabilities, elapsed);
        Ok(Outcome { findings, history })
    }

    /// Sees all there is to see. `groups` are those that something may have been written to.
    async fn gather(
        &self,
        evidence: &mut Evidence,
        groups: &mut Vec<u32>,
        judge: &Judge,
    ) -> Result<()> {
        self.sealed.write().await;
        let direct = async {
            let directed = self.direct(evidence).await;
            self.watch.progress.stop.store(true, Relaxed);
            directed
        };
        let (kept, directed) = tokio::join!(self.contend(groups, judge), direct);
        directed?;
        self.phase("settling");
        let back = self.recover().await;
        let serving: Vec<usize> = (0..back.len()).filter(|it| back[*it].in_time).collect();
        evidence.recovery.extend(back);
        for (group, mut records) in kept {
            records.extend(self.workload.look_through(&serving, group).await);
            self.breathe(usize::from(self.workload.theme(group).keys()) * serving.len()).await;
            judge.take(Seen::Contended(self.workload.theme(group), records));
        }
        for records in self.sealed.look(&serving).await.into_values() {
            judge.take(Seen::Sealed(records));
        }
        let progress = &self.watch.progress;
        evidence.unknown = progress.unknown.load(Relaxed);
        evidence.not_applied = progress.not_applied.load(Relaxed);
        evidence.faults = self.watch.faults.load(Relaxed);
        evidence.kills_the_store = self.target.kills_the_store();
        evidence.interrupted = self.is_interrupted();
        Ok(())
    }

    /// Lets clients contend until somebody stops them. Returns the groups that are to be looked at
    /// once more when all is over: the first ones and the last ones; the others are judged by then,
    /// or a long run would need ever more memory.
    async fn contend(&self, groups: &mut Vec<u32>, judge: &Judge) -> Vec<(u32, Vec<Record>)> {
        let (mut first, mut last) = (Vec::new(), VecDeque::new());
        let mut histories = pin!(self.workload.histories());
        while let Some((group, records)) = histories.next().await {
            groups.push(group);
            if first.len() < GROUPS_KEPT / 2 {
                first.push((group, records));
                continue;
            }
            last.push_back((group, records));
            if last.len() > GROUPS_KEPT / 2
                && let Some((group, records)) = last.pop_front()
            {
                judge.take(Seen::Contended(self.workload.theme(group), records));
            }
        }
        first.extend(last);
        first
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
            let provoked = tokio::select! {
                provoked = self.target.provoke() => provoked.context("the command of --hook")?,
                () = self.interruption() => None,
            };
            evidence.provoked = provoked;
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
        let is_over = || {
            let enough = self.watch.faults.load(Relaxed) >= FAULTS_MIN;
            (enough && self.workload.time.now() >= until) || self.is_interrupted()
        };
        while !is_over() {
            let Some(fault) = self.target.disturb(&mut rng).await? else {
                self.wait(duration).await;
                return Ok(());
            };
            *evidence.made.entry(fault).or_default() += 1;
            self.watch.faults.fetch_add(1, Relaxed);
            evidence.recovery.extend(self.recover().await);
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

    /// Returns how many keys could not be removed, through any way to the data.
    async fn clean_up(&self, groups: &[u32]) -> usize {
        let keys = groups.iter().flat_map(|it| self.workload.keys(*it)).chain(self.sealed.keys());
        let keys = keys.filter_map(|it| Key::new(&it).ok()).chain(self.semantics.written());
        let mut left: Vec<Write> = keys.map(Write::delete).collect();
        for store in self.target.stores() {
            left = self.remove(store, left).await;
        }
        left.len()
    }

    /// Returns what could not be removed.
    async fn remove(&self, store: &Arc<dyn Store>, deletes: Vec<Write>) -> Vec<Write> {
        let mut left = Vec::new();
        let mut is_dead = false;
        for some in deletes.chunks(GROUPS_AT_ONCE) {
            if is_dead {
                left.extend_from_slice(some);
                continue;
            }
            self.breathe(some.len()).await;
            let answers = tokio::time::timeout(REMOVAL_MAX, store.write_many(some)).await;
            // One that was asked to wait for each of a thousand keys would keep its user waiting too.
            is_dead = answers.is_err();
            let Ok(answers) = answers else {
                left.extend_from_slice(some);
                continue;
            };
            let failed = some.iter().zip(answers).filter(|(_, answer)| answer.is_err());
            left.extend(failed.map(|(delete, _)| delete.clone()));
        }
        left
    }

    /// Waits for as long as so many operations should take.
    async fn breathe(&self, operations: usize) {
        let rate = self.settings.rate.max(RATE_MIN);
        let operations = u32::try_from(operations).expect("a few");
        tokio::time::sleep(Duration::from_secs(1) * operations / rate).await;
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

/// Writes through the first way, and reads what was written through all of them.
async fn check_agreement(stores: &[Arc<dyn Store>], settings: &Settings) -> Result<()> {
    let Some(first) = stores.first() else { bail!("there is nothing to verify") };
    let key = Key::new(&format!("{}-preflight", settings.prefix)).context("the prefix")?;
    let value = format!("\"{}\"", settings.prefix);
    let ttl = first.capabilities().ttl.then_some(LIFETIME);
    let put = Change::Put { value: value.clone().into(), format: Format::Json, ttl: ttl.into() };
    first.write(&Write::new(key.clone(), put)).await.context("the store takes no write")?;
    let agreement = check_each(stores, settings, &key, &value).await;
    first.write(&Write::delete(key)).await.context("the store takes no delete")?;
    agreement
}

async fn check_each(
    stores: &[Arc<dyn Store>],
    settings: &Settings,
    key: &Key,
    value: &str,
) -> Result<()> {
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
    Ok(())
}
