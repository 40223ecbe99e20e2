//! Where a key is, and what a value looks like there: both of Dapr's versions.

use std::time::{Duration, SystemTime};

use bytes::Bytes;
use prost::Message;
use state::{ETag, Error, FailureKind, Key, Result};

use super::messages::{Envelope, KeyValue, Time};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Version {
    /// The bytes alone.
    V1,
    /// In an envelope, with the time at which they were written.
    V2,
}

#[derive(Debug)]
pub(super) struct Layout {
    pub(super) version: Version,
    /// What is before every key, with the slash that Dapr always has after it.
    pub(super) prefix: String,
}

impl Layout {
    pub(super) fn key(&self, key: &Key) -> Bytes {
        self.bytes(key.as_str())
    }

    pub(super) fn bytes(&self, key: &str) -> Bytes {
        [self.prefix.as_bytes(), key.as_bytes()].concat().into()
    }

    /// `None` if somebody has written a key there that is no text.
    pub(super) fn name(&self, key: &[u8]) -> Option<Key> {
        let key = key.strip_prefix(self.prefix.as_bytes())?;
        std::str::from_utf8(key).ok().map(Key::stored)
    }

    pub(super) fn encode(&self, value: &Bytes, ttl: Option<Duration>) -> Bytes {
        match self.version {
            Version::V1 => value.clone(),
            Version::V2 => {
                let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
                let envelope = Envelope {
                    data: value.clone(),
                    written: Some(time(now.unwrap_or_default())),
                    // There always, as in Dapr.
                    ttl: Some(time(ttl.unwrap_or_default())),
                };
                envelope.encode_to_vec().into()
            }
        }
    }

    /// The value, and when it expires, if that is in it.
    pub(super) fn decode(&self, kv: &KeyValue) -> Result<(Bytes, Option<SystemTime>)> {
        match self.version {
            Version::V1 => Ok((kv.value.clone(), None)),
            Version::V2 => {
                let envelope = Envelope::decode(kv.value.clone()).map_err(|_| {
                    let message = "what is stored is no value of version v2 of state.etcd: did version v1 write it? Give \
                                   each version a keyPrefixPath of its own";
                    Error::new(FailureKind::Corrupt, message)
                })?;
                Ok((envelope.data.clone(), envelope.expires_at()))
            }
        }
    }
}

impl Envelope {
    fn expires_at(&self) -> Option<SystemTime> {
        let (written, ttl) = (self.written?, self.ttl?);
        let ttl = duration(ttl).filter(|it| !it.is_zero())?;
        SystemTime::UNIX_EPOCH.checked_add(duration(written)?)?.checked_add(ttl)
    }
}

fn time(it: Duration) -> Time {
    Time {
        seconds: i64::try_from(it.as_secs()).unwrap_or(i64::MAX),
        nanos: i32::try_from(it.subsec_nanos()).expect("less than a billion"),
    }
}

/// `None` if it is negative.
fn duration(it: Time) -> Option<Duration> {
    Some(Duration::new(it.seconds.try_into().ok()?, it.nanos.try_into().ok()?))
}

/// What a version is called.
pub(super) fn etag(revision: i64) -> Option<ETag> {
    ETag::new(&revision.to_string())
}

/// The version that an ETag names; `None` if no value ever had it.
pub(super) fn revision(etag: &ETag) -> Option<i64> {
    let text = etag.as_str();
    let revision = text.parse().ok().filter(|it: &i64| *it > 0)?;
    // No other text means the same version.
    (revision.to_string() == text).then_some(revision)
}

/// The key after the last that begins with `prefix`; empty if there is none, so that everything does.
pub(super) fn end_of(prefix: &[u8]) -> Bytes {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last + 1);
            return end.into();
        }
    }
    // To the very end. Source: etcd, `RangeRequest.range_end`.
    Bytes::from_static(&[0])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_decimal_number_of_a_revision_is_an_etag() {
        assert_eq!(revision(&ETag::new("7").unwrap()), Some(7));
        for text in ["0", "-1", "+7", "07", "7 ", "bad-etag", "99999999999999999999"] {
            assert_eq!(revision(&ETag::new(text).unwrap()), None, "{text}");
        }
    }

    #[test]
    fn a_prefix_ends_before_the_next_one() {
        assert_eq!(&*end_of(b"/app"), b"/apq");
        assert_eq!(&*end_of(b"a\xff"), b"b");
        assert_eq!(&*end_of(b"\xff"), b"\0");
    }

    #[test]
    fn a_ttl_of_zero_is_none() {
        let layout = Layout { version: Version::V2, prefix: "/".to_owned() };
        let value = Bytes::from_static(b"1");
        let expires = |ttl| {
            let kv = KeyValue { value: layout.encode(&value, ttl), ..KeyValue::default() };
            layout.decode(&kv).unwrap().1
        };
        assert_eq!(expires(None), None);
        assert!(expires(Some(Duration::from_secs(9))) > Some(SystemTime::now()));
    }
}
