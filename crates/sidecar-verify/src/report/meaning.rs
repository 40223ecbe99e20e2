//! What a counterexample means to those who read it.

use std::collections::{BTreeMap, BTreeSet};

use state_checker::{Condition, Invariant, Record, Reply, Violation};

use super::{names::plain, timeline::Timeline, words::Words};

/// What it means for those who asked.
pub(super) fn consequence(violation: &Violation, timeline: &Timeline<'_>) -> String {
    let Some(last) = timeline.bars.iter().max_by_key(|it| it.to) else { return String::new() };
    let first = timeline.bars.first().map_or(last, |it| it);
    let (first, last_label) = (timeline.label(first), timeline.label(last));
    match violation.invariant {
        Invariant::I1 => match rivals(timeline) {
            Some((a, b)) if a == b => format!(
                "{a} was told \"saved\" twice for one version; at most one of the changes is there."
            ),
            Some((a, b)) => format!(
                "{a} and {b} were both told \"saved\"; at most one of the changes is there, the \
                 other is gone."
            ),
            None => format!(
                "{last_label} was told \"saved\" for a version that had been replaced: the change \
                 in between is gone, and nobody was told."
            ),
        },
        Invariant::I2 => format!(
            "{last_label} read what {first} had been told was not saved, and may act on it."
        ),
        Invariant::I3 => format!("{last_label} read what no client has ever stored there."),
        Invariant::I4 => {
            "Whoever compares such an ETag cannot know which value it stands for.".to_owned()
        }
        Invariant::I5 => {
            format!("{last_label} was taken back in time: a newer value had been read before.")
        }
        Invariant::I6 if timeline.left_out > 0 => {
            "No order of these operations and those before them, each at an instant within its \
             bar, gives these answers."
                .to_owned()
        }
        Invariant::I6 => {
            "No order of these operations, each at an instant within its bar, gives these answers."
                .to_owned()
        }
        Invariant::I7 => {
            format!("{last_label} believes that it has created the key, and so does somebody else.")
        }
        Invariant::I8 => {
            "Whoever reads these keys can see a part of a transaction without the rest.".to_owned()
        }
        Invariant::I11 => {
            "An application that relies on it, for a lock or a session, is misled.".to_owned()
        }
        Invariant::I12 => {
            format!("{last_label} was told that somebody had been faster, and nobody had.")
        }
    }
}

/// Two who were told that they have replaced one version.
fn rivals<'t>(timeline: &'t Timeline<'_>) -> Option<(&'t str, &'t str)> {
    let mut winners: BTreeMap<(u8, &str), (usize, &str)> = BTreeMap::new();
    for (i, bar) in timeline.bars.iter().enumerate() {
        if !matches!(bar.record.reply, Reply::Done { .. }) {
            continue;
        }
        for change in bar.record.changes() {
            let Condition::Matches { etag, .. } = &change.condition else { continue };
            let label = timeline.label(bar);
            let (other, winner) = *winners.entry((change.key, etag)).or_insert((i, label));
            if other != i {
                return Some((winner, label));
            }
        }
    }
    None
}

/// What the reader has to know besides: the values of ETags that no answer shows, and what
/// cannot be seen in a drawing.
pub(super) fn notes(
    words: &Words,
    violation: &Violation,
    timeline: &Timeline<'_>,
    prefix: &str,
) -> Vec<String> {
    let mut notes = Vec::new();
    let versions = hidden_versions(timeline.bars.iter().map(|it| it.record));
    let version = |(etag, value): &(&str, u64)| format!("etag={} is v={value}", words.etag(etag));
    if !versions.is_empty() {
        let versions: Vec<_> = versions.iter().map(version).collect();
        notes.push(format!("As the clients had read before: {}.", versions.join(", ")));
    }
    if timeline.bars.iter().any(|it| it.record.reply == Reply::Unknown) {
        let unknown = "? unknown: there was no answer that tells. It may have happened at any \
                           time after its call, or never; neither explains what was seen.";
        notes.push(unknown.to_owned());
    }
    match violation.unexplaining {
        0 => {}
        1 => notes
            .push("1 more operation had an unknown outcome; it cannot explain this.".to_owned()),
        n => notes
            .push(format!("{n} more operations had an unknown outcome; none can explain this.")),
    }
    let key = |key: u8| format!("{}-{}-{key}", plain(prefix), violation.group);
    let keys: BTreeSet<u8> = violation.records.iter().flat_map(Record::keys).collect();
    let keys: Vec<String> = match words.many_keys {
        true => keys.into_iter().map(|it| format!("k{it} is {}", key(it))).collect(),
        false => keys.into_iter().map(|it| format!("the key is {}", key(it))).collect(),
    };
    notes.push(format!("In the store {}.", keys.join(", ")));
    notes
}

/// The ETags that conditions name and no answer does, with the values they stand for.
fn hidden_versions<'r>(
    records: impl Iterator<Item = &'r Record> + Clone,
) -> BTreeSet<(&'r str, u64)> {
    let mut answered: BTreeSet<&str> = BTreeSet::new();
    for record in records.clone() {
        match &record.reply {
            Reply::Found { etag: Some(etag), .. } => drop(answered.insert(etag)),
            Reply::Done { etags } => answered.extend(etags.iter().flatten().map(String::as_str)),
            _ => {}
        }
    }
    let conditions = records.flat_map(Record::changes).map(|it| &it.condition);
    let named = conditions.filter_map(|it| match it {
        Condition::Matches { etag, value: Some(value) } => Some((etag.as_str(), *value)),
        _ => None,
    });
    named.filter(|(etag, _)| !answered.contains(etag)).collect()
}

#[cfg(test)]
mod tests;
