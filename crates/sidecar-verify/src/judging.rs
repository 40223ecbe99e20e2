//! From what was seen to what is to be said.

use std::{
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use state::Capabilities;
use state_checker::{
    Call, Change, Condition, Effect, History, Limits, Origin, Record, Reply, Report, Violation,
};

use crate::{
    AuditLine, FailedCase, Findings, Guarantee, Judgement, Settings, Standing, Theme,
    semantics::Trial, verification::Groups,
};

/// Everything that a verification has seen.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    pub(crate) groups: Groups,
    pub(crate) sealed: Groups,
    pub(crate) trials: Vec<Trial>,
    pub(crate) recovery: Vec<Recovery>,
    /// Which faults were made, and how often.
    pub(crate) made: BTreeMap<&'static str, u64>,
    pub(crate) faults: u64,
    pub(crate) unknown: u64,
    /// Whether what keeps the data was among what was killed.
    pub(crate) kills_the_store: bool,
    /// What the user's own command did.
    pub(crate) provoked: Option<String>,
    /// Keys that could not be removed.
    pub(crate) left_behind: usize,
    pub(crate) interrupted: bool,
}

/// How one way to the data came back.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Recovery {
    pub(crate) took: Duration,
    pub(crate) in_time: bool,
}

/// What has to do with one guarantee.
#[derive(Debug, Default)]
struct Pile {
    operations: u64,
    contended: u64,
    violations: Vec<Violation>,
    cases: u64,
    failed_cases: Vec<FailedCase>,
    /// Groups that could not be judged.
    exhausted: u64,
}

/// Where the groups of sealed keys begin in a history.
const SEALED_GROUP_MIN: u32 = 1 << 31;

/// Fewer operations, or cases, say nothing.
const OPERATIONS_MIN: u64 = 20;

/// How many counterexamples are shown of each guarantee.
const SHOWN_MAX: usize = 3;

impl Evidence {
    pub(crate) fn judge(
        self,
        settings: &Settings,
        capabilities: &Capabilities,
        theme: &dyn Fn(u32) -> Theme,
        limits: &Limits,
        elapsed: Duration,
    ) -> Findings {
        let mut piles: BTreeMap<Guarantee, Pile> = BTreeMap::new();
        let mut histories = 0;
        for (group, records) in &self.groups {
            histories += 1;
            let theme = theme(*group);
            count(records, theme, &mut piles);
            let mut report = Report::default();
            report.add(records, limits);
            for violation in report.violations {
                let guarantee = Guarantee::broken_by(violation.invariant, theme);
                piles.entry(guarantee).or_default().violations.push(violation);
            }
            if !report.exhausted.is_empty() {
                // What would have been found there, nobody knows: it counts against all of them.
                Guarantee::ALL.iter().for_each(|it| piles.entry(*it).or_default().exhausted += 1);
            }
        }
        let sealed = piles.entry(Guarantee::Durability).or_default();
        for records in self.sealed.values() {
            sealed.operations += 1;
            let mut report = Report::default();
            report.add(records, limits);
            sealed.violations.extend(report.violations);
        }
        for trial in &self.trials {
            let pile = piles.entry(trial.guarantee).or_default();
            pile.cases += 1;
            pile.failed_cases.extend(trial.failure.clone());
        }
        let judgements = Guarantee::ALL
            .into_iter()
            .map(|it| self.judgement(it, piles.remove(&it).unwrap_or_default(), capabilities))
            .collect();
        let operations = self.groups.values().map(|it| it.len() as u64).sum();
        Findings {
            format: 1,
            store: settings.store.clone(),
            endpoints: settings.endpoints.clone(),
            seed: settings.seed,
            prefix: settings.prefix.clone(),
            seconds: elapsed.as_secs_f64(),
            operations,
            histories,
            unknown: self.unknown,
            faults: self.faults,
            audit: audit(capabilities),
            judgements,
            limits: self.limits(),
            interrupted: self.interrupted,
        }
    }

    /// All that clients saw. Groups of sealed keys have numbers of their own.
    pub(crate) fn history(&self, settings: &Settings) -> History {
        let origin = Origin::new(&settings.store, settings.seed);
        let contended = self.groups.values().flatten().cloned();
        let sealed = self
            .sealed
            .values()
            .flatten()
            .map(|it| Record { group: SEALED_GROUP_MIN | it.group, ..it.clone() });
        History { origin, records: contended.chain(sealed).collect() }
    }

