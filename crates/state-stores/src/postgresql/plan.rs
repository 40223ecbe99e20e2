//! A transaction as one step for each key, in one order for everybody.

use std::collections::BTreeMap;

use state::{Conflict, ETag, Key, Precondition, Write};

/// What becomes of one key.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Step<'a> {
    /// The conditions, each with the position of the write that has it. All are of the state before the transaction.
    pub(super) conditions: Vec<(usize, &'a Precondition)>,
    /// The last write, which is what is left of all of them, and its position.
    pub(super) last: (usize, &'a Write),
}

/// The steps, in the order of the keys, so that no two transactions wait for each other.
pub(super) fn steps(writes: &[Write]) -> Vec<Step<'_>> {
    let mut steps: BTreeMap<&str, Step<'_>> = BTreeMap::new();
    for (position, write) in writes.iter().enumerate() {
        let step = steps
            .entry(write.key.as_str())
            .or_insert_with(|| Step { conditions: Vec::new(), last: (position, write) });
        step.last = (position, write);
        if write.precondition != Precondition::Any {
            step.conditions.push((position, &write.precondition));
        }
    }
    steps.into_values().collect()
}

impl<'a> Step<'a> {
    pub(super) fn key(&self) -> &'a Key {
        &self.last.1.key
    }

    /// The condition, if there is just one, or several that are the same.
    pub(super) fn condition(&self) -> Option<&'a Precondition> {
        match self.conditions.as_slice() {
            [] => Some(&Precondition::Any),
            [(_, first), rest @ ..] => rest.iter().all(|(_, it)| it == first).then_some(*first),
        }
    }

    /// The first condition that is false of a key at this version.
    pub(super) fn conflict(&self, current: Option<&ETag>) -> Option<Conflict> {
        let checked = self.conditions.iter().map(|(position, it)| (position, it.check(current)));
        checked.into_iter().find_map(|(position, it)| it.err().map(|it| it.at(*position)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn write(key: &str, precondition: Precondition) -> Write {
        Write::put(Key::new(key).unwrap(), "1").when(precondition)
    }

    #[test]
    fn the_last_write_of_a_key_is_left_with_the_conditions_of_all() {
        let etag = Precondition::Matches(ETag::new("1").unwrap());
        let writes = [
            write("b", etag.clone()),
            write("a", Precondition::Any),
            write("b", Precondition::Any),
            write("b", etag.clone()),
        ];
        let steps = steps(&writes);
        assert_eq!(steps.iter().map(|it| it.key().as_str()).collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(steps[0].condition(), Some(&Precondition::Any));
        assert_eq!((steps[1].condition(), steps[1].last.0), (Some(&etag), 3));
        assert_eq!(steps[1].conditions.len(), 2);
    }

    #[test]
    fn conditions_that_exclude_each_other_cannot_all_hold() {
        let etag = ETag::new("1").unwrap();
        let writes =
            [write("a", Precondition::Absent), write("a", Precondition::Matches(etag.clone()))];
        let steps = steps(&writes);
        assert_eq!(steps[0].condition(), None);
        assert_eq!(steps[0].conflict(Some(&etag)).unwrap().position(), 0);
        assert_eq!(steps[0].conflict(None).unwrap().position(), 1);
    }
}
