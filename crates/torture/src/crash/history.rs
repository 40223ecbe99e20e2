//! What writers have asked for and been told, and whether what is found agrees with that.
//!
//! A key belongs to one writer, who uses one connection: its history is a sequence. Keys that
//! begin with [`SHARED`] are written by all, but only by compare-and-swap: their history is a
//! chain of ETags.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
};

mod chain;
mod sequence;

/// A key, a value in JSON, or an ETag.
pub(crate) type Text = Arc<str>;

pub(crate) const SHARED: &str = "shared";

/// A value that is there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Version {
    pub(crate) value: Text,
    pub(crate) etag: Text,
}

pub(crate) type Found = Option<Version>;

/// Everything that is there.
pub(crate) type State = BTreeMap<Text, Version>;

/// One change of one key. No two puts have the same value.
#[derive(Clone, Debug)]
pub(crate) struct Change {
    pub(crate) key: Text,
    /// `None` deletes.
    pub(crate) value: Option<Text>,
    pub(crate) when: When,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum When {
    Always,
    Absent,
    Matches(Text),
}

/// What a writer was told of a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Told {
    /// It is done; with the new ETag of each change, which a delete has not.
    Done(Vec<Option<Text>>),
    Conflict,
    NotApplied,
    /// Nothing, or that nobody knows.
    Unknown,
}

/// One request of a writer and its answer.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Write {
        changes: Vec<Change>,
        told: Told,
    },
    Read {
        key: Text,
        found: Found,
    },
    /// A read that gave an error.
    Refused,
}

/// All versions that anybody has ever seen: an ETag stands for one value, and a value has one.
#[derive(Debug, Default)]
pub(crate) struct Versions {
    values: HashMap<(Text, Text), Text>,
    etags: HashMap<Text, Text>,
}

/// What is wrong with `found`, given what was there before the journals of the writers.
pub(crate) fn check(before: &State, journals: &[Vec<Step>], found: &State) -> Vec<String> {
    let mut wrong = chain::check(before, journals, found);
    for journal in journals {
        wrong.extend(sequence::check(before, journal, found));
    }
    for key in found.keys().filter(|it| !before.contains_key(*it)) {
        if !journals.iter().flatten().any(|it| it.writes_to(key)) {
            wrong.push(format!("{key}: is there, and nobody wrote it"));
        }
    }
    wrong
}

impl Step {
    /// The same as long as its answer is not there; `None` if it can have no effect.
    pub(crate) fn unanswered(&self) -> Option<Step> {
        match self {
            Step::Write { changes, .. } => {
                Some(Step::Write { changes: changes.clone(), told: Told::Unknown })
            }
            Step::Read { .. } | Step::Refused => None,
        }
    }

    fn writes_to(&self, key: &str) -> bool {
        match self {
            Step::Write { changes, .. } => changes.iter().any(|it| &*it.key == key),
            Step::Read { .. } | Step::Refused => false,
        }
    }
}

impl Versions {
    /// Adds what the journals tell; returns what contradicts itself.
    pub(crate) fn learn(&mut self, journals: &[Vec<Step>]) -> Vec<String> {
        let mut wrong = Vec::new();
        for step in journals.iter().flatten() {
            match step {
                Step::Write { changes, told: Told::Done(etags) } => {
                    for (change, etag) in changes.iter().zip(etags) {
                        match (&change.value, etag) {
                            (Some(value), Some(etag)) => {
                                wrong.extend(self.add(&change.key, value, etag));
                            }
                            (Some(_), None) => wrong.push(format!("{}: no ETag", change.key)),
                            (None, _) => {}
                        }
                    }
                }
                Step::Read { key, found: Some(it) } => {
                    wrong.extend(self.add(key, &it.value, &it.etag));
                }
                Step::Write { .. } | Step::Read { found: None, .. } | Step::Refused => {}
            }
        }
        wrong
    }

    /// Adds what is there; returns what contradicts what was known.
    pub(crate) fn learn_state(&mut self, state: &State) -> Vec<String> {
        state.iter().filter_map(|(key, it)| self.add(key, &it.value, &it.etag)).collect()
    }

    /// What contradicts what is known.
    pub(crate) fn check(&self, state: &State) -> Vec<String> {
        state.iter().filter_map(|(key, it)| self.contradiction(key, &it.value, &it.etag)).collect()
    }

    fn add(&mut self, key: &Text, value: &Text, etag: &Text) -> Option<String> {
        let wrong = self.contradiction(key, value, etag);
        self.values.insert((key.clone(), etag.clone()), value.clone());
        self.etags.insert(value.clone(), etag.clone());
        wrong
    }

    fn contradiction(&self, key: &Text, value: &Text, etag: &Text) -> Option<String> {
        let known = self.values.get(&(key.clone(), etag.clone()));
        if known.is_some_and(|it| it != value) {
            return Some(format!("{key}: the ETag {etag} was that of another value"));
        }
        let known = self.etags.get(value);
        if known.is_some_and(|it| it != etag) {
            return Some(format!("{key}: {} had another ETag before", short(value)));
        }
        None
    }
}

/// The beginning of a value, which has its number.
fn short(value: &str) -> &str {
    value.split_once(':').map_or(value, |(it, _)| it).trim_start_matches('"')
}

/// What was found, in words.
fn words(found: Option<&Version>) -> String {
    found.map_or_else(|| "nothing".to_owned(), |it| short(&it.value).to_owned())
}

#[cfg(test)]
mod tests;
