//! What can be told without a search, from a few operations at a time.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::{Call, Condition, Effect, Invariant, Record, Reply, Violation};

/// A value of a key.
type Value = (u8, u64);

/// The first promise, in the order of their names, that these records of one group show broken.
pub(crate) fn check(records: &[Record]) -> Option<Violation> {
    lost_update(records)
        .or_else(|| aborted_read(records))
        .or_else(|| phantom(records))
        .or_else(|| reused_etag(records))
        .or_else(|| step_back(records))
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

/// The reads that saw a value, each with it.
fn sightings(records: &[Record]) -> impl Iterator<Item = (&Record, Value)> {
    records.iter().filter_map(|it| match (&it.call, &it.reply) {
        (Call::Get { key, .. }, Reply::Found { value, .. }) => Some((it, (*key, *value))),
        _ => None,
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
    let refused = |it: &&Record| matches!(it.reply, Reply::Conflict | Reply::NotApplied);
    sightings(records).find_map(|(read, value)| {
        let writer = writers.get(&value).copied().filter(refused)?;
        let summary = match writer.reply {
            Reply::Conflict => "a value was read whose write had been answered with a conflict",
            _ => "a value was read whose write had been answered with not_applied",
        };
        violation(Invariant::I2, summary.to_owned(), &[writer, read])
    })
}

/// I3.
fn phantom(records: &[Record]) -> Option<Violation> {
    let writers = writers(records);
    let unwritten = sightings(records).find(|(_, value)| !writers.contains_key(value));
    if let Some((read, _)) = unwritten {
        let summary = "a value was read that nobody has written there".to_owned();
        return violation(Invariant::I3, summary, &[read]);
    }
    records.iter().find_map(|it| match &it.reply {
        Reply::Foreign { text } => {
            let summary = format!("a value was read that nobody has written there: {text}");
            violation(Invariant::I3, summary, &[it])
        }
        _ => None,
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
    let predecessors = predecessors(records);
    let mut reads: Vec<_> = sightings(records).collect();
    reads.retain(|(it, _)| !matches!(it.call, Call::Get { eventual: true, .. }));
    let mut by_return = reads.clone();
    reads.sort_by_key(|(it, _)| it.called);
    by_return.sort_by_key(|(it, _)| it.returned);
    let mut returned = by_return.into_iter().peekable();
    // The newest version that was seen of each chain, by who saw it.
    let mut newest: BTreeMap<Value, (usize, &Record)> = BTreeMap::new();
    for (read, value) in reads {
        while let Some((earlier, value)) = returned.next_if(|(it, _)| it.returned < read.called) {
            let (root, depth) = origin(&predecessors, value);
            let entry = newest.entry(root).or_insert((depth, earlier));
            if depth > entry.0 {
                *entry = (depth, earlier);
            }
        }
        let (root, depth) = origin(&predecessors, value);
        if let Some((newer, earlier)) = newest.get(&root)
            && *newer > depth
        {
            let summary = "a read returned an older version than a read before it".to_owned();
            return violation(Invariant::I5, summary, &[earlier, read]);
        }
    }
    None
}

/// For each value that a compare-and-set has stored, the one that it has replaced.
fn predecessors(records: &[Record]) -> HashMap<Value, Value> {
    let done = records.iter().filter(|it| matches!(it.reply, Reply::Done { .. }));
    let single = done.filter(|it| matches!(it.call, Call::Write(_)));
    let pairs =
        single.flat_map(Record::changes).filter_map(|it| match (&it.condition, &it.effect) {
            (Condition::Matches { value: Some(old), .. }, Effect::Put { value: new, .. }) => {
                Some(((it.key, *new), (it.key, *old)))
            }
            _ => None,
        });
    pairs.collect()
}

/// The value at the beginning of the chain of compare-and-sets that leads to this one, and how many
/// there were.
fn origin(predecessors: &HashMap<Value, Value>, value: Value) -> (Value, usize) {
    let (mut at, mut depth) = (value, 0);
    let mut passed = HashSet::new();
    while let Some(previous) = predecessors.get(&at).filter(|_| passed.insert(at)) {
        (at, depth) = (*previous, depth + 1);
    }
    (at, depth)
}
