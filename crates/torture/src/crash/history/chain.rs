//! The keys of all writers: each version has one successor, and what was acknowledged or read is
//! on the way to what is found.

use std::collections::{BTreeMap, BTreeSet};

use super::{SHARED, State, Step, Text, Told, When, short, words};

#[derive(Debug, Default)]
struct Attempts {
    /// What was replaced, `None` for an absent key, by which value and, if told, which ETag.
    done: Vec<(Option<Text>, Text, Text)>,
    unknown: Vec<(Option<Text>, Text)>,
    /// ETags by the values that were read.
    read: BTreeMap<Text, Text>,
}

pub(super) fn check(before: &State, journals: &[Vec<Step>], found: &State) -> Vec<String> {
    let mut by_key: BTreeMap<Text, Attempts> = BTreeMap::new();
    for step in journals.iter().flatten() {
        match step {
            Step::Write { changes, told } => {
                let [change] = &**changes else { continue };
                let Some(value) = change.value.clone() else { continue };
                if !change.key.starts_with(SHARED) {
                    continue;
                }
                let attempts = by_key.entry(change.key.clone()).or_default();
                let replaced = match &change.when {
                    When::Matches(it) => Some(it.clone()),
                    When::Always | When::Absent => None,
                };
                match told {
                    Told::Done(etags) => {
                        let etag = etags.first().cloned().flatten().unwrap_or_default();
                        attempts.done.push((replaced, value, etag));
                    }
                    Told::Unknown => attempts.unknown.push((replaced, value)),
                    Told::Conflict | Told::NotApplied => {}
                }
            }
            Step::Read { key, found: Some(it) } if key.starts_with(SHARED) => {
                let attempts = by_key.entry(key.clone()).or_default();
                attempts.read.insert(it.value.clone(), it.etag.clone());
            }
            Step::Read { .. } | Step::Refused => {}
        }
    }
    let shared_before = before.keys().filter(|it| it.starts_with(SHARED));
    for key in shared_before {
        by_key.entry(key.clone()).or_default();
    }
    by_key.iter().flat_map(|(key, it)| it.check(key, before, found)).collect()
}

impl Attempts {
    fn check(&self, key: &Text, before: &State, found: &State) -> Vec<String> {
        let (start, found) = (before.get(key), found.get(key));
        let mut wrong = Vec::new();
        let mut now = start.map(|it| it.etag.clone());
        let mut now_value = start.map(|it| it.value.clone());
        let mut passed: BTreeSet<Text> = now.iter().cloned().collect();
        while let Some((value, etag)) = self.successor(&now, &mut wrong) {
            if !passed.insert(etag.clone()) {
                wrong.push(format!("{key}: the ETag {etag} came back"));
                return wrong;
            }
            (now, now_value) = (Some(etag), Some(value));
        }
        let lost = self.done.iter().filter(|(_, _, etag)| !passed.contains(etag));
        wrong.extend(lost.map(|(_, value, _)| {
            format!("{key}: {} was acknowledged and replaced what was not there", short(value))
        }));
        let lost = self.read.iter().filter(|(_, etag)| !passed.contains(*etag));
        wrong.extend(
            lost.map(|(value, _)| {
                format!("{key}: {} was read, and never came to be", short(value))
            }),
        );
        let same = found.map(|it| &it.value) == now_value.as_ref()
            && found.map(|it| &it.etag) == now.as_ref();
        let next = self.unknown.iter().any(|(replaced, value)| {
            *replaced == now && found.is_some_and(|it| it.value == *value)
        });
        if !same && !next {
            let wanted = now_value.as_deref().map_or("nothing", short);
            wrong.push(format!("{key}: {wanted} was the last, and there is {}", words(found)));
        }
        wrong
    }

    /// The version that came after the one with the ETag `now`.
    fn successor(&self, now: &Option<Text>, wrong: &mut Vec<String>) -> Option<(Text, Text)> {
        let done = self.done.iter().filter(|(replaced, _, _)| replaced == now);
        let done = done.map(|(_, value, etag)| (value.clone(), etag.clone()));
        // An answer was lost, but others have seen what was written.
        let seen = self.unknown.iter().filter(|(replaced, _)| replaced == now);
        let seen = seen.filter_map(|(_, value)| {
            self.read.get(value).map(|etag| (value.clone(), etag.clone()))
        });
        let all: Vec<_> = done.chain(seen).collect();
        if let [(one, _), (other, _), ..] = &all[..] {
            wrong.push(format!("{} and {} replaced the same version", short(one), short(other)));
        }
        all.into_iter().next()
    }
}
