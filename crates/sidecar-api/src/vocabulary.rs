//! Dapr's loose words to our strict ones. Shared by all fronts, so that they cannot disagree.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::StatusCode;
use memchr::memchr2_iter;
use serde::de::IgnoredAny;
use state::{
    Change, Consistency, ETag, Format, Key, KeyError, Metadata, Precondition, Read, Ttl, Write,
};
use tonic::Code;

use crate::{ApiError, StoreHandle};

/// The most items in one request. A transaction is bounded by its store, too.
pub(crate) const BULK_LEN_MAX: usize = 10_000;

/// How deep a JSON value may be nested.
///
/// Differs from Dapr: it has no such limit, though stores with JSON columns do.
const JSON_DEPTH_MAX: usize = 64;

/// What the metadata of a whole request may hold. Each of its items gets a copy, and there may be
/// [`BULK_LEN_MAX`] of them. Our own bound; the longest that is in use is a partition key.
const SHARED_METADATA_LEN_MAX: usize = 16;
const SHARED_METADATA_BYTES_MAX: usize = 4 << 10;

const TTL: &str = "ttlInSeconds";
const CONTENT_TYPE: &str = "contentType";
const JSON: &str = "application/json";

/// What an operation of a transaction does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Operation {
    Upsert,
    Delete,
}

/// The options of one operation, from wherever the wire had them; the first that is given wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) concurrency: Option<Cow<'a, str>>,
    pub(crate) consistency: Option<Cow<'a, str>>,
}

/// A request about one key, in the words of the application.
#[derive(Clone, Debug, Default)]
pub(crate) struct Wish<'a> {
    pub(crate) key: &'a str,
    /// Empty for none.
    pub(crate) etag: &'a str,
    pub(crate) options: Options<'a>,
    pub(crate) metadata: Metadata,
}

/// Dapr's `concurrency` option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Concurrency {
    FirstWrite,
    LastWrite,
}

impl<'a> Options<'a> {
    /// These, and where they say nothing, `others`.
    pub(crate) fn or(self, others: &Options<'a>) -> Options<'a> {
        let given = |it: &Cow<'_, str>| !it.is_empty();
        Options {
            concurrency: self.concurrency.filter(given).or_else(|| others.concurrency.clone()),
            consistency: self.consistency.filter(given).or_else(|| others.consistency.clone()),
        }
    }

    /// Fails if one of them is a word that nobody knows.
    pub(crate) fn check(&self) -> Result<(), ApiError> {
        self.consistency()?;
        self.concurrency().map(drop)
    }

    pub(crate) fn consistency(&self) -> Result<Consistency, ApiError> {
        match self.consistency.as_deref().unwrap_or_default() {
            "" | "eventual" => Ok(Consistency::Eventual),
            "strong" => Ok(Consistency::Strong),
            other => Err(ApiError::malformed(format!("unrecognized consistency model '{other}'"))
                .hint("use strong or eventual")),
        }
    }

    /// An ETag is always honoured: `last-write` governs only what its absence means.
    ///
    /// Differs from Dapr: its Redis store drops an ETag that comes with `last-write`.
    pub(crate) fn precondition(&self, etag: &str) -> Result<Precondition, ApiError> {
        Ok(match (ETag::new(etag), self.concurrency()?) {
            (Some(etag), _) => Precondition::Matches(etag),
            (None, Concurrency::FirstWrite) => Precondition::Absent,
            (None, Concurrency::LastWrite) => Precondition::Any,
        })
    }

    fn concurrency(&self) -> Result<Concurrency, ApiError> {
        match self.concurrency.as_deref().unwrap_or_default() {
            "" | "last-write" => Ok(Concurrency::LastWrite),
            "first-write" => Ok(Concurrency::FirstWrite),
            other => Err(ApiError::malformed(format!("unrecognized concurrency model '{other}'"))
                .hint("use first-write or last-write")),
        }
    }
}

impl Wish<'_> {
    /// The same, to put `value`.
    pub(crate) fn put(
        self,
        store: &StoreHandle,
        value: Bytes,
        format: Format,
    ) -> Result<Write, ApiError> {
        if format == Format::Json && !is_shallow(&value) {
            return Err(ApiError::malformed(format!(
                "a value is nested deeper than {JSON_DEPTH_MAX} levels"
            ))
            .hint("divide the value, or save it as a JSON string"));
        }
        let (write, ttl) = self.delete_or_put(store)?;
        Ok(Write { change: Change::Put { value, format, ttl }, ..write })
    }

    /// The same, to delete.
    pub(crate) fn delete(self, store: &StoreHandle) -> Result<Write, ApiError> {
        Ok(self.delete_or_put(store)?.0)
    }

    /// The same, to read: an ETag and a time to live mean nothing then, but have to be well-formed.
    pub(crate) fn read(mut self, store: &StoreHandle) -> Result<Read, ApiError> {
        self.options.check()?;
        take_ttl(&mut self.metadata)?;
        let (key, consistency) = (store.key(self.key)?, self.options.consistency()?);
        Ok(Read { key, consistency, metadata: self.metadata })
    }

    /// A delete, and the time to live that it would have as a put.
    fn delete_or_put(mut self, store: &StoreHandle) -> Result<(Write, Ttl), ApiError> {
        self.options.check()?;
        let ttl = take_ttl(&mut self.metadata)?;
        let write = Write::delete(store.key(self.key)?).when(self.options.precondition(self.etag)?);
        let consistency = self.options.consistency()?;
        Ok((Write { consistency, metadata: self.metadata, ..write }, ttl))
    }
}

