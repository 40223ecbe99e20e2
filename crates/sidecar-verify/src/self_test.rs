//! Who tests the tester.

use std::{fmt, pin::pin, sync::Arc, time::Duration};

use futures::StreamExt;
use serde::Serialize;
use state::Store;
use state_checker::{Limits, Reply, Report, Violation};

use crate::{Mutant, Plan, SimulatedData, SimulatedStore, SimulatedTime, Theme, Time, Workload};

/// Whether each mistake was found, and nobody was accused of one that was not made.
#[derive(Clone, Debug, Serialize)]
pub struct SelfTest {
    /// What everything was chosen from: the same seed gives the same histories.
    pub seed: u64,
    /// How many histories there were for each mistake to be found in.
    pub histories_max: u32,
    /// That of the store without mistakes.
    pub clean: Trial,
    /// One for each mistake.
    pub mutants: Vec<Trial>,
    /// The mistakes that were not found.
    pub escaped: Vec<Mutant>,
}

/// One simulated store, and what was found.
#[derive(Clone, Debug, Serialize)]
pub struct Trial {
    /// What is wrong with the store; `None` for nothing.
    pub mutant: Option<Mutant>,
    /// How many histories were judged. The trial ends with the first violation.
    pub histories: u32,
    /// How many operations these had.
    pub operations: usize,
    /// How many of them had an unknown outcome.
    pub unknown: usize,
    /// Histories of which nothing can be said, because judging them took too long.
    pub exhausted: Vec<u32>,
    /// What the group was for in which it was found.
    pub theme: Option<Theme>,
    /// What was found.
    pub violation: Option<Violation>,
}

/// How many histories there are for each mistake.
const HISTORIES_MAX: u32 = 64;

/// How many ways there are to the data.
const ENDPOINTS: usize = 2;

/// Lets the workload loose on a store for each mistake, and on one that makes none. Tells
/// `progress` of each as soon as it is judged, in a line.
pub async fn self_test(seed: u64, mut progress: impl FnMut(&str)) -> SelfTest {
    let clean = trial(None, seed, HISTORIES_MAX).await;
    progress(&clean.to_string());
    let mut mutants = Vec::new();
    for mutant in Mutant::ALL {
        let trial = trial(Some(mutant), seed, HISTORIES_MAX).await;
        progress(&trial.to_string());
        mutants.push(trial);
    }
    let escaped = mutants.iter().filter(|it| !it.is_right()).filter_map(|it| it.mutant).collect();
    SelfTest { seed, histories_max: HISTORIES_MAX, clean, mutants, escaped }
}

/// Lets the workload loose on a simulated store until something is found, or there are as many
/// histories as there may be.
pub async fn trial(mutant: Option<Mutant>, seed: u64, histories_max: u32) -> Trial {
    let time = Arc::new(SimulatedTime::default());
    let workload = workload(&time, mutant, seed, histories_max);
    let mut report = Report::default();
    let mut unknown = 0;
    let mut theme = None;
    let mut histories = pin!(workload.histories());
    while let Some((group, records)) = time.drive(histories.next()).await {
        unknown += records.iter().filter(|it| it.reply == Reply::Unknown).count();
        report.add(&records, &Limits::default());
        if !report.violations.is_empty() {
            theme = Some(workload.theme(group));
            break;
        }
        // Whoever else runs on this thread has waited for as long as a history takes.
        tokio::task::yield_now().await;
    }
    Trial {
        mutant,
        histories: u32::try_from(report.groups).expect("there are as many as were asked for"),
        operations: report.operations,
        unknown,
        exhausted: report.exhausted,
        theme,
        violation: report.violations.pop(),
    }
}

fn workload(time: &Arc<SimulatedTime>, mutant: Option<Mutant>, seed: u64, groups: u32) -> Workload {
    let data = SimulatedData::new(Arc::clone(time), seed, mutant);
    let stores = (0..ENDPOINTS).map(|_| Arc::new(SimulatedStore::open(&data)) as Arc<dyn Store>);
    let plan = Plan {
        prefix: "self-test".to_owned(),
        seed,
        themes: Theme::ALL.to_vec(),
        groups,
        // One after the other, so that little has to be remembered.
        groups_at_once: 1,
        clients: 5,
        operations: 300,
        pace: None,
        timeout: Duration::from_millis(200),
        lifetime: Some(Duration::from_secs(3600)),
        filling: 0,
    };
    Workload::new(stores.collect(), Arc::clone(time) as Arc<dyn Time>, plan)
}

impl SelfTest {
    /// Whether everything was found that is wrong, and nothing else.
    pub fn is_passed(&self) -> bool {
        self.clean.is_right() && self.escaped.is_empty()
    }
}

impl Trial {
    /// Whether the right thing was found: a mistake if there is one, and without one nothing, with
    /// every history judged.
    pub fn is_right(&self) -> bool {
        match self.mutant {
            Some(_) => self.violation.is_some(),
            None => self.violation.is_none() && self.exhausted.is_empty(),
        }
    }
}

impl fmt::Display for SelfTest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for trial in std::iter::once(&self.clean).chain(&self.mutants) {
            writeln!(f, "{trial}")?;
        }
        let caught = self.mutants.len() - self.escaped.len();
        write!(f, "self-test: {caught} of {} mistakes found; ", self.mutants.len())?;
        match (&self.clean.violation, self.clean.exhausted.len()) {
            (Some(_), _) => f.write_str("a store without any was accused"),
            (None, 0) => f.write_str("a store without any was not accused"),
            (None, it) => write!(f, "{it} histories of a store without any were too hard to judge"),
        }?;
        write!(f, " (seed {})", self.seed)
    }
}

impl fmt::Display for Trial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.mutant {
            Some(mutant) => write!(f, "{mutant:28}")?,
            None => write!(f, "{:28}", "no mistake")?,
        }
        match &self.violation {
            Some(it) => {
                write!(f, "found by {} in history {}: {}", it.invariant, self.histories, it.summary)
            }
            None => write!(f, "nothing found in {} histories", self.histories),
        }
    }
}

#[cfg(test)]
mod tests;
