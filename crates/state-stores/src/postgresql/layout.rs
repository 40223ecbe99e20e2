//! The two layouts of Dapr's tables: what the columns are called, and how values get in and out.

use std::{
    error,
    time::{Duration, UNIX_EPOCH},
};

use bytes::{Bytes, BytesMut};
use state::{Change, ETag, Error, FailureKind, Format, Item, Key, Result, Write};
use tokio_postgres::{
    Row,
    types::{IsNull, ToSql, Type, to_sql_checked},
};
use uuid::Uuid;

use crate::{base64, json::JsonType, sql::TableName};

/// What the columns are called, and how values get in and out.
#[derive(Debug)]
pub(super) struct Columns {
    pub(super) version: u8,
    /// Whether `tablePrefix` and not `tableName` says what the table is called.
    pub(super) has_prefix: bool,
    pub(super) expires: &'static str,
    pub(super) updated: &'static str,
    /// What names a version.
    pub(super) etag: &'static str,
    pub(super) etag_type: &'static str,
    /// The column beside the value that a write fills as well: the ETag, or whether the value is in base64.
    pub(super) mark: &'static str,
    pub(super) mark_type: Type,
    /// Around a parameter that is a value.
    pub(super) value_cast: &'static str,
    pub(super) value_type: Type,
    pub(super) value_as_text: &'static str,
    pub(super) is_base64: &'static str,
}

/// `state.postgresql` v1: JSON in a `jsonb` column, and PostgreSQL's own version of a row as ETag.
pub(super) static V1: Columns = Columns {
    version: 1,
    has_prefix: false,
    expires: "expiredate",
    updated: "updatedate",
    etag: "xmin",
    etag_type: "xid",
    mark: "isbinary",
    mark_type: Type::BOOL,
    value_cast: "::jsonb",
    value_type: Type::TEXT,
    value_as_text: "value::text",
    is_base64: "isbinary",
};

/// `state.postgresql` v2: bytes, and a UUID of ours as ETag.
pub(super) static V2: Columns = Columns {
    version: 2,
    has_prefix: true,
    expires: "expires_at",
    updated: "updated_at",
    etag: "etag",
    etag_type: "uuid",
    mark: "etag",
    mark_type: Type::UUID,
    value_cast: "",
    value_type: Type::BYTEA,
    value_as_text: "value",
    is_base64: "false",
};

/// What `jsonb` keeps: numbers as decimals of any length, but without an exponent and without a sign on zero, and no
/// zero in strings. A thousand digits are far fewer than it takes, and far more than anybody writes.
const JSONB: JsonType = JsonType { depth_max: 500, keeps_number: jsonb_keeps, keeps_zero: false };

const DIGITS_MAX: usize = 1000;

/// Tables, and how they are used.
#[derive(Debug)]
pub(super) struct Layout {
    pub(super) columns: &'static Columns,
    pub(super) state: TableName,
    pub(super) metadata: TableName,
    /// What the user has the table begin with.
    pub(super) prefix: String,
}

/// A value and its mark, as the table has them.
pub(super) struct Encoded {
    pub(super) value: Value,
    pub(super) mark: Mark,
}

#[derive(Debug)]
pub(super) enum Value {
    Bytes(Bytea),
    Text(String),
}

/// Bytes as the driver takes them.
#[derive(Debug)]
pub(super) struct Bytea(pub(super) Bytes);

#[derive(Clone, Copy, Debug)]
pub(super) enum Mark {
    ETag(Uuid),
    IsBinary(bool),
}

/// An ETag that the table may have.
#[derive(Debug)]
pub(super) enum Expected {
    Uuid(Uuid),
    /// A transaction's number.
    Xid(String),
}

impl Layout {
    /// A value as the table is to have it.
    pub(super) fn encode(&self, value: &Bytes, format: Format) -> Encoded {
        if self.columns.version == 2 {
            return Encoded {
                value: Value::Bytes(Bytea(value.clone())),
                mark: Mark::ETag(Uuid::new_v4()),
            };
        }
        let text = match format {
            Format::Json if JSONB.keeps(value) => std::str::from_utf8(value).ok(),
            Format::Json | Format::Opaque => None,
        };
        Encoded {
            mark: Mark::IsBinary(text.is_none()),
            value: Value::Text(text.map_or_else(|| base64::json_string(value), str::to_owned)),
        }
    }

    /// What holds a place for a moment.
    pub(super) fn placeholder(&self) -> Encoded {
        self.encode(&Bytes::from_static(b"null"), Format::Json)
    }

    /// What a write has to find.
    ///
    /// # Errors
    ///
    /// In v1, if it is no number of a transaction. `None` in v2, where any other text is an ETag that no row has.
    pub(super) fn expected(&self, etag: &ETag) -> Result<Option<Expected>> {
        let text = etag.as_str();
        if self.columns.version == 2 {
            return Ok(Uuid::parse_str(text).ok().map(Expected::Uuid));
        }
        match text.parse::<u32>() {
            Ok(_) => Ok(Some(Expected::Xid(text.to_owned()))),
            Err(_) => Err(Error::new(
                FailureKind::InvalidETag,
                "invalid etag value: an ETag of this store is the number of a transaction, from 0 to 4294967295",
            )),
        }
    }

