//! What can be told without a search, from a few operations at a time.

use std::collections::{BTreeMap, HashMap};

use crate::{Call, Condition, Effect, Invariant, Record, Reply, Violation};

/// A value of a key.
type Value = (u8, u64);

/// The first promise that these records of one group show broken.
pub(crate) fn check(records: &[Record]) -> Option<Violation> {
    lost_update(records)
        .or_else(|| aborted_read(records))
        .or_else(|| phantom(records))
        .or_else(|| reused_etag(records))
        .or_else(|| step_back(records))
        .or_else(|| torn(records))
}

fn violation(invariant: Invariant, summary: String, records: &[&Record]) -> Option<Violation> {
    let mut records: Vec<_> = records.iter().map(|it| (*it).clone()).collect();
    records.sort_by_key(|it| it.called);
    records.dedup();
    let group = records.first()?.group;
    Some(Violation { invariant, group, summary, records, unexplaining: 0 })
}

/// I1. Two changes of one transaction may compare with one version: both see the state before.
fn lost_update(records: &[Record]) -> Option<Violation> {
    let mut winners: HashMap<(u8, &str), (usize, &Record)> = HashMap::new();
    for (i, record) in records.iter().enumerate() {
        if !matches!(record.reply, Reply::Done { .. }) {
            continue;
        }
        for change in record.changes() {
            let Condition::Matches { etag, .. } = &change.condition else { continue };
            let (other, winner) = *winners.entry((change.key, etag)).or_insert((i, record));
            if other != i {
                let summary = format!(
                    "two writes with the ETag {etag} were both acknowledged: one update is lost"
                );
                return violation(Invariant::I1, summary, &[winner, record]);
            }
        }
    }
    None
}

/// The values that answers tell of: what was read, and what a condition was found to match.
fn sightings(records: &[Record]) -> impl Iterator<Item = (&Record, Value)> {
    records.iter().flat_map(|record| {
        let read = match (&record.call, &record.reply) {
            (Call::Get { key, .. }, Reply::Found { value, .. }) => Some((*key, *value)),
            _ => None,
        };
        let is_done = matches!(record.reply, Reply::Done { .. });
        let changes = if is_done { record.changes() } else { &[] };
        let matched = changes.iter().filter_map(|it| match it.condition {
            Condition::Matches { value: Some(value), .. } => Some((it.key, value)),
            Condition::Matches { value: None, .. } | Condition::Any | Condition::Absent => None,
        });
        read.into_iter().chain(matched).map(move |it| (record, it))
    })
}

/// Who wrote, or tried to write, each value.
fn writers(records: &[Record]) -> HashMap<Value, &Record> {
    let puts = records.iter().flat_map(|record| {
        record.changes().iter().filter_map(move |it| match it.effect {
            Effect::Put { value, .. } => Some(((it.key, value), record)),
            Effect::Delete => None,
        })
    });
    puts.collect()
}

/// I2.
fn aborted_read(records: &[Record]) -> Option<Violation> {
    let writers = writers(records);
    sightings(records).find_map(|(told, value)| {
        let writer = writers.get(&value)?;
        let answer = match writer.reply {
            Reply::Conflict => "a conflict",
            Reply::NotApplied => "not_applied",
            _ => return None,
        };
        let sighting = match told.call {
            Call::Get { .. } => "a value was read",
            Call::Write(_) | Call::Transact(_) => "a write's condition matched a value",
        };
        let summary = format!("{sighting} whose write had been answered with {answer}");
        violation(Invariant::I2, summary, &[writer, told])
    })
}

/// I3.
fn phantom(records: &[Record]) -> Option<Violation> {
    let writers = writers(records);
    for (told, value) in sightings(records) {
        let sighting = match told.call {
            Call::Get { .. } => "a value was read",
            Call::Write(_) | Call::Transact(_) => "a write's condition matched a value",
        };
        let Some(writer) = writers.get(&value) else {
            let summary = format!("{sighting} that nobody has written there");
            return violation(Invariant::I3, summary, &[told]);
        };
        if told.returned < writer.called {
            let summary = format!("{sighting} before anyone had asked to write it");
            return violation(Invariant::I3, summary, &[told, writer]);
        }
    }
    records.iter().find_map(|it| match &it.reply {
        Reply::Foreign { text } => {
            let summary = format!("a value was read that nobody has written there: {text}");
            violation(Invariant::I3, summary, &[it])
        }
        _ => None,
    })
}

