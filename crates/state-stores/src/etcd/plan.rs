//! A transaction as one step for each key: etcd writes a key once in each.

use std::collections::HashMap;

use state::{Change, Conflict, ETag, Key, Precondition, Write};

use super::{
    layout::revision,
    messages::{Compare, Compared},
};

/// What becomes of one key.
#[derive(Debug)]
pub(super) struct Step<'a> {
    /// The conditions, each with the position of the write that has it. All are of the state before the transaction.
    pub(super) conditions: Vec<(usize, &'a Precondition)>,
    /// The last write, which is what is left of all of them, and its position.
    pub(super) last: (usize, &'a Write),
    /// Whether the value that the conditions name is known to have a lease that is not over.
    pub(super) is_leased: bool,
}

/// The steps, in the order in which the keys appear.
pub(super) fn steps(writes: &[Write]) -> Vec<Step<'_>> {
    let mut steps: Vec<Step<'_>> = Vec::with_capacity(writes.len());
    let mut places: HashMap<&str, usize> = HashMap::with_capacity(writes.len());
    for (position, write) in writes.iter().enumerate() {
        let place = *places.entry(write.key.as_str()).or_insert(steps.len());
        if place == steps.len() {
            steps.push(Step { conditions: Vec::new(), last: (position, write), is_leased: false });
        }
        let step = &mut steps[place];
        step.last = (position, write);
        if write.precondition != Precondition::Any {
            step.conditions.push((position, &write.precondition));
        }
    }
    steps
}

impl<'a> Step<'a> {
    pub(super) fn key(&self) -> &'a Key {
        &self.last.1.key
    }

    pub(super) fn is_put(&self) -> bool {
        matches!(self.last.1.change, Change::Put { .. })
    }

    /// The first condition that is false of a key at this version.
    pub(super) fn conflict(&self, current: Option<&ETag>) -> Option<Conflict> {
        let checked = self.conditions.iter().map(|(position, it)| (position, it.check(current)));
        checked.into_iter().find_map(|(position, it)| it.err().map(|it| it.at(*position)))
    }

    /// What etcd compares, all of which has to be true.
    ///
    /// A value with a lease may be over though it is there. What lease it has cannot change while its version does not, so
    /// a condition that names a version asks for one without a lease until it is known better.
    pub(super) fn compares(&self, key: &bytes::Bytes) -> Vec<Compare> {
        let mut wanted: Vec<i64> = Vec::new();
        for (_, condition) in &self.conditions {
            let revision = match condition {
                Precondition::Any => continue,
                Precondition::Absent => 0,
                // No value has ever had it.
                Precondition::Matches(etag) => revision(etag).unwrap_or(-1),
            };
            if !wanted.contains(&revision) {
                wanted.push(revision);
            }
        }
        let compare = |with: Compared| Compare {
            result: 0,
            target: match with {
                Compared::CreateRevision(_) => 1,
                Compared::ModRevision(_) => 2,
                Compared::Lease(_) => 4,
            },
            key: key.clone(),
            with: Some(with),
        };
        let names_version = wanted.iter().any(|it| *it != 0);
        let mut compares: Vec<Compare> = wanted
            .into_iter()
            .map(|it| match it {
                0 => compare(Compared::CreateRevision(0)),
                revision => compare(Compared::ModRevision(revision)),
            })
            .collect();
        if names_version && !self.is_leased {
            compares.push(compare(Compared::Lease(0)));
        }
        compares
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
        let etag = Precondition::Matches(ETag::new("7").unwrap());
        let writes = [
            write("b", etag.clone()),
            write("a", Precondition::Any),
            write("b", Precondition::Absent),
        ];
        let mut steps = steps(&writes);
        assert_eq!(steps.iter().map(|it| it.key().as_str()).collect::<Vec<_>>(), ["b", "a"]);
        assert_eq!(steps[0].last.0, 2);
        let key = bytes::Bytes::from_static(b"b");
        let with = |it: &Step<'_>| -> Vec<Compared> {
            it.compares(&key).into_iter().filter_map(|it| it.with).collect()
        };
        let (seven, none) = (Compared::ModRevision(7), Compared::CreateRevision(0));
        assert_eq!(with(&steps[0]), [seven.clone(), none.clone(), Compared::Lease(0)]);
        assert_eq!(with(&steps[1]), []);
        steps[0].is_leased = true;
        assert_eq!(with(&steps[0]), [seven, none]);
        assert_eq!(steps[0].conflict(ETag::new("7").as_ref()).unwrap().position(), 2);
        assert_eq!(steps[0].conflict(None).unwrap().position(), 0);
    }
}
