//! The judgement of a history.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::{
    Call, History, Record, counterexample, direct,
    model::State,
    search::{Found, search},
    steps::steps,
};

/// What is tolerated, and how long is searched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// How long before its time a value may be gone, in nanoseconds: what clocks may differ by.
    pub expiry_early_ns: u64,
    /// How long after its time a value may still be seen, in nanoseconds. Stores that count whole
    /// seconds are up to one late.
    pub expiry_late_ns: u64,
    /// How many tries the search for an order may take for one group. A count and not a time, so
    /// that a judgement does not depend on the machine.
    pub tries_max: u64,
}

/// A promise of the contract. The names are those of its section 7.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Invariant {
    /// No lost update: at most one compare-and-set succeeds on one version.
    I1,
    /// No aborted read: a value whose write was refused is never read.
    I2,
    /// No phantom: every value that is read was written.
    I3,
    /// An ETag names one value of a key, for ever.
    I4,
    /// Versions never go back.
    I5,
    /// Operations happen one after the other, each between its call and its reply.
    I6,
    /// Exactly one create wins on an absent key.
    I7,
    /// A transaction happens as a whole, at one instant, or not at all.
    I8,
    /// Values live as long as they were given, and no longer.
    I11,
    /// What was refused was not applied.
    I12,
}

/// What is to be said of one group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The contract allows what was seen.
    Legal,
    /// It does not.
    Illegal(Box<Violation>),
    /// The search gave up: nothing is known. Never a pass.
    Exhausted,
}

/// Something the contract does not allow, and the shortest part of the history that shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Violation {
    /// The promise that was not kept.
    pub invariant: Invariant,
    /// Where.
    pub group: u32,
    /// What happened, in a sentence for users.
    pub summary: String,
    /// The operations that show it, by the time of their calls.
    pub records: Vec<Record>,
    /// How many operations with an unknown outcome were under way besides, none of which can
    /// explain it.
    pub unexplaining: usize,
}

/// What is to be said of a history.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Report {
    /// How many groups of keys were judged.
    pub groups: usize,
    /// How many operations these had.
    pub operations: usize,
    /// How many tries it took.
    pub tries: u64,
    /// Groups on which the search gave up.
    pub exhausted: Vec<u32>,
    /// At most one for each group.
    pub violations: Vec<Violation>,
}

impl Default for Limits {
    /// Nothing goes early, a second late and half of one for a busy machine, and five million tries,
    /// which take about a second, and 180 MB if every one of them leads somewhere new. Clean
    /// histories of 300 operations by ten clients take 700 on average; those with 30 unknown outcomes
    /// take a thousand to a million.
    fn default() -> Limits {
        Limits { expiry_early_ns: 0, expiry_late_ns: 1_500_000_000, tries_max: 5_000_000 }
    }
}

/// Judges every group of a history.
pub fn check(history: &History, limits: &Limits) -> Report {
    let mut groups: BTreeMap<u32, Vec<Record>> = BTreeMap::new();
    for record in &history.records {
        groups.entry(record.group).or_default().push(record.clone());
    }
    let mut report = Report::default();
    for records in groups.values() {
        report.add(records, limits);
    }
    report
}

/// Judges the records of one group, in whatever order. Adds the tries that it took to `tries`.
///
/// They must be such as [`History::read`] accepts, and no two writes may store one value.
///
/// # Panics
///
/// If there are more keys than a group can have.
pub fn check_group(records: &[Record], limits: &Limits, tries: &mut u64) -> Verdict {
    if let Some(violation) = direct::check(records) {
        return Verdict::Illegal(Box::new(violation));
    }
    let mut is_exhausted = false;
    for records in parts(records) {
        let (steps, values) = steps(&records, limits);
        match search(&steps, State::EMPTY, limits.tries_max, tries) {
            Found::Order => {}
            Found::GaveUp => is_exhausted = true,
            Found::NoOrder => {
                let violation = counterexample::of(&records, steps, &values, limits.tries_max);
                return Verdict::Illegal(Box::new(violation));
            }
        }
    }
    if is_exhausted { Verdict::Exhausted } else { Verdict::Legal }
}

/// The records of each key, or all of them if transactions tie the keys together. Operations that
/// are each about one key have an order if those on every key have one, which takes far fewer tries.
fn parts(records: &[Record]) -> Vec<Vec<Record>> {
    if records.iter().any(|it| matches!(it.call, Call::Transact(_))) {
        return vec![records.to_vec()];
    }
    let mut parts: BTreeMap<u8, Vec<Record>> = BTreeMap::new();
    for record in records {
        for key in record.keys() {
            parts.entry(key).or_default().push(record.clone());
        }
    }
    parts.into_values().collect()
}

impl Report {
    /// Judges the records of one more group.
    pub fn add(&mut self, records: &[Record], limits: &Limits) {
        let Some(first) = records.first() else { return };
        self.groups += 1;
        self.operations += records.len();
        match check_group(records, limits, &mut self.tries) {
            Verdict::Legal => {}
            Verdict::Illegal(violation) => self.violations.push(*violation),
            Verdict::Exhausted => self.exhausted.push(first.group),
        }
    }

    /// Whether all was judged, and all of it is allowed.
    pub fn is_clean(&self) -> bool {
        self.violations.is_empty() && self.exhausted.is_empty()
    }
}

impl Invariant {
    /// The promise, in a few words.
    pub fn promise(self) -> &'static str {
        match self {
            Invariant::I1 => "no lost update",
            Invariant::I2 => "no aborted read",
            Invariant::I3 => "no phantom",
            Invariant::I4 => "an ETag names one value",
            Invariant::I5 => "versions never go back",
            Invariant::I6 => "operations are linearizable",
            Invariant::I7 => "one create wins",
            Invariant::I8 => "transactions are atomic",
            Invariant::I11 => "values live as long as they should",
            Invariant::I12 => "what was refused was not applied",
        }
    }
}

impl fmt::Display for Invariant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self:?}")
    }
}

#[cfg(test)]
mod tests;