    /// A row that was read.
    pub(super) fn item(&self, row: &Row) -> Result<(Key, Item)> {
        let column = |e: tokio_postgres::Error| {
            let message = format!("a row of the table {} is not as it should be", self.state);
            Error::new(FailureKind::Corrupt, message).with_source(e)
        };
        let key: &str = row.try_get(0).map_err(column)?;
        let value = match self.columns.version {
            2 => Bytes::copy_from_slice(row.try_get(1).map_err(column)?),
            _ => {
                let text: &str = row.try_get(1).map_err(column)?;
                match row.try_get(2).map_err(column)? {
                    false => Bytes::copy_from_slice(text.as_bytes()),
                    true => base64::of_json_string(text).ok_or_else(|| {
                        let message =
                            format!("the table {} has a value that is not base64", self.state);
                        Error::new(FailureKind::Corrupt, message)
                    })?,
                }
            }
        };
        let etag: &str = row.try_get(3).map_err(column)?;
        let expires_ms: Option<i64> = row.try_get(4).map_err(column)?;
        let since_epoch = expires_ms.and_then(|it| u64::try_from(it).ok());
        let expires_at = since_epoch.map(|it| UNIX_EPOCH + Duration::from_millis(it));
        Ok((Key::stored(key), Item { value, etag: ETag::new(etag), expires_at }))
    }
}

/// The value, its mark and its lifetime in seconds, of a write that is a put.
pub(super) fn parts(layout: &Layout, write: &Write) -> Option<(Encoded, Option<f64>)> {
    let Change::Put { value, format, ttl } = &write.change else { return None };
    Some((layout.encode(value, *format), ttl.duration().map(|it| it.as_secs_f64())))
}

fn jsonb_keeps(number: &str) -> bool {
    let is_plain = !number.contains(['e', 'E']) && number.len() <= DIGITS_MAX;
    let is_zero = number.bytes().all(|it| matches!(it, b'-' | b'0' | b'.'));
    is_plain && !(is_zero && number.starts_with('-'))
}

impl Encoded {
    /// The values of several, and their marks, as columns.
    pub(super) fn columns(
        all: &[Encoded],
    ) -> (Box<dyn ToSql + Sync + Send + '_>, Box<dyn ToSql + Sync + Send + '_>) {
        let bytes: Vec<&[u8]> = all.iter().filter_map(|it| it.value.bytes()).collect();
        let texts: Vec<&str> = all.iter().filter_map(|it| it.value.text()).collect();
        let etags = |it: &Encoded| match it.mark {
            Mark::ETag(it) => Some(it),
            Mark::IsBinary(_) => None,
        };
        let flags = |it: &Encoded| match it.mark {
            Mark::ETag(_) => None,
            Mark::IsBinary(it) => Some(it),
        };
        match texts.is_empty() {
            true => (Box::new(bytes), Box::new(all.iter().filter_map(etags).collect::<Vec<_>>())),
            false => (Box::new(texts), Box::new(all.iter().filter_map(flags).collect::<Vec<_>>())),
        }
    }
}

impl Value {
    fn bytes(&self) -> Option<&[u8]> {
        match self {
            Value::Bytes(Bytea(it)) => Some(it),
            Value::Text(_) => None,
        }
    }

    fn text(&self) -> Option<&str> {
        match self {
            Value::Bytes(_) => None,
            Value::Text(it) => Some(it),
        }
    }

    pub(super) fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Value::Bytes(it) => it,
            Value::Text(it) => it,
        }
    }
}

impl ToSql for Bytea {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut BytesMut,
    ) -> Result<IsNull, Box<dyn error::Error + Sync + Send>> {
        (&*self.0).to_sql(of, out)
    }

    fn accepts(of: &Type) -> bool {
        *of == Type::BYTEA
    }

    to_sql_checked!();
}

impl Mark {
    pub(super) fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Mark::ETag(it) => it,
            Mark::IsBinary(it) => it,
        }
    }
}

impl Expected {
    pub(super) fn parameter(&self) -> &(dyn ToSql + Sync) {
        match self {
            Expected::Uuid(it) => it,
            Expected::Xid(it) => it,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jsonb_keeps_every_digit_of_a_plain_number() {
        for kept in ["0", "-1.10", "9007199254740993", "123456789012345678901234567890.5", "0.0"] {
            assert!(JSONB.keeps(kept.as_bytes()), "{kept}");
        }
        for lost in ["1e3", "-0", "-0.00", "1E400", r#""\u0000""#, r#""\ud800""#, &"9".repeat(1001)]
        {
            assert!(!JSONB.keeps(lost.as_bytes()), "{lost}");
        }
    }
}
