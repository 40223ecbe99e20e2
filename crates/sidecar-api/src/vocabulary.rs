//! Dapr's loose words to our strict ones. Shared by all fronts, so that they cannot disagree.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use state::{Consistency, ETag, Key, KeyError, Metadata, Precondition, Ttl};

use crate::ApiError;

/// The most items in one request. A transaction is bounded by its store, too.
pub(crate) const BULK_LEN_MAX: usize = 10_000;

/// How deep a JSON value may be nested.
///
/// Differs from Dapr: it has no such limit, though stores with JSON columns do.
pub(crate) const JSON_DEPTH_MAX: usize = 64;

/// What the metadata of a whole request may hold. Each of its items gets a copy, and there may be
/// [`BULK_LEN_MAX`] of them. Our own bound; the longest that is in use is a partition key.
const SHARED_METADATA_LEN_MAX: usize = 16;
const SHARED_METADATA_BYTES_MAX: usize = 4 << 10;

const TTL: &str = "ttlInSeconds";

/// The options of one operation, from wherever the wire had them; the first that is given wins.
#[derive(Clone, Debug, Default)]
pub(crate) struct Options<'a> {
    pub(crate) concurrency: Option<Cow<'a, str>>,
    pub(crate) consistency: Option<Cow<'a, str>>,
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

/// Makes a key of what the application sent for one.
pub(crate) fn key(text: &str, store: &str) -> Result<Key, ApiError> {
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

/// Refuses metadata that is too large to be copied for each item of a request.
pub(crate) fn check_shared(metadata: &Metadata) -> Result<(), ApiError> {
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
    let Some(text) = metadata.remove(TTL) else { return Ok(Ttl::Unsaid) };
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
pub(crate) fn is_shallow(json: &[u8]) -> bool {
    // A text this short cannot be deeper, and most are.
    if json.len() <= JSON_DEPTH_MAX {
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
