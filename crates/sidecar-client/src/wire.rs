//! The bodies and URLs of Dapr's state API over HTTP, from the client's side.

use std::{collections::HashMap, fmt::Write as _, time::SystemTime};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use state::{
    Change, Consistency, ETag, Error, FailureKind, Item, Metadata, Precondition, Read, Result, Ttl,
    Write, Written,
};

/// Everything but what never has a meaning in a URL. The full stop has one: `..` is a path.
const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'~');

const TTL: &str = "ttlInSeconds";

/// An item of a save, or the `request` of an operation.
#[derive(Debug, Serialize)]
struct Sent<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
    options: Options,
}

#[derive(Debug, Serialize)]
struct Options {
    #[serde(skip_serializing_if = "Option::is_none")]
    concurrency: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    consistency: Option<&'static str>,
}

#[derive(Debug, Serialize)]
struct Transaction<'a> {
    operations: Vec<Operation<'a>>,
}

#[derive(Debug, Serialize)]
struct Operation<'a> {
    operation: &'static str,
    request: Sent<'a>,
}

#[derive(Debug, Serialize)]
struct Wanted<'a> {
    keys: Vec<&'a str>,
    #[serde(skip_serializing_if = "Metadata::is_empty")]
    metadata: Metadata,
}

/// One entry of the answer to a bulk get.
#[derive(Debug, Deserialize)]
struct Entry<'a> {
    #[serde(default)]
    key: String,
    #[serde(borrow)]
    data: Option<&'a RawValue>,
    encoding: Option<String>,
    etag: Option<String>,
    #[serde(default)]
    metadata: Metadata,
    error: Option<String>,
}

/// One entry of the answer to a write that asked for its representation.
#[derive(Debug, Deserialize)]
struct New {
    etag: Option<String>,
}

/// The body that saves all of `writes`.
///
/// # Errors
///
/// If one of them is a delete, or puts what is not JSON.
pub(crate) fn save(writes: &[Write]) -> Result<Vec<u8>> {
    Ok(encode(&writes.iter().map(sent).collect::<Result<Vec<_>>>()?))
}

pub(crate) fn transaction(writes: &[Write]) -> Result<Vec<u8>> {
    let operation = |write| {
        let operation = if is_delete(write) { "delete" } else { "upsert" };
        Ok(Operation { operation, request: sent(write)? })
    };
    Ok(encode(&Transaction { operations: writes.iter().map(operation).collect::<Result<_>>()? }))
}

/// The body that reads the keys of `reads`, which have the same options.
pub(crate) fn get_many(reads: &[Read]) -> Vec<u8> {
    let metadata = reads.first().map(|it| it.metadata.clone()).unwrap_or_default();
    encode(&Wanted { keys: reads.iter().map(|it| it.key.as_str()).collect(), metadata })
}

pub(crate) fn is_delete(write: &Write) -> bool {
    matches!(write.change, Change::Delete)
}

fn encode(body: &impl Serialize) -> Vec<u8> {
    serde_json::to_vec(body).expect("strings and valid JSON only")
}

fn sent(write: &Write) -> Result<Sent<'_>> {
    let mut metadata = write.metadata.clone();
    let value = match &write.change {
        Change::Delete => None,
        Change::Put { value, ttl, .. } => {
            metadata.extend(lifetime(*ttl));
            Some(json(value)?)
        }
    };
    let (etag, concurrency) = match &write.precondition {
        Precondition::Any => (None, None),
        Precondition::Absent => (None, Some("first-write")),
        Precondition::Matches(etag) => (Some(etag.as_str()), None),
    };
    let options = Options { concurrency, consistency: consistency(write.consistency) };
    Ok(Sent { key: write.key.as_str(), value, etag, metadata, options })
}

/// The entry of the metadata that says how long a value lives.
pub(crate) fn lifetime(ttl: Ttl) -> Option<(String, String)> {
    let seconds = match ttl {
        Ttl::Unsaid => return None,
        Ttl::Never => "-1".to_owned(),
        // The API counts whole seconds, and a value lives no less than it was given.
        Ttl::After(ttl) => {
            let seconds = ttl.as_secs() + u64::from(ttl.subsec_nanos() > 0);
            seconds.max(1).to_string()
        }
    };
    Some((TTL.to_owned(), seconds))
}

/// The value as it stands in a body. White space around it would be lost there, so it may have
/// none.
fn json(value: &[u8]) -> Result<&RawValue> {
    let json: Option<&RawValue> = serde_json::from_slice(value).ok();
    json.filter(|it| it.get().len() == value.len())
        .ok_or_else(|| Error::new(FailureKind::Invalid, "HTTP carries JSON values only"))
}

