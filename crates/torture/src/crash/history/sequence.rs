//! The keys of one writer: they must be as after its requests, one after the other, of which those
//! with an unknown outcome may be missing.

use std::collections::BTreeMap;

use super::{Change, Found, SHARED, State, Step, Text, Told, Version, When, words};

/// More unknown requests than this are not tried in all combinations.
const UNKNOWN_MAX: usize = 12;

/// What a key may be, after some requests.
#[derive(Clone, Debug, Default)]
struct Track {
    /// What the last request that is certain has left.
    certain: Expected,
    /// What later requests of unknown outcome may have made of it: the number of the request, and
    /// the value.
    perhaps: Vec<(usize, Option<Text>)>,
}

/// `None` for an absent key, otherwise the value, and the ETag if it was told.
type Expected = Option<(Text, Option<Text>)>;

pub(super) fn check(before: &State, journal: &[Step], found: &State) -> Vec<String> {
    let mut wrong = Vec::new();
    let mut tracks = Tracks { before, by_key: BTreeMap::new() };
    for (i, step) in journal.iter().enumerate() {
        match step {
            Step::Write { changes, told } if !is_shared(changes) => {
                wrong.extend(tracks.conditions(changes, told).map(|it| describe(i, step, &it)));
                tracks.write(i, changes, told);
            }
            Step::Read { key, found } if !key.starts_with(SHARED) => {
                wrong.extend(tracks.read(journal, key, found).map(|it| describe(i, step, &it)));
            }
            Step::Write { .. } | Step::Read { .. } | Step::Refused => {}
        }
    }
    wrong.extend(tracks.end(journal, found));
    wrong
}

fn is_shared(changes: &[Change]) -> bool {
    changes.iter().any(|it| it.key.starts_with(SHARED))
}

struct Tracks<'a> {
    before: &'a State,
    by_key: BTreeMap<Text, Track>,
}

