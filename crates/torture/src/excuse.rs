//! What a store may lose when another server takes over, and no more than that.
//!
//! Where replication is asynchronous, the newest acknowledged writes may not have reached the server that takes over.
//! That excuses little. For each such time, a *twilight*:
//!
//! * Each reign is judged by itself, up to the moment at which it began to end: what was answered before is
//!   linearizable without any excuse, with all that was acknowledged.
//! * The next reign begins with all that was acknowledged more than [`LAG_NS_MAX`] before that moment. Only what was
//!   acknowledged since may be missing; each of these operations has happened as a whole or not at all.
//!   (A history cannot say "by then or never", so one that seemed lost may also happen later.)
//! * What was read in a twilight may be what is lost later, so it need not fit in. It must have been written nevertheless,
//!   by a write that was not refused.
//! * What was refused has not happened, and no ETag stands for two values, in whatever reign.

use std::collections::{BTreeSet, HashMap, HashSet};

use state_checker::{
    Call, Change, Condition, Effect, Invariant, Limits, Record, Reply, Verdict, Violation,
    check_group,
};

/// When one server stopped taking the writes and another began to, on the clock of the records.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Twilight {
    /// Until then, the former one alone answered.
    pub(crate) from: u64,
    /// From then on, the new one alone.
    pub(crate) to: u64,
}

impl Twilight {
    /// Whether a record may tell of what was lost.
    fn includes(self, record: &Record) -> bool {
        record.returned >= self.from.saturating_sub(LAG_NS_MAX) && record.called <= self.to
    }
}

/// How long a write may take to reach a replica that follows, in nanoseconds. Chosen, not measured: generous for servers on
/// one machine, even a busy one, and far shorter than a reign.
const LAG_NS_MAX: u64 = 500_000_000;

/// Judges the records of one group, in which something was seen that the contract does not allow, by what it
/// allows if servers took over in these twilights, which are in their order.
pub(crate) fn judge(records: &[Record], twilights: &[Twilight], limits: &Limits) -> Verdict {
    if let Some(violation) = impossible(records) {
        return Verdict::Illegal(Box::new(violation));
    }
    let reigns = twilights.iter().map(|it| it.from).chain([u64::MAX]).enumerate();
    for (past, end) in reigns {
        let mut sure: Vec<Record> = records.iter().filter_map(|it| until(it, end)).collect();
        let mut doubted = Vec::new();
        for twilight in &twilights[..past] {
            let (within, without) = sure.into_iter().partition(|it| twilight.includes(it));
            sure = without;
            let (may_be_lost, others): (Vec<_>, Vec<_>) =
                within.into_iter().partition(|it: &Record| matches!(it.reply, Reply::Done { .. }));
            doubted.extend(may_be_lost.into_iter().map(|it| replied(it, Reply::Unknown)));
            sure.extend(others.into_iter().filter_map(untold));
        }
        match order(&sure, &doubted, limits) {
            Verdict::Legal => {}
            other => return other,
        }
    }
    Verdict::Legal
}

/// Looks for an order of operations of which some may be lost. One without some of these is one with them, too, and is
/// found sooner, so that is tried first.
fn order(sure: &[Record], doubted: &[Record], limits: &Limits) -> Verdict {
    let is_legal = |records: &[Record]| check_group(records, limits, &mut 0) == Verdict::Legal;
    let all = [sure, doubted].concat();
    if is_legal(&told_of(&all)) || (!doubted.is_empty() && has_last(sure, doubted, &is_legal)) {
        return Verdict::Legal;
    }
    check_group(&all, limits, &mut 0)
}

/// Whether each key has an order with one at most of what may be lost: the last that was not. Nobody tells of those
/// before it. Where transactions tie keys together, that is not tried.
fn has_last(sure: &[Record], doubted: &[Record], is_legal: &dyn Fn(&[Record]) -> bool) -> bool {
    let all = || sure.iter().chain(doubted);
    if all().any(|it| matches!(it.call, Call::Transact(_))) {
        return false;
    }
    let keys: BTreeSet<u8> = all().flat_map(Record::keys).collect();
    keys.into_iter().all(|key| {
        let of_key = |it: &&Record| it.keys().any(|it| it == key);
        let sure: Vec<Record> = sure.iter().filter(of_key).cloned().collect();
        let mut lasts = doubted.iter().filter(of_key);
        is_legal(&sure) || lasts.any(|it| is_legal(&[&sure[..], &[unconditional(it)]].concat()))
    })
}

/// The same write without its condition, which held on what may be lost.
fn unconditional(record: &Record) -> Record {
    let call = match &record.call {
        Call::Write(it) => Call::Write(Change { condition: Condition::Any, ..it.clone() }),
        other => other.clone(),
    };
    Record { call, ..record.clone() }
}

