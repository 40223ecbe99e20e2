//! One value with its key, and the line of JSON that it is in a file.
//!
//! A value that is one JSON text on one line stands in `value` as it is, byte for byte; any other is in `base64`.
//! An export begins with a line about itself and ends with one that says how many values it has.

use std::{
    borrow::Cow,
    time::{Duration, SystemTime},
};

use anyhow::{Context, Result, ensure};
use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;
use state::{Change, Format, Item, Key, Precondition, Ttl, Write};

/// How far apart two expiry times may be and still count as the same: stores count in whole seconds, each rounding in
/// its own way.
const EXPIRY_TOLERANCE: Duration = Duration::from_secs(2);

/// A value with its key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    pub(super) key: Key,
    pub(super) value: Bytes,
    /// The version that it was; stores give it another one when it is saved.
    pub(super) etag: Option<String>,
    pub(super) expires_at: Option<SystemTime>,
}

/// The form of a record in a file.
#[derive(Debug, Default, Deserialize, Serialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
struct Line<'a> {
    #[serde(borrow)]
    key: Cow<'a, str>,
    #[serde(
        borrow,
        default,
        deserialize_with = "present",
        skip_serializing_if = "Option::is_none"
    )]
    value: Option<&'a RawValue>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    base64: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    etag: Option<Cow<'a, str>>,
    #[serde(borrow, default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<Cow<'a, str>>,
}

/// A line of an export that is no record.
#[derive(Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) enum Mark {
    Begin(Begin),
    End(End),
}

/// What an export is of.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Begin {
    /// The version of this form: 1.
    pub(super) form: u32,
    pub(super) component: String,
    #[serde(rename = "type")]
    pub(super) component_type: String,
    /// The application whose keys they are; `None` if they are as stored.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) app_id: Option<String>,
    pub(super) raw_keys: bool,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub(super) prefix: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) after: Option<String>,
}

#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
pub(super) struct End {
    pub(super) records: u64,
}

#[derive(Deserialize, Serialize)]
struct Marked {
    steadfast: Mark,
}

/// What a line of a file is.
#[derive(Debug)]
pub(super) enum Parsed {
    Record(Raw),
    Mark(Mark),
    /// Nothing but white space.
    Empty,
}

/// A record whose key has not been looked at.
#[derive(Debug)]
pub(super) struct Raw {
    pub(super) key: String,
    pub(super) value: Bytes,
    pub(super) etag: Option<String>,
    pub(super) expires_at: Option<SystemTime>,
}

impl Record {
    pub(super) fn new(key: Key, item: Item) -> Record {
        let etag = item.etag.map(|it| it.as_str().to_owned());
        Record { key, value: item.value, etag, expires_at: item.expires_at }
    }

    /// The record as one line, with its end.
    pub(super) fn line(&self) -> Vec<u8> {
        let as_json = json_line(&self.value);
        let line = Line {
            key: self.key.as_str().into(),
            value: as_json,
            base64: as_json.is_none().then(|| STANDARD.encode(&self.value).into()),
            etag: self.etag.as_deref().map(Cow::Borrowed),
            expires_at: self
                .expires_at
                .map(|it| humantime::format_rfc3339_millis(it).to_string().into()),
        };
        let mut bytes = serde_json::to_vec(&line).expect("all of it is text");
        bytes.push(b'\n');
        bytes
    }

    /// Whether it has expired.
    pub(super) fn is_expired(&self, now: SystemTime) -> bool {
        self.expires_at.is_some_and(|it| it <= now)
    }

    /// A write that saves it, for as long as it has left to live.
    pub(super) fn write(&self, precondition: Precondition, now: SystemTime) -> Write {
        let ttl = self.expires_at.map_or(Ttl::Never, |it| {
            // Stores round up, to whole seconds of their own; this rounds down.
            let left = it.duration_since(now).unwrap_or_default().as_secs();
            Ttl::After(Duration::from_secs(left.max(1)))
        });
        let change = Change::Put { value: self.value.clone(), format: format(&self.value), ttl };
        Write::new(self.key.clone(), change).when(precondition)
    }

