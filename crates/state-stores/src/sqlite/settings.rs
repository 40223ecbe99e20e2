//! A component's metadata for `state.sqlite`, with Dapr's names and defaults.

use std::{
    path::{self, PathBuf},
    time::Duration,
};

use serde::Deserialize;
use state::Result;
use state_config::{GoDuration, Properties};
use tracing::warn;
use uuid::Uuid;

use crate::sql::{Identifier, identifier, interval, invalid, positive};

/// As the component file has them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    #[serde(rename = "connectionstring", alias = "url")]
    connection_string: Option<String>,
    #[serde(alias = "timeoutinseconds")]
    timeout: Option<GoDuration>,
    #[serde(rename = "busytimeout")]
    busy_timeout: Option<GoDuration>,
    #[serde(default, rename = "disablewal")]
    disable_wal: bool,
    #[serde(rename = "tablename")]
    table_name: Option<String>,
    #[serde(rename = "metadatatablename")]
    metadata_table_name: Option<String>,
    #[serde(rename = "cleanupinterval", alias = "cleanupintervalinseconds")]
    cleanup_interval: Option<GoDuration>,
}

/// Checked and ready to open.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) target: Target,
    /// How long a request may take before its outcome counts as unknown.
    pub(super) timeout: Duration,
    /// How long to wait for another process to release the file.
    pub(super) busy_timeout: Duration,
    pub(super) state_table: Identifier,
    pub(super) metadata_table: Identifier,
    /// How often expired rows are removed; `None` for never.
    pub(super) cleanup_interval: Option<Duration>,
}

/// What to open, and how.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Target {
    /// What SQLite is given: a path, or a `file:` URI.
    pub(super) name: String,
    /// What people call it in messages.
    pub(super) label: String,
    pub(super) kind: Kind,
    /// `name(value)` of each `_pragma` parameter, in the form that Dapr's driver takes.
    pub(super) pragmas: Vec<(String, String)>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Lives as long as the process.
    Memory,
    /// A file that may not be written.
    ReadOnlyFile,
    /// A file with a rollback journal.
    JournalFile,
    /// A file with a write-ahead log.
    WalFile,
}

/// 20 s and 2 s are Dapr's defaults.
const TIMEOUT: Duration = Duration::from_secs(20);
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Differs from Dapr: its default is never, and the file grows for ever.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(60);

impl Settings {
    pub(super) fn parse(properties: &Properties) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| {
            let place = e.line().map_or_else(String::new, |it| format!(" (line {it})"));
            invalid(format!("{e}{place}"))
        })?;
        for unknown in properties.unknown::<Fields>() {
            warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field");
        }
        let connection_string =
            fields.connection_string.filter(|it| !it.trim().is_empty()).ok_or_else(|| {
                invalid(
                    "missing connection string: add the metadata field connectionString with the \
                     path of the database file"
                        .to_owned(),
                )
            })?;
        let timeout = fields.timeout.map_or(Ok(TIMEOUT), |it| positive("timeout", it))?;
        if timeout < Duration::from_secs(1) {
            return Err(invalid("timeout must be at least 1s".to_owned()));
        }
        let busy_timeout =
            fields.busy_timeout.map_or(Ok(BUSY_TIMEOUT), |it| positive("busyTimeout", it))?;
        Ok(Settings {
            target: Target::parse(connection_string.trim(), fields.disable_wal)?,
            timeout,
            busy_timeout,
            state_table: identifier("tableName", fields.table_name, "state")?,
            metadata_table: identifier(
                "metadataTableName",
                fields.metadata_table_name,
                "metadata",
            )?,
            cleanup_interval: interval(fields.cleanup_interval, CLEANUP_INTERVAL),
        })
    }
}

impl Target {
    fn parse(text: &str, disable_wal: bool) -> Result<Target> {
        let file_kind = if disable_wal { Kind::JournalFile } else { Kind::WalFile };
        if text == ":memory:" {
            return Ok(Target::memory());
        }
        if !text.starts_with("file:") {
            return Ok(Target::new(text.to_owned(), text, file_kind));
        }
        let (path, query) = text.split_once('?').unwrap_or((text, ""));
        let mut kind = file_kind;
        let mut kept = Vec::new();
        let mut pragmas = Vec::new();
        for parameter in query.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            match (name, value) {
                ("mode", "memory") => return Ok(Target::memory()),
                ("mode", "ro") | ("immutable", "1") => kind = Kind::ReadOnlyFile,
                ("_pragma", _) => pragmas.push(pragma(value)?),
                // `_txlock` and `_time_format` are for Dapr's driver, and what they ask for is
                // how this store works; the cache is ours to choose.
                ("_txlock" | "_time_format" | "cache", _) => continue,
                _ => {}
            }
            if name != "_pragma" {
                kept.push(parameter);
            }
        }
        let path_only = path.trim_start_matches("file:");
        if path_only == ":memory:" || path_only.is_empty() {
            return Ok(Target::memory());
        }
        let query = if kept.is_empty() { String::new() } else { format!("?{}", kept.join("&")) };
        Ok(Target { pragmas, ..Target::new(format!("{path}{query}"), path_only, kind) })
    }

    fn new(name: String, path: &str, kind: Kind) -> Target {
        let path = path.strip_prefix("//").unwrap_or(path);
        // Errors show the whole path: a relative one is of no use to who does not know from where.
        let absolute = path::absolute(path).unwrap_or_else(|_| PathBuf::from(path));
        Target { name, label: absolute.display().to_string(), kind, pragmas: Vec::new() }
    }

    /// A database of its own that all connections of this store see.
    ///
    /// `memdb` and not a shared cache: a shared cache locks whole tables, and its readers fail
    /// where others wait. Source: sqlite.org/src/file/src/memdb.c.
    fn memory() -> Target {
        let name = format!("file:/steadfast-{}?vfs=memdb", Uuid::new_v4());
        Target { label: ":memory:".to_owned(), ..Target::new(name, "", Kind::Memory) }
    }

    /// The database file, where there is one.
    pub(super) fn path(&self) -> Option<PathBuf> {
        (self.kind != Kind::Memory).then(|| PathBuf::from(&self.label))
    }
}

/// Takes `name(value)` or `name=value` apart.
fn pragma(text: &str) -> Result<(String, String)> {
    let (name, value) = text
        .trim_end_matches(')')
        .split_once(['(', '='])
        .ok_or_else(|| invalid(format!("_pragma={text} is not of the form name(value)")))?;
    let word =
        |it: &str| !it.is_empty() && it.bytes().all(|it| it.is_ascii_alphanumeric() || it == b'_');
    if !word(name) || !word(value.trim_start_matches('-')) {
        return Err(invalid(format!("_pragma={text} is not of the form name(value)")));
    }
    let managed =
        ["busy_timeout", "journal_mode", "foreign_keys", "synchronous", "wal_autocheckpoint"];
    if managed.contains(&name) {
        let message = format!(
            "the connection string may not set the pragma {name}: use the metadata fields \
             busyTimeout and disableWAL"
        );
        return Err(invalid(message));
    }
    Ok((name.to_owned(), value.to_owned()))
}

#[cfg(test)]
mod tests;