impl Tracks<'_> {
    fn of(&mut self, key: &Text) -> &mut Track {
        let before = self.before.get(key);
        self.by_key.entry(key.clone()).or_insert_with(|| Track {
            certain: before.map(|it| (it.value.clone(), Some(it.etag.clone()))),
            perhaps: Vec::new(),
        })
    }

    /// Whether the answer agrees with the conditions, where it is certain what they were held
    /// against.
    fn conditions(&mut self, changes: &[Change], told: &Told) -> Option<String> {
        let mut certain = true;
        let mut hold = true;
        for change in changes.iter().filter(|it| it.when != When::Always) {
            let track = self.of(&change.key);
            let etag = track.certain.as_ref().map(|(_, etag)| etag.as_ref());
            certain &= track.perhaps.is_empty() && etag != Some(None);
            hold &= match &change.when {
                When::Always => true,
                When::Absent => etag.is_none(),
                When::Matches(it) => etag == Some(Some(it)),
            };
        }
        match told {
            Told::Done(_) if certain && !hold => Some("done under a false condition".to_owned()),
            Told::Conflict if certain && hold => Some("a conflict that there was not".to_owned()),
            Told::Done(_) | Told::Conflict | Told::NotApplied | Told::Unknown => None,
        }
    }

    fn write(&mut self, i: usize, changes: &[Change], told: &Told) {
        for (position, change) in changes.iter().enumerate() {
            let track = self.of(&change.key);
            match told {
                Told::Done(etags) => {
                    let etag = etags.get(position).cloned().flatten();
                    track.certain = change.value.clone().map(|it| (it, etag));
                    track.perhaps.clear();
                }
                Told::Unknown => track.perhaps.push((i, change.value.clone())),
                Told::Conflict | Told::NotApplied => {}
            }
        }
    }

    /// A read makes certain what it shows. What it does not show may still come.
    fn read(&mut self, journal: &[Step], key: &Text, found: &Found) -> Option<String> {
        let track = self.of(key);
        if agrees(&track.certain, found.as_ref()) {
            return None;
        }
        let value = found.as_ref().map(|it| it.value.clone());
        let Some((i, _)) = track.perhaps.iter().rfind(|(_, it)| *it == value).cloned() else {
            return Some(format!("{} {}", words(found.as_ref()), history(journal, key, found)));
        };
        let Step::Write { changes, .. } = &journal[i] else { unreachable!("only writes wait") };
        for change in changes {
            let track = self.of(&change.key);
            if let Some(position) = track.perhaps.iter().position(|(it, _)| *it == i) {
                track.certain = change.value.clone().map(|it| (it, None));
                track.perhaps.drain(..=position);
            }
        }
        self.of(key).certain = found.as_ref().map(|it| (it.value.clone(), Some(it.etag.clone())));
        None
    }

    /// Tries which of the unknown requests were done.
    fn end(&self, journal: &[Step], found: &State) -> Vec<String> {
        let mut unknown: Vec<usize> =
            self.by_key.values().flat_map(|it| it.perhaps.iter().map(|(i, _)| *i)).collect();
        unknown.sort_unstable();
        unknown.dedup();
        let mut wrong = Vec::new();
        for (key, track) in &self.by_key {
            let found = found.get(key);
            let value = found.map(|it| &it.value);
            let possible = agrees(&track.certain, found)
                || track.perhaps.iter().any(|(_, it)| it.as_ref() == value);
            if !possible {
                let history = history(journal, key, &found.cloned());
                let wanted = track.certain.as_ref().map_or("nothing", |it| super::short(&it.0));
                wrong.push(format!(
                    "{key}: {wanted} was acknowledged, and there is {} {history}",
                    words(found)
                ));
            }
        }
        if !wrong.is_empty() || unknown.is_empty() || unknown.len() > UNKNOWN_MAX {
            return wrong;
        }
        let explained = (0..1u32 << unknown.len()).any(|chosen| {
            let was_done = |i: usize| {
                unknown.iter().position(|it| *it == i).is_some_and(|it| chosen >> it & 1 == 1)
            };
            self.by_key.iter().all(|(key, track)| {
                let last = track.perhaps.iter().rfind(|(i, _)| was_done(*i));
                match last {
                    Some((_, value)) => value.as_ref() == found.get(key).map(|it| &it.value),
                    None => agrees(&track.certain, found.get(key)),
                }
            })
        });
        if !explained {
            let i = unknown[unknown.len() - 1];
            wrong.push(describe(i, &journal[i], "half of a transaction is there"));
        }
        wrong
    }
}

fn agrees(expected: &Expected, found: Option<&Version>) -> bool {
    match (expected, found) {
        (None, None) => true,
        (Some((value, etag)), Some(it)) => {
            *value == it.value && etag.as_ref().is_none_or(|etag| *etag == it.etag)
        }
        (None, Some(_)) | (Some(_), None) => false,
    }
}

/// Where a value that should not be there comes from.
fn history(journal: &[Step], key: &str, found: &Found) -> String {
    let Some(found) = found else { return String::new() };
    for (i, step) in journal.iter().enumerate() {
        let Step::Write { changes, told } = step else { continue };
        let wrote = |it: &Change| &*it.key == key && it.value.as_ref() == Some(&found.value);
        if changes.iter().any(wrote) {
            return match told {
                Told::Done(_) => format!("(of request {i}, with another ETag or superseded)"),
                Told::Conflict => format!("(of request {i}, refused as a conflict)"),
                Told::NotApplied => format!("(of request {i}, refused as not_applied)"),
                Told::Unknown => format!("(of request {i}, which was superseded)"),
            };
        }
    }
    "(from before, or written by nobody)".to_owned()
}

fn describe(i: usize, step: &Step, what: &str) -> String {
    match step {
        Step::Write { changes, .. } => {
            let keys: Vec<_> = changes.iter().map(|it| &*it.key).collect();
            format!("request {i}, a write of {}: {what}", keys.join(", "))
        }
        Step::Read { key, .. } => format!("request {i}, a read of {key}: {what}"),
        Step::Refused => format!("request {i}: {what}"),
    }
}