    fn judgement(
        &self,
        guarantee: Guarantee,
        mut pile: Pile,
        capabilities: &Capabilities,
    ) -> Judgement {
        let broken = (pile.violations.len() + pile.failed_cases.len()) as u64;
        let (standing, detail) = if broken > 0 {
            (Standing::Violated, self.broken(&pile))
        } else if let Some(why) = not_offered(guarantee, capabilities) {
            (Standing::NotOffered, why.to_owned())
        } else if pile.exhausted > 0 {
            let why = format!("the search gave up on {} groups of keys", pile.exhausted);
            (Standing::NotTested, why)
        } else {
            match guarantee {
                Guarantee::Durability => self.durability(&pile),
                Guarantee::Recovery => self.recovered(),
                _ => held(guarantee, &pile),
            }
        };
        pile.violations.sort_by_key(|it| it.records.len());
        pile.violations.truncate(SHOWN_MAX);
        Judgement {
            guarantee,
            standing,
            detail,
            operations: pile.operations,
            contended: pile.contended,
            broken,
            violations: pile.violations,
            failed_cases: pile.failed_cases,
        }
    }

    fn broken(&self, pile: &Pile) -> String {
        let mut parts = Vec::new();
        if let Some(first) = pile.violations.iter().min_by_key(|it| it.records.len()) {
            parts.push(format!("{} {}", first.invariant, first.summary));
            if pile.violations.len() > 1 {
                parts.push(format!("{} groups of keys show it", pile.violations.len()));
            }
        }
        if !pile.failed_cases.is_empty() {
            parts.push(format!("{} of {} cases failed", pile.failed_cases.len(), pile.cases));
        }
        parts.join("; ")
    }

    fn durability(&self, pile: &Pile) -> (Standing, String) {
        let keys = pile.operations;
        if keys == 0 {
            return (Standing::NotTested, "no write was acknowledged before the faults".to_owned());
        }
        match (&self.provoked, self.kills_the_store) {
            (Some(did), _) => (
                Standing::Holds,
                format!("{keys} writes are still there after your command: {did}"),
            ),
            (None, true) => {
                let kills = self.made.get(KILL).copied().unwrap_or(0);
                if kills == 0 {
                    return (Standing::NotTested, "nothing was killed".to_owned());
                }
                (Standing::Holds, format!("{keys} writes are still there after {kills} kill -9"))
            }
            (None, false) => {
                let why = "nothing here may kill the store; say how with --hook";
                (Standing::NotTested, why.to_owned())
            }
        }
    }

    fn recovered(&self) -> (Standing, String) {
        let worst = self.recovery.iter().map(|it| it.took).max().unwrap_or_default();
        if self.recovery.iter().any(|it| !it.in_time) {
            let late = self.recovery.iter().filter(|it| !it.in_time).count();
            let all = self.recovery.len();
            return (Standing::Violated, format!("{late} of {all} did not serve within 5 s"));
        }
        if self.faults == 0 {
            return (Standing::NotTested, "there were no faults".to_owned());
        }
        if self.unknown == 0 {
            return (Standing::NotTested, "the faults disturbed nobody".to_owned());
        }
        let (faults, took) = (self.faults, worst.as_millis());
        (Standing::Holds, format!("all served again {took} ms after the last of {faults} faults"))
    }

    fn limits(&self) -> Vec<String> {
        let mut limits = vec![
            "a test can show that a promise is broken, never that it is not".to_owned(),
            "nobody's power was cut, and no server but our own sidecars was touched".to_owned(),
        ];
        if self.left_behind > 0 {
            limits.push(format!(
                "{} keys could not be removed; most expire within an hour",
                self.left_behind
            ));
        }
        if self.interrupted {
            limits.push("it was ended before its time".to_owned());
        }
        limits
    }
}

/// What [`Target::disturb`](crate::Target::disturb) calls a kill.
pub const KILL: &str = "kill -9";