/// What a value is that comes as bytes: JSON if its metadata says so, and then it has to be.
pub(crate) fn format_of(value: &[u8], metadata: &Metadata) -> Result<Format, ApiError> {
    if metadata.get(CONTENT_TYPE).is_none_or(|it| it != JSON) {
        return Ok(Format::Opaque);
    }
    match serde_json::from_slice::<IgnoredAny>(value) {
        Ok(_) if std::str::from_utf8(value).is_ok() => Ok(Format::Json),
        Ok(_) => Err(not_json("invalid unicode code point")),
        Err(e) => Err(not_json(&e.to_string())),
    }
}

fn not_json(why: &str) -> ApiError {
    ApiError::malformed(format!("a value is not the JSON that its {CONTENT_TYPE} says: {why}"))
        .hint("leave contentType out to store the bytes as they are")
}

/// Makes a change of the name that an operation of a transaction has.
///
/// # Errors
///
/// If there is no such operation.
pub(crate) fn operation(name: &str) -> Result<Operation, ApiError> {
    match name {
        "upsert" => Ok(Operation::Upsert),
        "delete" => Ok(Operation::Delete),
        other => {
            let message = format!("operation type {other} not supported");
            let code = "ERR_NOT_SUPPORTED_STATE_OPERATION";
            Err(ApiError::new(StatusCode::BAD_REQUEST, code, message)
                .over_grpc(Code::Unimplemented)
                .hint("use upsert or delete"))
        }
    }
}

/// Refuses more items than one request may have.
pub(crate) fn check_len(len: usize) -> Result<(), ApiError> {
    if len <= BULK_LEN_MAX {
        return Ok(());
    }
    Err(ApiError::too_large(format!("{len} items in one request; the limit is {BULK_LEN_MAX}"))
        .hint("divide the request"))
}

/// The metadata of one item where `weaker` and `stronger` say something of it.
///
/// # Errors
///
/// If what does not count is wrong: whoever sent it meant something by it. What counts is looked at later.
pub(crate) fn merged(weaker: Metadata, stronger: &Metadata) -> Result<Metadata, ApiError> {
    let mut metadata = weaker;
    if stronger.contains_key(TTL) {
        take_ttl(&mut metadata)?;
    }
    metadata.extend(stronger.clone());
    Ok(metadata)
}

/// Makes a key of what the application sent for one.
///
/// # Errors
///
/// If it is none, in the words of the API.
pub fn key(text: &str, store: &str) -> Result<Key, ApiError> {
    Key::new(text).map_err(|e| match e {
        KeyError::Empty => ApiError::malformed("\"key\" is a required field")
            .hint("give every item a key of at least one character"),
        KeyError::Separator => ApiError::illegal_key(text, store),
        KeyError::ControlCharacter => {
            ApiError::malformed(format!("the key {text:?} contains a control character"))
                .hint("use keys without characters below U+0020")
        }
    })
}

/// Refuses metadata of a whole request that are wrong, whether or not there is an item for them, or too large to be copied
/// for each.
pub(crate) fn check_shared(metadata: &Metadata) -> Result<(), ApiError> {
    lifetime(metadata.get(TTL).map_or("", String::as_str))?;
    let bytes: usize = metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if metadata.len() <= SHARED_METADATA_LEN_MAX && bytes <= SHARED_METADATA_BYTES_MAX {
        return Ok(());
    }
    Err(ApiError::too_large(format!(
        "the metadata of a request takes {SHARED_METADATA_LEN_MAX} entries and \
         {SHARED_METADATA_BYTES_MAX} bytes at most"
    ))
    .hint("send only the names that the store knows"))
}

/// Takes `ttlInSeconds` out of `metadata`. Zero or less is "never"; an empty text says nothing.
pub(crate) fn take_ttl(metadata: &mut Metadata) -> Result<Ttl, ApiError> {
    metadata.remove(TTL).map_or(Ok(Ttl::Unsaid), |it| lifetime(&it))
}

fn lifetime(text: &str) -> Result<Ttl, ApiError> {
    if text.is_empty() {
        return Ok(Ttl::Unsaid);
    }
    // 2^31-1 is Dapr's limit, too.
    match text.parse::<i64>() {
        Ok(seconds) if seconds <= 0 => Ok(Ttl::Never),
        Ok(seconds) if seconds <= i64::from(i32::MAX) => {
            Ok(Ttl::After(Duration::from_secs(seconds.unsigned_abs())))
        }
        _ => Err(ApiError::malformed(format!("incorrect value for metadata '{TTL}': {text:?}"))
            .hint("use a whole number of seconds up to 2147483647; 0 or less means no expiry")),
    }
}

/// The response metadata of a value that expires.
pub(crate) fn expiry(expires_at: Option<SystemTime>) -> Option<(&'static str, String)> {
    let time = humantime::format_rfc3339_seconds(expires_at?);
    Some(("ttlExpireTime", time.to_string()))
}

/// Whether `json`, a valid JSON text, is nested no deeper than [`JSON_DEPTH_MAX`].
fn is_shallow(json: &[u8]) -> bool {
    // A text that opens no more than this cannot be deeper, and most do not.
    if memchr2_iter(b'[', b'{', json).nth(JSON_DEPTH_MAX).is_none() {
        return true;
    }
    let (mut depth, mut in_string, mut escaped) = (0_usize, false, false);
    for byte in json {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            _ if in_string => {}
            b'[' | b'{' => {
                depth += 1;
                if depth > JSON_DEPTH_MAX {
                    return false;
                }
            }
            b']' | b'}' => depth -= 1,
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests;
