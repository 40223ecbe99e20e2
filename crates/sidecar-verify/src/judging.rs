//! From what was seen to what is to be said.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, HashSet},
    time::Duration,
};

use state::Capabilities;
use state_checker::Violation;

use crate::{
    AuditLine, Findings, Guarantee, Judgement, Settings, Standing,
    semantics::{CaseResult, Trial},
    tally::{Pile, Tally},
};

/// Everything that a verification has seen.
#[derive(Debug, Default)]
pub(crate) struct Evidence {
    /// What was counted, and what was found.
    pub(crate) tally: Tally,
    pub(crate) trials: Vec<Trial>,
    /// How each way to the data came back from each fault, and in the end.
    pub(crate) recovery: Vec<Recovery>,
    /// Which faults were made, and how often.
    pub(crate) made: BTreeMap<&'static str, u64>,
    pub(crate) faults: u64,
    pub(crate) unknown: u64,
    /// Operations that were refused for another reason than a condition.
    pub(crate) not_applied: u64,
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

/// How many counterexamples are shown of each guarantee.
const SHOWN_MAX: usize = 3;

impl Evidence {
    pub(crate) fn judge(
        mut self,
        settings: &Settings,
        capabilities: &Capabilities,
        elapsed: Duration,
    ) -> Findings {
        let Tally { mut piles, histories, operations, .. } = std::mem::take(&mut self.tally);
        for trial in std::mem::take(&mut self.trials) {
            let pile = piles.entry(trial.guarantee).or_default();
            pile.cases += 1;
            match trial.result {
                CaseResult::Passed => {}
                CaseResult::Failed(it) => pile.failed_cases.push(it),
                CaseResult::OutOfTime => pile.late_cases += 1,
            }
        }
        let judgements = Guarantee::ALL
            .into_iter()
            .map(|it| self.judgement(it, piles.remove(&it).unwrap_or_default(), capabilities))
            .collect();
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
            limits: self.limits(settings, capabilities),
            interrupted: self.interrupted,
        }
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
        } else if pile.late_cases > 0 {
            let (late, all) = (pile.late_cases, pile.cases);
            (Standing::NotTested, format!("{late} of {all} cases did not end in time"))
        } else {
            match guarantee {
                Guarantee::Durability => self.durability(&pile),
                Guarantee::Recovery => self.recovered(),
                _ => pile.held(guarantee),
            }
        };
        pile.violations.sort_by_key(|it| (it.records.len(), Reverse(processes(it))));
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
        match (keys, pile.unseen) {
            (0, 0) => {
                let why = "no write was acknowledged before the faults";
                return (Standing::NotTested, why.to_owned());
            }
            (_, 0) => {}
            (_, unseen) => {
                let all = keys + unseen;
                let why = format!("{unseen} of {all} writes could not be read in the end");
                return (Standing::NotTested, why);
            }
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
        let late = self.recovery.iter().filter(|it| !it.in_time).count();
        if self.faults == 0 && self.provoked.is_none() {
            let why = match late {
                0 => "there were no faults".to_owned(),
                _ => "a sidecar does not serve any more, and nothing here disturbed it".to_owned(),
            };
            return (Standing::NotTested, why);
        }
        if late > 0 {
            let all = self.recovery.len();
            let why = format!("{late} of {all} times a sidecar did not serve within 5 s");
            return (Standing::Violated, why);
        }
        if self.unknown + self.not_applied == 0 {
            return (Standing::NotTested, "the faults disturbed nobody".to_owned());
        }
        let (faults, took) = (self.faults, worst.as_millis());
        let why = format!("all served again within {took} ms of each of {faults} faults");
        (Standing::Holds, why)
    }

    fn limits(&self, settings: &Settings, capabilities: &Capabilities) -> Vec<String> {
        let untouched = match self.provoked {
            None => "nobody's power was cut, and no server but our own sidecars was touched",
            Some(_) => "nothing was done to a server but what your command did",
        };
        let mut limits = vec![
            "a test can show that a promise is broken, never that it is not".to_owned(),
            untouched.to_owned(),
        ];
        if self.left_behind > 0 {
            let end = match capabilities.ttl {
                true => "many expire within an hour",
                false => "they stay until somebody removes them",
            };
            let (keys, prefix) = (self.left_behind, &settings.prefix);
            limits
                .push(format!("{keys} keys that begin with {prefix} could not be removed; {end}"));
        }
        if self.interrupted {
            limits.push("it was ended before its time".to_owned());
        }
        limits
    }
}

/// How many took part. Two clients tell the story better than one that changed its mind.
fn processes(violation: &Violation) -> usize {
    violation.records.iter().map(|it| it.process).collect::<HashSet<_>>().len()
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
    if !durability.memory_pressure {
        say(true, "acknowledged writes are not said to be kept when memory is short".to_owned());
    }
    lines
}

#[cfg(test)]
mod tests;
