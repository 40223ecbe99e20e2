//! Fields of a template as flags of the sidecar.

use std::ffi::{OsStr, OsString};

use clap::Parser;
use state_config::{Setting, Value};

use crate::cli::{Cli, Command};

/// A flag with its value, in one word.
pub(super) fn joined(name: &str, value: impl AsRef<OsStr>) -> OsString {
    let mut flag = OsString::from(format!("--{name}="));
    flag.push(value);
    flag
}

/// The flag for a field; `None` if the field is empty.
pub(super) fn flag(name: &str, setting: &Setting) -> Option<OsString> {
    match &setting.value {
        Value::Switch(it) => Some(joined(name, it.to_string())),
        Value::Text(_) => setting.text().map(|it| joined(name, it)),
        Value::List(_) | Value::Variables(_) => None,
    }
}

/// Reads the flag as the sidecar will; returns what there is to say of it.
///
/// # Errors
///
/// If the sidecar would not take it.
pub(super) fn check(name: &str, setting: &Setting) -> Result<Option<&'static str>, String> {
    let Some(flag) = flag(name, setting) else { return Ok(None) };
    let parsed = Cli::try_parse_from([OsStr::new("steadfast"), OsStr::new("run"), &flag]);
    let command = parsed.map_err(|e| said(&e.to_string(), name))?.command;
    let Command::Run(args) = command else { return Ok(None) };
    Ok(args.sidecar.accepted.given().first().map(|it| match it.missed {
        true => "has no effect yet",
        false => "means nothing to a sidecar for state",
    }))
}

/// What is wrong with the value, without the words about a command line that nobody has written.
fn said(error: &str, name: &str) -> String {
    let lines = error.lines().map(str::trim);
    let lines: Vec<_> = lines.take_while(|it| !it.starts_with(['U', 'F'])).collect();
    let text = lines.join(" ");
    let text = text.trim().trim_start_matches("error: ");
    // "invalid value 'x' for '--name <VALUE>': not a port": the field is named already, and so is its line.
    let reason = text.split_once(&format!("for '--{name}")).map(|(_, it)| it);
    match reason.and_then(|it| it.split_once('\'')).map(|(_, it)| it.trim_start_matches([':', ' ']))
    {
        Some(reason) if !reason.is_empty() => reason.to_owned(),
        Some(_) | None => text.to_owned(),
    }
}
