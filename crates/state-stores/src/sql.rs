//! What the SQL stores share: pieces of the contract, not a framework.

use std::{fmt, time::Duration};

use state::{Error, FailureKind, Result};
use state_config::GoDuration;

/// The name of a table, safe to stand unquoted in a statement: `[A-Za-z_][A-Za-z0-9_]{0,62}`.
///
/// 63 bytes is PostgreSQL's limit, the smallest of the databases' own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Identifier(String);

impl Identifier {
    /// Returns `None` if `text` is anything else.
    pub(crate) fn new(text: &str) -> Option<Identifier> {
        let starts = text.starts_with(|it: char| it.is_ascii_alphabetic() || it == '_');
        let word = text.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
        (starts && word && text.len() <= 63).then(|| Identifier(text.to_owned()))
    }
}

impl fmt::Display for Identifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The name of a table, with a schema before it or without, safe to stand unquoted in a statement.
#[cfg(feature = "postgresql")]
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub(crate) schema: Option<Identifier>,
    pub(crate) table: Identifier,
}

#[cfg(feature = "postgresql")]
impl TableName {
    /// Returns `None` if `text` is anything else.
    pub(crate) fn new(text: &str) -> Option<TableName> {
        let (schema, table) = match text.split_once('.') {
            Some((schema, table)) => (Some(Identifier::new(schema)?), table),
            None => (None, text),
        };
        Some(TableName { schema, table: Identifier::new(table)? })
    }
}

#[cfg(feature = "postgresql")]
impl fmt::Display for TableName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.schema {
            Some(schema) => write!(f, "{schema}.{}", self.table),
            None => self.table.fmt(f),
        }
    }
}

/// The table that a metadata field names.
#[cfg(any(feature = "mysql", feature = "sqlite"))]
pub(crate) fn identifier(field: &str, text: Option<String>, default: &str) -> Result<Identifier> {
    let text = text.filter(|it| !it.is_empty());
    Identifier::new(text.as_deref().unwrap_or(default)).ok_or_else(|| {
        invalid(format!(
            "{field} must be letters, digits and underscores, and not begin with a digit"
        ))
    })
}

/// How often expired rows are removed; `None` for never, which zero and less mean, as in Dapr.
pub(crate) fn interval(field: Option<GoDuration>, default: Duration) -> Option<Duration> {
    field.map_or(Some(default), GoDuration::to_duration).filter(|it| !it.is_zero())
}

/// A duration that may be zero.
#[cfg(any(feature = "postgresql", feature = "sqlite"))]
pub(crate) fn positive(field: &str, it: GoDuration) -> Result<Duration> {
    it.to_duration().ok_or_else(|| invalid(format!("{field} must not be negative")))
}

/// A mistake in a component file.
pub(crate) fn invalid(message: String) -> Error {
    Error::new(FailureKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_a_plain_word_is_an_identifier() {
        assert_eq!(Identifier::new("state_2").unwrap().to_string(), "state_2");
        for text in ["", "2state", "state;--", "a b", "a.b", "\"a\"", "é", &"a".repeat(64)] {
            assert_eq!(Identifier::new(text), None, "{text:?}");
        }
    }
}