fn not_offered(guarantee: Guarantee, capabilities: &Capabilities) -> Option<&'static str> {
    let consistency = &capabilities.consistency;
    let (offered, why) = match guarantee {
        Guarantee::FirstWrite => (capabilities.etag, "the store has no ETags"),
        Guarantee::Strong => (
            consistency.strong_read.is_some() && consistency.strong_write.is_some(),
            "the store has no strong consistency",
        ),
        Guarantee::Tx => {
            (capabilities.transaction_len_max.is_some(), "the store has no transactions")
        }
        Guarantee::Ttl => (capabilities.ttl, "the store has no time to live"),
        Guarantee::Durability => (
            capabilities.durability.process_crash || capabilities.durability.failover.is_some(),
            "acknowledged writes are not said to survive a crash",
        ),
        Guarantee::Bulk | Guarantee::Values | Guarantee::Recovery => return None,
    };
    (!offered).then_some(why)
}

fn held(guarantee: Guarantee, pile: &Pile) -> (Standing, String) {
    let Pile { operations, contended, cases, .. } = *pile;
    if operations + cases < OPERATIONS_MIN {
        return (Standing::NotTested, format!("only {operations} operations, {cases} cases"));
    }
    let mut parts = Vec::new();
    if operations > 0 {
        parts.push(format!("{operations} operations, {contended} contended"));
    }
    if cases > 0 {
        parts.push(format!("{cases} cases"));
    }
    // A value expires whether or not somebody else is there; the rest is hard only then.
    let telling = if guarantee == Guarantee::Ttl { operations } else { contended };
    if telling > 0 {
        parts.push(crate::report::confidence(telling));
    }
    (Standing::Holds, parts.join(", "))
}

/// Adds the operations of a group to what they have to do with.
fn count(records: &[Record], theme: Theme, piles: &mut BTreeMap<Guarantee, Pile>) {
    let contended = contended(records);
    for (i, record) in records.iter().enumerate() {
        if matches!(record.reply, Reply::Unknown | Reply::NotApplied) {
            continue;
        }
        let mut add = |guarantee| {
            let pile = piles.entry(guarantee).or_default();
            pile.operations += 1;
            pile.contended += u64::from(contended.contains(&i));
        };
        let conditional = |it: &Change| it.condition != Condition::Any;
        let expires = |it: &Change| matches!(it.effect, Effect::Put { ttl_ms: Some(_), .. });
        if record.changes().iter().any(conditional) {
            add(Guarantee::FirstWrite);
        }
        match record.call {
            Call::Get { eventual: false, .. } => add(Guarantee::Strong),
            Call::Transact(_) => add(Guarantee::Tx),
            _ => {}
        }
        if record.changes().iter().any(expires) {
            add(Guarantee::Ttl);
        }
        if theme == Theme::Bulk {
            add(Guarantee::Bulk);
        }
    }
}

/// Which records overlap another one's time on a common key, of which at least one changes it.
fn contended(records: &[Record]) -> HashSet<usize> {
    let mut order: Vec<usize> = (0..records.len()).collect();
    order.sort_by_key(|it| records[*it].called);
    let mut open: Vec<usize> = Vec::new();
    let mut contended = HashSet::new();
    for i in order {
        let record = &records[i];
        open.retain(|it| records[*it].returned >= record.called);
        for other in &open {
            let changes = !record.changes().is_empty() || !records[*other].changes().is_empty();
            let meet = record.keys().any(|key| records[*other].keys().any(|it| it == key));
            if changes && meet {
                contended.extend([i, *other]);
            }
        }
        open.push(i);
    }
    contended
}

/// What the store says of itself, with a mark on what may lose data.
fn audit(capabilities: &Capabilities) -> Vec<AuditLine> {
    let mut lines = Vec::new();
    let mut say = |warning, text: String| lines.push(AuditLine { warning, text });
    let consistency = &capabilities.consistency;
    match &consistency.strong_write {
        Some(text) => say(false, format!("strong writes: {text}")),
        None => say(true, "strong writes are refused".to_owned()),
    }
    if let Some(text) = &consistency.eventual_read {
        say(false, format!("eventual reads: {text}"));
    }
    let durability = capabilities.durability;
    if !durability.process_crash {
        say(true, "acknowledged writes are not said to survive a crash of the store".to_owned());
    } else if !durability.power_loss {
        say(true, "acknowledged writes are not said to survive a power loss".to_owned());
    } else {
        say(false, "acknowledged writes are said to survive a crash and a power loss".to_owned());
    }
    if durability.failover == Some(false) {
        say(true, "a failover may lose acknowledged writes".to_owned());
    }
    lines
}
