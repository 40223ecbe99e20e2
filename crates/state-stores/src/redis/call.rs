//! One operation on its way: what to send, for which keys, and how much it takes for an answer.

use std::{borrow::Cow, time::Duration};

use redis::Cmd;
use state::{
    Change, Consistency, ETag, Error, FailureKind, Format, Precondition, Read, Result, Ttl, Write,
};

use super::{
    json,
    refusal::Intent,
    script::{self, Script},
    slot::slot,
};

/// A call of a script.
#[derive(Debug)]
pub(super) struct Call<'a> {
    script: &'static Script,
    /// All in one slot, if that matters.
    keys: Vec<Cow<'a, str>>,
    arguments: Vec<Cow<'a, [u8]>>,
    pub(super) slot: u16,
    pub(super) way: Way,
}

/// Where a call goes, and when it is answered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Way {
    /// Read from the server that takes the writes.
    Read,
    /// Answered when the replicas have what was read, too, so that no failover can undo it.
    ReadStrongly,
    /// Read from a replica, if there is one that is not far behind.
    ReadAnywhere,
    Write,
    /// Answered when the replicas have it, too.
    WriteStrongly,
}

/// How keys and values of the store's callers become those of the server.
#[derive(Clone, Copy, Debug)]
pub(super) struct Encoding {
    /// Whether the part of a key before `||` is put in braces.
    pub(super) tags_keys: bool,
    /// Whether values can be stored as JSON documents.
    pub(super) has_json: bool,
    /// The lifetime of values that are saved without one.
    pub(super) ttl: Option<Duration>,
    /// Whether eventual reads may go to replicas.
    pub(super) reads_from_replicas: bool,
    /// Whether replicas must have what a strong read tells.
    pub(super) confirms_reads: bool,
}

impl Way {
    pub(super) fn intent(self) -> Intent {
        match self {
            Way::Read | Way::ReadStrongly | Way::ReadAnywhere => Intent::Read,
            Way::Write | Way::WriteStrongly => Intent::Write,
        }
    }
}

impl Call<'_> {
    pub(super) fn has_one_key(&self) -> bool {
        self.keys.len() == 1
    }

    /// The command, by the digest of its script or by its text.
    pub(super) fn command(&self, by_text: bool) -> Cmd {
        self.script.call(by_text, &self.keys, &self.arguments)
    }
}

