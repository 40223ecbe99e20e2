//! Values as rows have them: JSON as text, anything else as a JSON string of base64. Source: Dapr's layout.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use mysql_async::{Row, Value};
use state::{Change, ETag, Error, FailureKind, Format, Item, Key, Result, Write};
use uuid::Uuid;

use crate::{base64, json::JsonType};

/// What MariaDB takes as JSON, whose text it keeps. Source: JSON_VALID goes 31 levels deep, and refuses half of a
/// surrogate pair.
pub(super) const MARIADB_JSON: JsonType =
    JsonType { depth_max: 31, keeps_number: |_| true, keeps_zero: true };

/// What the JSON type of MySQL keeps. Source: whole numbers are of 64 bits, others doubles; 100 levels.
pub(super) const MYSQL_JSON: JsonType =
    JsonType { depth_max: 100, keeps_number: number_survives, keeps_zero: true };

fn number_survives(text: &str) -> bool {
    if text.bytes().all(|it| it.is_ascii_digit() || it == b'-') {
        return text != "-0" && (text.parse::<i64>().is_ok() || text.parse::<u64>().is_ok());
    }
    let Ok(double) = text.parse::<f64>() else { return false };
    double.is_finite() && format!("{double:?}") == text
}

/// A row to be written.
#[derive(Clone, Debug)]
pub(super) struct NewRow {
    pub(super) key: String,
    value: Vec<u8>,
    is_binary: bool,
    pub(super) etag: String,
    ttl_s: Option<u64>,
}

impl NewRow {
    /// `None` for a delete. As `json` keeps it, or in binary form.
    pub(super) fn new(write: &Write, json: Option<&JsonType>) -> Option<NewRow> {
        let Change::Put { value, format, ttl } = &write.change else { return None };
        let is_text = *format == Format::Json
            && json.is_some_and(|it| std::str::from_utf8(value).is_ok() && it.keeps(value));
        let text = match is_text {
            true => value.to_vec(),
            false => base64::json_string(value).into_bytes(),
        };
        Some(NewRow {
            key: write.key.as_str().to_owned(),
            value: text,
            is_binary: !is_text,
            etag: Uuid::new_v4().to_string(),
            // Rounded up to the whole second in which it ends.
            ttl_s: ttl.duration().map(|it| it.as_secs().saturating_add(1)),
        })
    }

    /// One that is there for a moment, so that its key is locked.
    pub(super) fn placeholder(key: &Key) -> NewRow {
        let etag = Uuid::new_v4().to_string();
        let key = key.as_str().to_owned();
        NewRow { key, value: b"null".to_vec(), is_binary: false, etag, ttl_s: None }
    }

    pub(super) fn bytes(&self) -> usize {
        self.value.len() + self.key.len()
    }

    /// In the order of an insert.
    pub(super) fn parameters(&self) -> Vec<Value> {
        let [value, is_binary, etag, ttl] = self.changed();
        vec![self.key.as_str().into(), value, is_binary, etag, ttl]
    }

    /// In the order of an insert, with the lifetime once more, for when the row is there already.
    pub(super) fn parameters_twice(&self) -> Vec<Value> {
        let mut parameters = self.parameters();
        parameters.push(self.ttl_s.into());
        parameters
    }

    /// Whether it is to be gone some day.
    pub(super) fn expires(&self) -> bool {
        self.ttl_s.is_some()
    }

    /// In the order of an update, without the key.
    pub(super) fn changed(&self) -> [Value; 4] {
        let value = Value::Bytes(self.value.clone());
        [value, self.is_binary.into(), self.etag.as_str().into(), self.ttl_s.into()]
    }
}

/// The key of a row, and what it holds.
pub(super) fn item(row: Row) -> Result<(String, Item)> {
    let corrupt = || Error::new(FailureKind::Corrupt, "mysql holds a row of another form");
    let (key, value, is_binary, etag, expires_s) =
        mysql_async::from_row_opt::<(String, Vec<u8>, bool, String, Option<i64>)>(row)
            .map_err(|_| corrupt())?;
    let value = match is_binary {
        false => Bytes::from(value),
        true => {
            let text = std::str::from_utf8(&value).ok();
            text.and_then(base64::of_json_string).ok_or_else(|| {
                Error::new(FailureKind::Corrupt, "mysql holds a value that is not base64")
            })?
        }
    };
    let since_epoch = expires_s.and_then(|it| u64::try_from(it).ok());
    let expires_at = since_epoch.map(|it| UNIX_EPOCH + Duration::from_secs(it));
    Ok((key, Item { value, etag: ETag::new(&etag), expires_at }))
}
