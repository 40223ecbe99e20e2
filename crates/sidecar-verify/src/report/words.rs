//! What was asked and answered, in words.

use std::collections::{BTreeMap, BTreeSet};

use state_checker::{Call, Change, Condition, Effect, Record, Reply};

use super::{
    names::{endpoint, plain, shorten},
    timeline::{Bar, Timeline},
};

/// How much of a value that nobody wrote is shown.
const FOREIGN_CHARS_SHOWN: usize = 24;

/// The words of one counterexample.
#[derive(Debug)]
pub(super) struct Words {
    /// What each ETag that is not shown in full is called.
    short: BTreeMap<String, String>,
    /// Whether there is more than one key, so that keys must be named.
    pub(super) many_keys: bool,
    /// Whether nothing is left out.
    full: bool,
}

impl Words {
    /// Words that fit in a drawing.
    pub(super) fn short(records: &[Record]) -> Words {
        let etags: BTreeSet<&str> = records.iter().flat_map(etags).collect();
        let short = etags.iter().filter_map(|it| Some(((*it).to_owned(), shorten(it, &etags)?)));
        Words { short: short.collect(), full: false, ..Words::full(records) }
    }

    /// Words that leave nothing out.
    pub(super) fn full(records: &[Record]) -> Words {
        let keys: BTreeSet<u8> = records.iter().flat_map(Record::keys).collect();
        Words { short: BTreeMap::new(), many_keys: keys.len() > 1, full: true }
    }

    /// The operation of a bar, and its endpoint if the lane does not say it.
    pub(super) fn spoken(
        &self,
        bar: &Bar<'_>,
        timeline: &Timeline<'_>,
        endpoints: &[String],
    ) -> String {
        let operation = self.operation(bar.record);
        match timeline.lanes[bar.lane].endpoint {
            Some(_) => operation,
            None => format!("{} {operation}", endpoint(endpoints, bar.record.endpoint)),
        }
    }

    /// What was asked, and what was answered.
    pub(super) fn operation(&self, record: &Record) -> String {
        format!("{} → {}", self.asked(record), self.answered(record))
    }

    pub(super) fn asked(&self, record: &Record) -> String {
        match &record.call {
            Call::Get { key, eventual } => {
                let kind = if *eventual { "get (eventual)" } else { "get" };
                self.of_key(*key, kind)
            }
            Call::Write(it) => self.change(it),
            Call::Transact(changes) => {
                let changes: Vec<_> = changes.iter().map(|it| self.change(it)).collect();
                format!("tx[{}]", changes.join(", "))
            }
        }
    }

    pub(super) fn answered(&self, record: &Record) -> String {
        match &record.reply {
            Reply::Found { value, etag: Some(etag) } => {
                format!("v={value} etag={}", self.etag(etag))
            }
            Reply::Found { value, etag: None } => format!("v={value}"),
            Reply::Foreign { text } => {
                let chars_max = if self.full { usize::MAX } else { FOREIGN_CHARS_SHOWN };
                let shown: String = text.chars().take(chars_max).collect();
                let end = if shown.len() < text.len() { "…" } else { "" };
                format!("foreign \"{}{end}\"", plain(&shown))
            }
            Reply::Absent => "nothing".to_owned(),
            Reply::Done { etags } if etags.iter().all(Option::is_none) => "ok".to_owned(),
            Reply::Done { etags } => {
                let etag =
                    |it: &Option<String>| it.as_ref().map_or("-".to_owned(), |it| self.etag(it));
                let etags: Vec<_> = etags.iter().map(etag).collect();
                format!("ok etag={}", etags.join(","))
            }
            Reply::Conflict => "conflict".to_owned(),
            Reply::NotApplied => "refused".to_owned(),
            Reply::Unknown => "? unknown".to_owned(),
        }
    }

    /// A sentence of the checker, with the same names of ETags as everything else.
    pub(super) fn sentence(&self, text: &str) -> String {
        let short = self.short.iter().map(|(etag, short)| (plain(etag), short));
        short.fold(plain(text), |text, (etag, short)| text.replace(&etag, short))
    }

    fn change(&self, change: &Change) -> String {
        let mut what = match (&change.effect, &change.condition) {
            (Effect::Put { value, .. }, Condition::Absent) => format!("create v={value}"),
            (Effect::Put { value, .. }, _) => format!("set v={value}"),
            (Effect::Delete, Condition::Absent) => "delete if absent".to_owned(),
            (Effect::Delete, _) => "delete".to_owned(),
        };
        if let Effect::Put { ttl_ms: Some(ms), .. } = change.effect {
            what += &format!(" ttl={}", lifetime(ms));
        }
        if let Condition::Matches { etag, value } = &change.condition {
            what += &format!(" if etag={}", self.etag(etag));
            match value {
                Some(value) if self.full => what += &format!(" (of v={value})"),
                None if self.full => what += " (made up)",
                Some(_) | None => {}
            }
        }
        self.of_key(change.key, &what)
    }

    fn of_key(&self, key: u8, what: &str) -> String {
        if self.many_keys { format!("k{key} {what}") } else { what.to_owned() }
    }

    /// What an ETag is called here.
    pub(super) fn etag(&self, etag: &str) -> String {
        self.short.get(etag).cloned().unwrap_or_else(|| plain(etag))
    }
}

/// Every ETag that an operation names.
fn etags(record: &Record) -> impl Iterator<Item = &str> {
    let conditions = record.changes().iter().filter_map(|it| match &it.condition {
        Condition::Matches { etag, .. } => Some(etag.as_str()),
        Condition::Any | Condition::Absent => None,
    });
    let (found, done) = match &record.reply {
        Reply::Found { etag, .. } => (etag.as_deref(), [].as_slice()),
        Reply::Done { etags } => (None, etags.as_slice()),
        _ => (None, [].as_slice()),
    };
    conditions.chain(found).chain(done.iter().flatten().map(String::as_str))
}

fn lifetime(ms: u64) -> String {
    if ms.is_multiple_of(1000) { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

#[cfg(test)]
mod tests;