/// I8, as far as one transaction tells: what it stores and then replaces is never there.
fn torn(records: &[Record]) -> Option<Violation> {
    let writers = writers(records);
    sightings(records).find_map(|(told, value)| {
        let writer = *writers.get(&value)?;
        let stored = writer.changes().iter().rfind(|it| it.key == value.0)?;
        if matches!(stored.effect, Effect::Put { value: it, .. } if it == value.1) {
            return None;
        }
        let summary = "a value was there that its own transaction had replaced".to_owned();
        violation(Invariant::I8, summary, &[writer, told])
    })
}

/// Every ETag that was told, with the value it was told for.
fn named(records: &[Record]) -> impl Iterator<Item = (&Record, u8, &str, u64)> {
    records.iter().flat_map(|record| {
        let read = match (&record.call, &record.reply) {
            (Call::Get { key, .. }, Reply::Found { value, etag: Some(etag) }) => {
                Some((record, *key, etag.as_str(), *value))
            }
            _ => None,
        };
        let etags = match &record.reply {
            Reply::Done { etags } => etags.as_slice(),
            _ => &[],
        };
        let written = record.changes().iter().zip(etags).filter_map(move |(change, etag)| {
            let Effect::Put { value, .. } = change.effect else { return None };
            Some((record, change.key, etag.as_deref()?, value))
        });
        read.into_iter().chain(written)
    })
}

/// I4.
fn reused_etag(records: &[Record]) -> Option<Violation> {
    let mut values: HashMap<(u8, &str), (u64, &Record)> = HashMap::new();
    let mut etags: HashMap<Value, (&str, &Record)> = HashMap::new();
    for (record, key, etag, value) in named(records) {
        let (known, first) = *values.entry((key, etag)).or_insert((value, record));
        if known != value {
            let summary = format!("the ETag {etag} was given to two different values of a key");
            return violation(Invariant::I4, summary, &[first, record]);
        }
        let (known, first) = *etags.entry((key, value)).or_insert((etag, record));
        if known != etag {
            let summary = format!("one version of a key had two ETags, {known} and {etag}");
            return violation(Invariant::I4, summary, &[first, record]);
        }
    }
    None
}

/// I5, as far as compare-and-sets tell which version came after which.
fn step_back(records: &[Record]) -> Option<Violation> {
    let chains = Chains::of(records);
    let mut reads: Vec<_> = sightings(records).collect();
    reads.retain(|(it, _)| matches!(it.call, Call::Get { eventual: false, .. }));
    let mut by_return = reads.clone();
    reads.sort_by_key(|(it, _)| it.called);
    by_return.sort_by_key(|(it, _)| it.returned);
    let mut returned = by_return.into_iter().peekable();
    // The newest version that was seen of each chain, by who saw it.
    let mut newest: BTreeMap<Value, (usize, &Record)> = BTreeMap::new();
    for (read, value) in reads {
        while let Some((earlier, value)) = returned.next_if(|(it, _)| it.returned < read.called) {
            let (root, depth) = chains.origin(value);
            let entry = newest.entry(root).or_insert((depth, earlier));
            if depth > entry.0 {
                *entry = (depth, earlier);
            }
        }
        let (root, depth) = chains.origin(value);
        if let Some((newer, earlier)) = newest.get(&root)
            && *newer > depth
        {
            let summary = "a read returned an older version than a read before it".to_owned();
            let replaced = chains.replacements.get(&value).copied();
            let shown: Vec<_> = [*earlier, read].into_iter().chain(replaced).collect();
            return violation(Invariant::I5, summary, &shown);
        }
    }
    None
}

/// Which version came after which.
struct Chains<'a> {
    /// For each value that a compare-and-set has stored, the one that it has replaced.
    predecessors: HashMap<Value, Value>,
    /// Who has replaced each value.
    replacements: HashMap<Value, &'a Record>,
}

impl Chains<'_> {
    fn of(records: &[Record]) -> Chains<'_> {
        let mut chains = Chains { predecessors: HashMap::new(), replacements: HashMap::new() };
        for record in records {
            let (Call::Write(change), Reply::Done { .. }) = (&record.call, &record.reply) else {
                continue;
            };
            if let Condition::Matches { value: Some(old), .. } = change.condition
                && let Effect::Put { value: new, .. } = change.effect
            {
                chains.predecessors.insert((change.key, new), (change.key, old));
                chains.replacements.insert((change.key, old), record);
            }
        }
        chains
    }

    /// The value at the beginning of the chain of compare-and-sets that leads to this one, and how
    /// many there were.
    fn origin(&self, value: Value) -> (Value, usize) {
        let (mut at, mut depth) = (value, 0);
        // A chain without a beginning is a nonsense that other checks name.
        while let Some(previous) = self.predecessors.get(&at)
            && depth < self.predecessors.len()
        {
            (at, depth) = (*previous, depth + 1);
        }
        (at, depth)
    }
}

#[cfg(test)]
mod tests;
