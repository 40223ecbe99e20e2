//! From the records of one group to what the search works on.

use std::collections::HashMap;

use crate::{
    Call, Change, Condition, Effect, Limits, Record, Reply,
    model::{Claim, Content, Edit, Need},
};

/// An operation with the time in which its instant must lie.
#[derive(Clone, Debug)]
pub(crate) struct Step {
    pub(crate) claim: Claim,
    pub(crate) from: u64,
    /// `None` if it may also never have happened.
    pub(crate) to: Option<u64>,
    /// Which record it comes from.
    pub(crate) record: usize,
}

/// The values of a group, by the calls of their writes.
#[derive(Debug, Default)]
pub(crate) struct Values {
    numbers: HashMap<u64, usize>,
    /// When each can have been written first, and which record says so. Last come those whose
    /// write was refused; what only a condition names, nobody has written.
    writers: Vec<(u64, usize)>,
}

/// What the records claim. Operations that did nothing and tell nothing are left out, as are
/// eventual reads, which may tell of the past.
pub(crate) fn steps(records: &[Record], limits: &Limits) -> (Vec<Step>, Values) {
    let mut values = Values::of(records);
    let mut steps = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let Some(claim) = values.claim(record) else { continue };
        let to = (!matches!(claim, Claim::Maybe(_))).then_some(record.returned);
        steps.push(Step { claim, from: record.called, to, record: i });
        steps.extend(expiries(i, record, limits, &mut values));
    }
    (steps, values)
}

/// The ends of the values that a record has stored for a time.
///
/// A value's time begins between the call and the reply, and it may go no sooner than its time
/// after the former, and no later than its time, and the lateness allowed, after the latter.
fn expiries(i: usize, record: &Record, limits: &Limits, values: &mut Values) -> Vec<Step> {
    let to = match record.reply {
        Reply::Done { .. } => Some(record.returned),
        Reply::Unknown => None,
        _ => return Vec::new(),
    };
    let expiry = |it: &Change| {
        let Effect::Put { value, ttl_ms: Some(ttl_ms) } = it.effect else { return None };
        let ttl = ttl_ms.saturating_mul(1_000_000);
        let from = record.called.saturating_add(ttl).saturating_sub(limits.expiry_early_ns);
        let to = to.map(|it| it.saturating_add(ttl).saturating_add(limits.expiry_late_ns));
        let claim = Claim::Expired(it.key, values.number(value));
        Some(Step { claim, from, to, record: i })
    };
    record.changes().iter().filter_map(expiry).collect()
}

impl Values {
    fn of(records: &[Record]) -> Values {
        let first = |it: &Record| match it.reply {
            Reply::Done { .. } | Reply::Unknown => it.called,
            _ => u64::MAX,
        };
        let mut by_call: Vec<_> = records.iter().zip(0..).collect();
        by_call.sort_by_key(|(it, _)| first(it));
        let mut values = Values::default();
        for (record, i) in by_call {
            for change in record.changes() {
                let Effect::Put { value, .. } = change.effect else { continue };
                values.number(value);
                if values.writers.len() < values.numbers.len() {
                    values.writers.push((first(record), i));
                }
            }
        }
        values
    }

    /// How many values can have been there before `time`: those whose write had been called.
    pub(crate) fn before(&self, time: u64) -> usize {
        self.writers.partition_point(|(called, _)| *called < time)
    }

    /// Which record wrote it, or tried to.
    pub(crate) fn writer(&self, content: Content) -> Option<usize> {
        self.writers.get(content.number()?).map(|(_, record)| *record)
    }

    fn number(&mut self, value: u64) -> Content {
        let next = self.numbers.len();
        Content::value(*self.numbers.entry(value).or_insert(next))
    }

    fn claim(&mut self, record: &Record) -> Option<Claim> {
        let edits = |it: &mut Values| it.edits(record.changes());
        Some(match (&record.call, &record.reply) {
            (_, Reply::NotApplied) | (Call::Get { .. }, Reply::Unknown) => return None,
            (Call::Get { eventual: true, .. }, _) => return None,
            (Call::Get { key, .. }, Reply::Found { value, .. }) => {
                Claim::Saw(*key, self.number(*value))
            }
            (Call::Get { key, .. }, Reply::Foreign { .. }) => Claim::Saw(*key, Content::FOREIGN),
            (Call::Get { key, .. }, _) => Claim::Saw(*key, Content::NOTHING),
            (_, Reply::Conflict) => Claim::Refused(edits(self)),
            (_, Reply::Unknown) => Claim::Maybe(edits(self)),
            (_, _) => Claim::Did(edits(self)),
        })
    }

    fn edits(&mut self, changes: &[Change]) -> Vec<Edit> {
        changes.iter().map(|it| self.edit(it)).collect()
    }

    fn edit(&mut self, change: &Change) -> Edit {
        let needs = match &change.condition {
            Condition::Any => Need::Anything,
            Condition::Absent => Need::Nothing,
            Condition::Matches { value: Some(it), .. } => Need::This(self.number(*it)),
            Condition::Matches { value: None, .. } => Need::This(Content::FOREIGN),
        };
        let leaves = match change.effect {
            Effect::Put { value, .. } => self.number(value),
            Effect::Delete => Content::NOTHING,
        };
        Edit { key: change.key, needs, leaves }
    }
}
