//! A second opinion: the contract by its text, and every order of the operations there is.
//!
//! Slow, and so simple that it can be read next to the contract. It shares no code with the crate.

use state_checker::{Call, Condition, Effect, Limits, Record, Reply};

/// What a key has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Held {
    Nothing,
    Value(u64),
    /// What nobody has heard of.
    Other,
}

pub(crate) type Keys = [Held; 2];

/// Something that happens at one instant.
struct Event<'a> {
    earliest: u64,
    /// `None` if it may also never happen.
    latest: Option<u64>,
    what: What<'a>,
}

enum What<'a> {
    Operation(&'a Record),
    /// A value's time is over, which cannot come before the event that stored it.
    Expiry {
        key: u8,
        value: u64,
        stored_by: usize,
    },
}

/// Whether the records can have happened from one of these states.
pub(crate) fn is_possible(records: &[Record], starts: &[Keys], limits: &Limits) -> bool {
    let events = events(records, limits);
    starts.iter().any(|start| has_order(&events, 0, *start))
}

/// Every state that could matter to these records, but for what they themselves write.
pub(crate) fn any_state(records: &[Record]) -> Vec<Keys> {
    let puts = records.iter().flat_map(Record::changes).filter_map(|it| match it.effect {
        Effect::Put { value, .. } => Some(value),
        Effect::Delete => None,
    });
    let written: Vec<u64> = puts.collect();
    let seen = records.iter().filter_map(|it| match it.reply {
        Reply::Found { value, .. } => Some(value),
        _ => None,
    });
    let compared = records.iter().flat_map(Record::changes).filter_map(|it| match it.condition {
        Condition::Matches { value, .. } => value,
        _ => None,
    });
    let mut held = vec![Held::Nothing, Held::Other];
    held.extend(seen.chain(compared).filter(|it| !written.contains(it)).map(Held::Value));
    held.iter().flat_map(|a| held.iter().map(|b| [*a, *b])).collect()
}

fn events<'a>(records: &'a [Record], limits: &Limits) -> Vec<Event<'a>> {
    let mut events = Vec::new();
    for record in records {
        if matches!(record.reply, Reply::NotApplied) {
            continue;
        }
        let is_unknown = matches!(record.reply, Reply::Unknown);
        let stored_by = events.len();
        let latest = (!is_unknown).then_some(record.returned);
        events.push(Event { earliest: record.called, latest, what: What::Operation(record) });
        for change in record.changes() {
            let Effect::Put { value, ttl_ms: Some(ttl_ms) } = change.effect else { continue };
            if matches!(record.reply, Reply::Conflict) {
                continue;
            }
            let ttl = ttl_ms * 1_000_000;
            events.push(Event {
                earliest: record.called + ttl - limits.expiry_early_ns.min(ttl),
                latest: latest.map(|it| it + ttl + limits.expiry_late_ns),
                what: What::Expiry { key: change.key, value, stored_by },
            });
        }
    }
    events
}

fn has_order(events: &[Event<'_>], done: u32, keys: Keys) -> bool {
    let is_left = |i: usize| done & 1 << i == 0;
    let required = events.iter().enumerate().filter(|(i, it)| is_left(*i) && it.latest.is_some());
    let Some(deadline) = required.filter_map(|(_, it)| it.latest).min() else { return true };
    (0..events.len()).filter(|it| is_left(*it)).any(|i| {
        let is_over_before = events[i].earliest > deadline;
        !is_over_before
            && happens(&events[i], done, keys)
                .is_some_and(|it| has_order(events, done | 1 << i, it))
    })
}

/// The state afterwards, if it can happen now.
fn happens(event: &Event<'_>, done: u32, mut keys: Keys) -> Option<Keys> {
    let record = match event.what {
        What::Operation(it) => it,
        What::Expiry { stored_by, .. } if done & 1 << stored_by == 0 => return None,
        What::Expiry { key, value, .. } => {
            let held = &mut keys[usize::from(key)];
            if *held == Held::Value(value) {
                *held = Held::Nothing;
            }
            return Some(keys);
        }
    };
    if let Call::Get { key, .. } = &record.call {
        let held = keys[usize::from(*key)];
        let fits = match record.reply {
            Reply::Found { value, .. } => held == Held::Value(value),
            Reply::Absent => held == Held::Nothing,
            _ => true,
        };
        return fits.then_some(keys);
    }
    let holds = record.changes().iter().all(|it| {
        let held = keys[usize::from(it.key)];
        match &it.condition {
            Condition::Any => true,
            Condition::Absent => held == Held::Nothing,
            Condition::Matches { value: Some(value), .. } => held == Held::Value(*value),
            Condition::Matches { value: None, .. } => false,
        }
    });
    match (&record.reply, holds) {
        (Reply::Conflict, false) => return Some(keys),
        (Reply::Conflict, true) | (_, false) => return None,
        (_, true) => {}
    }
    for change in record.changes() {
        keys[usize::from(change.key)] = match change.effect {
            Effect::Put { value, .. } => Held::Value(value),
            Effect::Delete => Held::Nothing,
        };
    }
    Some(keys)
}
