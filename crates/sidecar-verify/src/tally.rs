//! Judges what clients saw while they go on, and keeps no more of it than is needed.

use std::{
    collections::{BTreeMap, HashSet},
    sync::mpsc,
    thread,
};

use state_checker::{
    Call, Change, Condition, Effect, Limits, Record, Reply, Report, Verdict, Violation, check_group,
};
use tokio::sync::oneshot;

use crate::{FailedCase, Guarantee, Standing, Theme};

/// What was counted, and what was found.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    pub(crate) piles: BTreeMap<Guarantee, Pile>,
    /// Groups of keys that clients contended for.
    pub(crate) histories: u64,
    /// Operations on them.
    pub(crate) operations: u64,
    /// All that was seen, if somebody wants it. Groups of sealed keys have numbers of their own.
    pub(crate) records: Vec<Record>,
}

/// What has to do with one guarantee.
#[derive(Debug, Default)]
pub(crate) struct Pile {
    pub(crate) operations: u64,
    pub(crate) contended: u64,
    pub(crate) violations: Vec<Violation>,
    pub(crate) cases: u64,
    pub(crate) failed_cases: Vec<FailedCase>,
    /// Cases of which the store was too slow to see the end.
    pub(crate) late_cases: u64,
    /// Groups that could not be judged.
    pub(crate) exhausted: u64,
    /// Keys that could not be looked at in the end.
    pub(crate) unseen: u64,
}

/// The records of a group that nobody works on any more.
#[derive(Debug)]
pub(crate) enum Seen {
    /// Clients contended for it.
    Contended(Theme, Vec<Record>),
    /// It was written once, and looked at when all was over.
    Sealed(Vec<Record>),
}

/// Someone who judges while clients go on, on a thread of its own: a group may take a second.
#[derive(Debug)]
pub(crate) struct Judge {
    groups: mpsc::Sender<Seen>,
    tally: oneshot::Receiver<Tally>,
}

/// Where the groups of sealed keys begin in a history.
const SEALED_GROUP_MIN: u32 = 1 << 31;

/// Fewer operations, or cases, say nothing.
const OPERATIONS_MIN: u64 = 20;

impl Judge {
    /// One that keeps all records, or only those that show something.
    pub(crate) fn start(keeps_records: bool) -> Judge {
        let (groups, received) = mpsc::channel();
        let (done, tally) = oneshot::channel();
        thread::spawn(move || {
            let mut tally = Tally::default();
            for seen in received {
                tally.add(seen, &Limits::default(), keeps_records);
            }
            // Nobody wants to know if the verification was given up.
            let _ = done.send(tally);
        });
        Judge { groups, tally }
    }

    /// Has a group judged.
    pub(crate) fn take(&self, seen: Seen) {
        // It ends only if it panics, and then `end` says so.
        let _ = self.groups.send(seen);
    }

    /// What has come of it, when all is judged.
    pub(crate) async fn end(self) -> Tally {
        drop(self.groups);
        self.tally.await.expect("judging does not panic")
    }
}

impl Tally {
    fn add(&mut self, seen: Seen, limits: &Limits, keeps_records: bool) {
        let records = match seen {
            Seen::Contended(theme, records) => {
                self.add_contended(theme, &records, limits);
                records
            }
            Seen::Sealed(mut records) => {
                self.add_sealed(&records, limits);
                records.iter_mut().for_each(|it| it.group |= SEALED_GROUP_MIN);
                records
            }
        };
        if keeps_records {
            self.records.extend(records);
        }
    }

    fn add_contended(&mut self, theme: Theme, records: &[Record], limits: &Limits) {
        self.histories += 1;
        self.operations += records.len() as u64;
        count(records, theme, &mut self.piles);
        match check_group(records, limits, &mut 0) {
            Verdict::Legal => {}
            Verdict::Illegal(violation) => {
                let guarantee = Guarantee::broken_by(violation.invariant, theme);
                self.piles.entry(guarantee).or_default().violations.push(*violation);
            }
            Verdict::Exhausted => {
                // What would have been found there, nobody knows: it counts against all that it
                // could have been.
                for it in Guarantee::shown_by(theme) {
                    self.piles.entry(*it).or_default().exhausted += 1;
                }
            }
        }
    }

    fn add_sealed(&mut self, records: &[Record], limits: &Limits) {
        let sealed = self.piles.entry(Guarantee::Durability).or_default();
        let is_look = |it: &Record| matches!(it.call, Call::Get { .. });
        let is_answered = |it: &Record| !matches!(it.reply, Reply::Unknown | Reply::NotApplied);
        if records.iter().any(|it| is_look(it) && is_answered(it)) {
            sealed.operations += 1;
        } else {
            sealed.unseen += 1;
        }
        let mut report = Report::default();
        report.add(records, limits);
        sealed.violations.extend(report.violations);
    }
}

impl Pile {
    /// The verdict on a guarantee that nothing was found against.
    pub(crate) fn held(&self, guarantee: Guarantee) -> (Standing, String) {
        let Pile { operations, contended, cases, .. } = *self;
        if operations + cases < OPERATIONS_MIN {
            return (Standing::NotTested, format!("only {operations} operations, {cases} cases"));
        }
        if guarantee.needs_contention() && contended < OPERATIONS_MIN {
            let why = format!("only {contended} of {operations} operations were contended");
            return (Standing::NotTested, why);
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

#[cfg(test)]
mod tests;
