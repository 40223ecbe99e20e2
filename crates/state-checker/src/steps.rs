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

/// Gives each value of a group a small number.
#[derive(Debug, Default)]
struct Numbering(HashMap<u64, usize>);

/// What the records claim. Operations that did nothing and tell nothing are left out, as are
/// eventual reads, which may tell of the past.
pub(crate) fn steps(records: &[Record], limits: &Limits) -> Vec<Step> {
    let mut numbers = Numbering::default();
    let mut steps = Vec::with_capacity(records.len());
    for (i, record) in records.iter().enumerate() {
        let Some(claim) = numbers.claim(record) else { continue };
        let to = (!matches!(claim, Claim::Maybe(_))).then_some(record.returned);
        steps.push(Step { claim, from: record.called, to, record: i });
        steps.extend(expiries(i, record, limits, &mut numbers));
    }
    steps
}

/// The ends of the values that a record has stored for a time.
///
/// A value's time begins between the call and the reply, and it may go no sooner than its time
/// after the former, and no later than its time, and the lateness allowed, after the latter.
fn expiries(i: usize, record: &Record, limits: &Limits, numbers: &mut Numbering) -> Vec<Step> {
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
        let claim = Claim::Expired(it.key, numbers.of(value));
        Some(Step { claim, from, to, record: i })
    };
    record.changes().iter().filter_map(expiry).collect()
}

impl Numbering {
    fn of(&mut self, value: u64) -> Content {
        let next = self.0.len();
        Content::value(*self.0.entry(value).or_insert(next))
    }

    fn claim(&mut self, record: &Record) -> Option<Claim> {
        let edits = |it: &mut Numbering| it.edits(record.changes());
        Some(match (&record.call, &record.reply) {
            (_, Reply::NotApplied) | (Call::Get { .. }, Reply::Unknown) => return None,
            (Call::Get { eventual: true, .. }, _) => return None,
            (Call::Get { key, .. }, Reply::Found { value, .. }) => {
                Claim::Saw(*key, self.of(*value))
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
            Condition::Matches { value: Some(it), .. } => Need::This(self.of(*it)),
            Condition::Matches { value: None, .. } => Need::This(Content::FOREIGN),
        };
        let leaves = match change.effect {
            Effect::Put { value, .. } => self.of(value),
            Effect::Delete => Content::NOTHING,
        };
        Edit { key: change.key, needs, leaves }
    }
}