/// What is known of a record at this moment.
fn until(record: &Record, end: u64) -> Option<Record> {
    if record.returned < end {
        return Some(record.clone());
    }
    let may_have_happened = matches!(record.reply, Reply::Done { .. } | Reply::Unknown);
    let is_under_way = record.called < end && !record.changes().is_empty() && may_have_happened;
    is_under_way.then(|| replied(record.clone(), Reply::Unknown))
}

/// What is left of a record that may tell of what was lost, and is no write that was acknowledged.
fn untold(record: Record) -> Option<Record> {
    match (&record.call, &record.reply) {
        (Call::Get { .. }, _) => None,
        // It has changed nothing. What it has found may be lost.
        (_, Reply::Conflict) => Some(replied(record, Reply::NotApplied)),
        _ => Some(record),
    }
}

fn replied(record: Record, reply: Reply) -> Record {
    Record { reply, ..record }
}

/// The records without the writes that need not have happened and whose values no other tells of.
fn told_of(records: &[Record]) -> Vec<Record> {
    let is_doubtful = |it: &Record| it.reply == Reply::Unknown;
    let mut told: HashSet<(u8, u64)> = told(records)
        .filter(|(it, ..)| it.changes().is_empty())
        .map(|(_, key, value, _)| (key, value))
        .collect();
    let mut stays: Vec<bool> = records.iter().map(|it| !is_doubtful(it)).collect();
    told.extend(records.iter().filter(|it| !is_doubtful(it)).flat_map(compared));
    // One that stays may itself need what another has written.
    while let Some(i) = (0..records.len()).find(|i| {
        let matters = |it: &Change| match it.effect {
            Effect::Put { value, .. } => told.contains(&(it.key, value)),
            Effect::Delete => false,
        };
        !stays[*i] && records[*i].changes().iter().any(matters)
    }) {
        stays[i] = true;
        told.extend(compared(&records[i]));
    }
    let staying = records.iter().zip(stays).filter(|(_, stays)| *stays);
    staying.map(|(it, _)| it.clone()).collect()
}

/// The values that a record's conditions name, with their keys.
fn compared(record: &Record) -> impl Iterator<Item = (u8, u64)> {
    record.changes().iter().filter_map(|it| match it.condition {
        Condition::Matches { value: Some(value), .. } => Some((it.key, value)),
        Condition::Matches { value: None, .. } | Condition::Any | Condition::Absent => None,
    })
}

/// What no loss explains, whenever it was seen.
fn impossible(records: &[Record]) -> Option<Violation> {
    let puts = records.iter().flat_map(|record| {
        record.changes().iter().filter_map(move |it| match it.effect {
            Effect::Put { value, .. } => Some(((it.key, value), record)),
            Effect::Delete => None,
        })
    });
    let writers: HashMap<(u8, u64), &Record> = puts.collect();
    let mut values: HashMap<(u8, &str), (u64, &Record)> = HashMap::new();
    for (record, key, value, etag) in told(records) {
        match writers.get(&(key, value)) {
            None => return violation(Invariant::I3, "nobody has written what was read", &[record]),
            Some(writer) if matches!(writer.reply, Reply::Conflict | Reply::NotApplied) => {
                return violation(Invariant::I2, "what was refused was read", &[writer, record]);
            }
            Some(_) => {}
        }
        let Some(etag) = etag else { continue };
        let (first, named) = *values.entry((key, etag)).or_insert((value, record));
        if first != value {
            return violation(Invariant::I4, "an ETag stands for two values", &[named, record]);
        }
    }
    let foreign = records.iter().find(|it| matches!(it.reply, Reply::Foreign { .. }))?;
    violation(Invariant::I3, "nobody has written what was read", &[foreign])
}

/// The values that answers tell of, with their keys and ETags.
fn told(records: &[Record]) -> impl Iterator<Item = (&Record, u8, u64, Option<&str>)> {
    records.iter().flat_map(|record| {
        let read = match (&record.call, &record.reply) {
            (Call::Get { key, .. }, Reply::Found { value, etag }) => {
                Some((record, *key, *value, etag.as_deref()))
            }
            _ => None,
        };
        let etags = match &record.reply {
            Reply::Done { etags } => etags.as_slice(),
            _ => &[],
        };
        let written = record.changes().iter().zip(etags).filter_map(move |(change, etag)| {
            let Effect::Put { value, .. } = change.effect else { return None };
            Some((record, change.key, value, etag.as_deref()))
        });
        read.into_iter().chain(written)
    })
}

fn violation(invariant: Invariant, summary: &str, records: &[&Record]) -> Option<Violation> {
    let group = records.first()?.group;
    let records = records.iter().map(|it| (*it).clone()).collect();
    Some(Violation { invariant, group, summary: summary.to_owned(), records, unexplaining: 0 })
}

#[cfg(test)]
mod tests;