impl Encoding {
    /// The call that reads all of these, which are of one consistency. There is at least one.
    pub(super) fn read<'a>(&self, reads: &'a [Read]) -> Call<'a> {
        let keys: Vec<_> = reads.iter().map(|it| self.key(it.key.as_str())).collect();
        let way = match reads[0].consistency {
            Consistency::Strong if self.confirms_reads => Way::ReadStrongly,
            Consistency::Eventual if self.reads_from_replicas => Way::ReadAnywhere,
            Consistency::Strong | Consistency::Eventual => Way::Read,
        };
        Call { script: &script::READ, slot: slot(&keys[0]), keys, arguments: Vec::new(), way }
    }

    /// The call that applies all the writes or none. There is at least one.
    ///
    /// # Errors
    ///
    /// If one of them has an ETag that this store could not have made.
    pub(super) fn write<'a>(&self, writes: &'a [Write]) -> Result<Call<'a>> {
        let keys: Vec<_> = writes.iter().map(|it| self.key(it.key.as_str())).collect();
        let mut arguments = Vec::with_capacity(4 * writes.len());
        for write in writes {
            self.push_arguments(write, &mut arguments)?;
        }
        let strongly = writes.iter().any(|it| it.consistency == Consistency::Strong);
        Ok(Call {
            script: &script::WRITE,
            slot: slot(&keys[0]),
            keys,
            arguments,
            way: if strongly { Way::WriteStrongly } else { Way::Write },
        })
    }

    /// The first two keys that a cluster has in different slots, if any, as they are stored.
    pub(super) fn apart(call: &Call<'_>) -> Option<(String, String)> {
        let other = call.keys.iter().find(|it| slot(it) != call.slot)?;
        Some((call.keys[0].to_string(), other.to_string()))
    }

    fn push_arguments<'a>(
        &self,
        write: &'a Write,
        arguments: &mut Vec<Cow<'a, [u8]>>,
    ) -> Result<()> {
        let condition = match &write.precondition {
            Precondition::Any => Cow::Borrowed(&b"*"[..]),
            Precondition::Absent => Cow::Borrowed(&b"-"[..]),
            // Not to be mistaken for one of the two above; no version has this form either.
            Precondition::Matches(etag) if !is_version(etag) => match write.change {
                // Differs from Dapr: it compares malformed ETags with `last-write` not at all.
                Change::Put { .. } => {
                    let message = "invalid etag value: a version in redis is a whole number";
                    return Err(Error::new(FailureKind::InvalidETag, message));
                }
                Change::Delete => Cow::Borrowed(&b"malformed"[..]),
            },
            Precondition::Matches(etag) => Cow::Borrowed(etag.as_str().as_bytes()),
        };
        let (what, lifetime, value) = match &write.change {
            Change::Delete => (&b"delete"[..], None, &b""[..]),
            Change::Put { value, format, ttl } => {
                let wanted = write.metadata.get("contentType");
                let is_json = self.has_json
                    && *format == Format::Json
                    && wanted.is_some_and(|it| json::is_json_type(it))
                    && json::REDIS_JSON.keeps(value);
                let what = if is_json { &b"json"[..] } else { &b"hash"[..] };
                let lifetime = match ttl {
                    Ttl::Unsaid => self.ttl,
                    Ttl::Never => None,
                    Ttl::After(it) => Some(*it),
                };
                (what, lifetime, &value[..])
            }
        };
        arguments.push(Cow::Borrowed(what));
        arguments.push(condition);
        arguments.push(match lifetime {
            None => Cow::Borrowed(&b""[..]),
            Some(it) => Cow::Owned(it.as_millis().to_string().into_bytes()),
        });
        arguments.push(Cow::Borrowed(value));
        Ok(())
    }

    /// The key as it is stored. No two keys are stored as the same.
    pub(super) fn key<'a>(&self, key: &'a str) -> Cow<'a, str> {
        match key.split_once(state::KEY_SEPARATOR) {
            Some((prefix, rest)) if self.tags_keys => {
                Cow::Owned(format!("{{{prefix}}}{}{rest}", state::KEY_SEPARATOR))
            }
            _ => Cow::Borrowed(key),
        }
    }

    /// The key that is stored as this, if there is one.
    pub(super) fn decode<'a>(&self, stored: &'a str) -> Option<Cow<'a, str>> {
        if !self.tags_keys {
            return Some(Cow::Borrowed(stored));
        }
        let Some((prefix, rest)) = stored.split_once(state::KEY_SEPARATOR) else {
            return Some(Cow::Borrowed(stored));
        };
        let prefix = prefix.strip_prefix('{')?.strip_suffix('}')?;
        Some(Cow::Owned(format!("{prefix}{}{rest}", state::KEY_SEPARATOR)))
    }
}

/// Whether an ETag could be a version: Dapr and this store make whole numbers.
fn is_version(etag: &ETag) -> bool {
    let text = etag.as_str();
    text.bytes().all(|it| it.is_ascii_digit()) && text.len() <= 19
}

#[cfg(test)]
mod tests {
    use super::*;

    const TAGGING: Encoding = Encoding {
        tags_keys: true,
        has_json: false,
        ttl: None,
        reads_from_replicas: false,
        confirms_reads: false,
    };

    #[test]
    fn tagged_keys_are_those_of_one_slot_and_are_read_back() {
        assert_eq!(TAGGING.key("cart||a"), "{cart}||a");
        assert_eq!(slot(&TAGGING.key("cart||a")), slot(&TAGGING.key("cart||b")));
        for key in ["cart||a", "a", "{x}||y", "||", "a||{b}", "a||b||c"] {
            let stored = TAGGING.key(key);
            assert_eq!(TAGGING.decode(&stored).as_deref(), Some(key));
        }
        assert_eq!(TAGGING.decode("cart||a"), None);
    }
}