    /// Whether an item is this value, with the same expiry. If the store is not exact, JSON texts that mean the same are.
    pub(super) fn is_same(&self, item: &Item, is_exact: bool) -> bool {
        let is_close = match (self.expires_at, item.expires_at) {
            (None, None) => true,
            (Some(one), Some(other)) => {
                let apart = one.duration_since(other).unwrap_or_else(|e| e.duration());
                apart <= EXPIRY_TOLERANCE
            }
            _ => false,
        };
        is_close && same_value(&self.value, &item.value, is_exact)
    }
}

impl Mark {
    /// The mark as one line, with its end.
    pub(super) fn line(self) -> Vec<u8> {
        let mut bytes = serde_json::to_vec(&Marked { steadfast: self }).expect("all of it is text");
        bytes.push(b'\n');
        bytes
    }
}

/// Understands a line, with or without its end.
///
/// # Errors
///
/// If it is neither a record nor a mark. The message has no value in it.
pub(super) fn parse(line: &[u8]) -> Result<Parsed> {
    let line = line.trim_ascii();
    if line.is_empty() {
        return Ok(Parsed::Empty);
    }
    if line.starts_with(b"{\"steadfast\"") {
        let marked: Marked = serde_json::from_slice(line)
            .context("this line is about the export, and cannot be understood")?;
        return Ok(Parsed::Mark(marked.steadfast));
    }
    // A list of its fields would pass for an object.
    ensure!(line[0] == b'{', "the line is no object, and so no record");
    let line: Line<'_> = serde_json::from_slice(line).map_err(|e| explain(&e))?;
    let value = match (line.value, &line.base64) {
        (Some(json), None) => Bytes::copy_from_slice(json.get().as_bytes()),
        (None, Some(text)) => {
            STANDARD.decode(text.as_bytes()).context("`base64` is not base64")?.into()
        }
        _ => anyhow::bail!("a record has either `value` or `base64`"),
    };
    let expires_at = line.expires_at.map(|it| {
        humantime::parse_rfc3339(&it)
            .context("`expiresAt` is no time such as 2026-01-31T12:00:00.000Z")
    });
    ensure!(!line.key.is_empty(), "`key` is empty");
    Ok(Parsed::Record(Raw {
        key: line.key.into_owned(),
        value,
        etag: line.etag.map(Cow::into_owned),
        expires_at: expires_at.transpose()?,
    }))
}

/// Says where a line is wrong without repeating what is there.
fn explain(e: &serde_json::Error) -> anyhow::Error {
    use serde_json::error::Category;
    let what = match e.classify() {
        Category::Eof => "the line ends too early",
        Category::Syntax => "the line is not JSON",
        Category::Data | Category::Io => {
            "the line is no record, which has `key`, `value` or `base64`, `etag`, `expiresAt`"
        }
    };
    anyhow::anyhow!("{what} (column {})", e.column())
}

/// Something that is there, also if it is `null`.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error> {
    <&RawValue>::deserialize(deserializer).map(Some)
}

/// The value as JSON that can stand in a line and come back as it is.
pub(super) fn json_line(value: &[u8]) -> Option<&RawValue> {
    let text = std::str::from_utf8(value).ok()?;
    if text.contains(['\n', '\r']) {
        return None;
    }
    let raw: &RawValue = serde_json::from_str(text).ok()?;
    // White space around it would be lost.
    (raw.get().len() == text.len()).then_some(raw)
}

/// What a value is to a store: JSON if it can be, as everything is that comes over HTTP.
pub(super) fn format(value: &[u8]) -> Format {
    let is_json = std::str::from_utf8(value).is_ok()
        && serde_json::from_slice::<serde::de::IgnoredAny>(value).is_ok();
    if is_json { Format::Json } else { Format::Opaque }
}

/// Whether two values are the same: to the byte, or in meaning where a store keeps no more.
pub(super) fn same_value(one: &[u8], other: &[u8], is_exact: bool) -> bool {
    if one == other {
        return true;
    }
    let meaning = |it: &[u8]| serde_json::from_slice::<serde_json::Value>(it).ok();
    !is_exact && meaning(one).is_some_and(|it| Some(it) == meaning(other))
}

#[cfg(test)]
mod tests;
