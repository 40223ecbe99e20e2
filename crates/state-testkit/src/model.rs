use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use state::Key;

/// The contract as a program: what every store should do, with a map in place of the database,
/// a counter in place of ETags, and the time as an argument.
///
/// It shares no logic with any store, nor with `state`, or a mistake there would be here too.
#[derive(Clone, Debug, Default)]
pub struct Model {
    items: BTreeMap<Key, Present>,
    versions: u64,
}

/// One version of a value. No two writes ever make the same one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Version(u64);

/// What a key has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// The bytes that were written.
    pub value: Bytes,
    /// Which write it was.
    pub version: Version,
    /// When it counts as absent; `None` means never.
    pub deadline: Option<SystemTime>,
}

/// A change of one key, under a condition.
#[derive(Clone, Debug)]
pub struct Op {
    /// Which key.
    pub key: Key,
    /// What becomes of it.
    pub effect: Effect,
    /// When.
    pub condition: Condition,
}

/// What an [`Op`] does.
#[derive(Clone, Debug)]
pub enum Effect {
    /// Makes a new version.
    Put {
        /// The value.
        value: Bytes,
        /// How long it lives; `None` means for ever.
        ttl: Option<Duration>,
    },
    /// Leaves the key absent.
    Delete,
}

/// What must be true for an [`Op`] to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Condition {
    /// Nothing.
    Any,
    /// The key is absent.
    Absent,
    /// The key is present at this version; `None` is an ETag that was never issued for it.
    Matches(Option<Version>),
}

/// An op whose condition was false.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// Which one it was, from 0.
    pub position: usize,
    /// The version that the key had; `None` if it was absent.
    pub found: Option<Version>,
}

impl Model {
    /// What `key` has at `now`.
    pub fn get(&self, key: &Key, now: SystemTime) -> Option<&Present> {
        self.items.get(key).filter(|it| it.deadline.is_none_or(|deadline| now < deadline))
    }

    /// Makes one change. Returns the new version, or `None` for a delete.
    pub fn write(&mut self, op: &Op, now: SystemTime) -> Result<Option<Version>, Refusal> {
        match self.refusal(0, op, now) {
            Some(refusal) => Err(refusal),
            None => Ok(self.apply(op, now)),
        }
    }

    /// Makes all the changes at one instant, or fails with every op whose condition is false.
    pub fn transact(
        &mut self,
        ops: &[Op],
        now: SystemTime,
    ) -> Result<Vec<Option<Version>>, Vec<Refusal>> {
        let numbered = ops.iter().enumerate();
        let refusals: Vec<_> = numbered.filter_map(|(i, op)| self.refusal(i, op, now)).collect();
        if !refusals.is_empty() {
            return Err(refusals);
        }
        Ok(ops.iter().map(|op| self.apply(op, now)).collect())
    }

    /// The first `limit` keys that begin with `prefix` and come after `after`, and whether there
    /// are more.
    pub fn list(
        &self,
        prefix: &str,
        after: Option<&Key>,
        limit: usize,
        now: SystemTime,
    ) -> (Vec<Key>, bool) {
        let mut keys: Vec<_> = self.items.keys().cloned().collect();
        keys.retain(|key| self.get(key, now).is_some());
        keys.retain(|key| key.as_str().starts_with(prefix));
        keys.retain(|key| after.is_none_or(|after| key.as_str() > after.as_str()));
        let more = keys.len() > limit;
        keys.truncate(limit);
        (keys, more)
    }

    fn refusal(&self, position: usize, op: &Op, now: SystemTime) -> Option<Refusal> {
        let found = self.get(&op.key, now).map(|it| it.version);
        let holds = match (op.condition, found) {
            (Condition::Any, _) | (Condition::Absent, None) => true,
            (Condition::Absent, Some(_)) | (Condition::Matches(_), None) => false,
            (Condition::Matches(expected), Some(found)) => expected == Some(found),
        };
        (!holds).then_some(Refusal { position, found })
    }

    fn apply(&mut self, op: &Op, now: SystemTime) -> Option<Version> {
        let Effect::Put { value, ttl } = &op.effect else {
            self.items.remove(&op.key);
            return None;
        };
        self.versions += 1;
        let version = Version(self.versions);
        let deadline = ttl.map(|ttl| now + ttl);
        self.items.insert(op.key.clone(), Present { value: value.clone(), version, deadline });
        Some(version)
    }
}

#[cfg(test)]
mod tests;
