//! What a request should make of its items, found out in another way than the front does it.

use std::time::Duration;

use state::{Change, Consistency, ETag, Precondition, Ttl, Write};

use crate::{json_text, sidecar::own_key};

/// What an item of a save or of a transaction says.
#[derive(Debug)]
pub(crate) struct Expected<'a> {
    members: Vec<(String, &'a str)>,
    /// What a transaction says for all its operations.
    common: Vec<(String, &'a str)>,
    is_delete: bool,
}

impl<'a> Expected<'a> {
    /// An item that is written like this.
    pub(crate) fn put(json: &'a str) -> Expected<'a> {
        Expected { members: json_text::members(json), common: Vec::new(), is_delete: false }
    }

    /// An operation that is written like this, in a transaction with this metadata.
    pub(crate) fn operation(json: &'a str, common: Option<&'a str>) -> Expected<'a> {
        let members = json_text::members(json);
        let operation = last(&members, "operation").map(json_text::text).unwrap_or_default();
        assert!(matches!(&*operation, "upsert" | "delete"), "an operation that is none");
        let request = last(&members, "request").unwrap_or("{}");
        Expected {
            members: json_text::members(request),
            common: common.map(json_text::members).unwrap_or_default(),
            is_delete: operation == "delete",
        }
    }

    /// Checks that the store was told what the item says.
    pub(crate) fn check(&self, write: &Write) {
        assert_eq!(own_key(&write.key), self.text("key"), "{self:?}");
        assert_eq!(write.precondition, self.precondition(), "{self:?}");
        let strong = self.option("consistency") == "strong";
        let consistency = if strong { Consistency::Strong } else { Consistency::Eventual };
        assert_eq!(write.consistency, consistency, "{self:?}");
        match &write.change {
            Change::Put { value, ttl, .. } => {
                assert!(!self.is_delete, "{self:?}");
                let expected = last(&self.members, "value").unwrap_or("null");
                assert_eq!(std::str::from_utf8(value), Ok(expected));
                assert_eq!(*ttl, self.ttl(), "{self:?}");
            }
            Change::Delete => assert!(self.is_delete, "{self:?}"),
        }
    }

    fn text(&self, name: &str) -> String {
        last(&self.members, name).map(json_text::text).unwrap_or_default()
    }

    fn option(&self, name: &str) -> String {
        let options = last(&self.members, "options").map(json_text::members).unwrap_or_default();
        last(&options, name).map(json_text::text).unwrap_or_default()
    }

    fn precondition(&self) -> Precondition {
        match ETag::new(&self.text("etag")) {
            Some(etag) => Precondition::Matches(etag),
            None if self.option("concurrency") == "first-write" => Precondition::Absent,
            None => Precondition::Any,
        }
    }

    fn ttl(&self) -> Ttl {
        let own = last(&self.members, "metadata").map(json_text::members).unwrap_or_default();
        // In metadata, case matters, and `null` takes nothing back.
        let mut all = self.common.iter().chain(&own).rev();
        let found = all.find(|(name, value)| name == "ttlInSeconds" && *value != "null");
        let text = found.map(|(_, text)| json_text::text(text)).unwrap_or_default();
        if text.is_empty() {
            return Ttl::Unsaid;
        }
        let seconds: i64 = text.parse().expect("it was taken");
        match u64::try_from(seconds) {
            Ok(seconds @ 1..) => Ttl::After(Duration::from_secs(seconds)),
            _ => Ttl::Never,
        }
    }
}

/// The last member of this name, in any case. `null` counts as absent.
pub(crate) fn last<'a>(members: &[(String, &'a str)], name: &str) -> Option<&'a str> {
    let of_name = members.iter().rev().find(|(it, _)| it.eq_ignore_ascii_case(name));
    of_name.map(|(_, value)| *value).filter(|it| *it != "null")
}