/// The name of an option, where it is not the default.
pub(crate) fn consistency(it: Consistency) -> Option<&'static str> {
    match it {
        Consistency::Eventual => None,
        Consistency::Strong => Some("strong"),
    }
}

/// `text` as a piece of a URL.
pub(crate) fn piece(text: &str) -> impl std::fmt::Display + '_ {
    utf8_percent_encode(text, ENCODED)
}

/// A query string, or nothing if it would be empty.
pub(crate) fn query(
    concurrency: Option<&str>,
    consistency: Option<&str>,
    metadata: &Metadata,
) -> String {
    let mut query = String::new();
    let mut add = |name: &str, value: &str| {
        let separator = if query.is_empty() { '?' } else { '&' };
        let _ = write!(query, "{separator}{}={}", piece(name), piece(value));
    };
    concurrency.into_iter().for_each(|it| add("concurrency", it));
    consistency.into_iter().for_each(|it| add("consistency", it));
    for (name, value) in metadata {
        add(&format!("metadata.{name}"), value);
    }
    query
}

/// What to send as `If-Match`. Quotes where the text alone would be read as something else.
///
/// Dapr takes quotes for a part of the ETag; none that it issues needs any.
pub(crate) fn if_match(etag: &ETag) -> String {
    let text = etag.as_str();
    let is_plain = text.trim() == text && !text.starts_with('"') && text != "*";
    if is_plain { text.to_owned() } else { format!("\"{text}\"") }
}

/// When a value expires, as the API tells it.
pub(crate) fn expiry(text: &str) -> Option<SystemTime> {
    humantime::parse_rfc3339(text).ok()
}

/// The new versions of `len` writes. An answer without a body tells none.
pub(crate) fn written(body: &[u8], len: usize) -> Vec<Written> {
    let told: Vec<New> = serde_json::from_slice(body).unwrap_or_default();
    let mut etags: Vec<_> = told.into_iter().map(|it| it.etag).collect();
    etags.resize(len, None);
    let etag = |it: Option<String>| it.as_deref().and_then(ETag::new);
    etags.into_iter().map(|it| Written { etag: etag(it) }).collect()
}

/// The answers to `reads`. They are looked up by key: Dapr's SQL stores answer in any order, and
/// twice the same only once.
pub(crate) fn found(body: &[u8], reads: &[Read]) -> Vec<Result<Option<Item>>> {
    let entries: Vec<Entry<'_>> = match serde_json::from_slice(body) {
        Ok(entries) => entries,
        Err(e) => {
            let message = format!("the answer to a bulk get cannot be understood: {e}");
            return reads.iter().map(|_| Err(lost(message.clone()))).collect();
        }
    };
    let by_key: HashMap<_, _> = entries.iter().map(|it| (it.key.as_str(), it)).collect();
    let answer = |read: &Read| match by_key.get(read.key.as_str()) {
        Some(entry) => entry.item(),
        None => Err(lost("the answer to a bulk get lacks a key".to_owned())),
    };
    reads.iter().map(answer).collect()
}

/// One failure, as that of every request that went with it.
pub(crate) fn for_each_of<T>(len: usize, e: &Error) -> Vec<Result<T>> {
    let kind = match e {
        Error::Failure(it) => it.kind(),
        Error::Conflict(it) => return (0..len).map(|_| Err(it.clone().into())).collect(),
    };
    (0..len).map(|_| Err(Error::new(kind, e.to_string()))).collect()
}

impl Entry<'_> {
    fn item(&self) -> Result<Option<Item>> {
        if let Some(message) = &self.error {
            return Err(lost(message.clone()));
        }
        let Some(data) = self.data else { return Ok(None) };
        Ok(Some(Item {
            value: self.value(data)?,
            etag: self.etag.as_deref().and_then(ETag::new),
            expires_at: self.metadata.get("ttlExpireTime").and_then(|it| expiry(it)),
        }))
    }

    fn value(&self, data: &RawValue) -> Result<Bytes> {
        match self.encoding.as_deref() {
            None => Ok(Bytes::copy_from_slice(data.get().as_bytes())),
            Some("base64") => {
                let text: Option<String> = serde_json::from_str(data.get()).ok();
                let value = text.and_then(|it| STANDARD.decode(it).ok());
                value.map(Bytes::from).ok_or_else(|| lost("a value is not base64".to_owned()))
            }
            Some(other) => Err(lost(format!("a value has the unknown encoding {other}"))),
        }
    }
}

fn lost(message: String) -> Error {
    Error::new(FailureKind::Lost, message)
}

#[cfg(test)]
mod tests;
