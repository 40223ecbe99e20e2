//! What `run` prints of its own: status lines, and the log of the sidecar.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::json;

/// The style of the word "error".
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

const SIDECAR: Style = AnsiColor::Green.on_default();

/// What stands before each line of the sidecar's log.
pub(crate) const SIDECAR_PREFIX: &str = "== STEADFAST == ";

/// Prints status lines, as text or as JSON.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Console {
    pub(crate) json: bool,
}

/// What a status line is about. The words are those of Dapr's CLI, for tools that look for them.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Mark {
    Success,
    Failure,
    Warning,
    Info,
}

impl Console {
    pub(crate) fn say(self, mark: Mark, message: &str) {
        let (name, sign) = match mark {
            Mark::Success => ("success", "✅  "),
            Mark::Failure => ("failure", "❌  "),
            Mark::Warning => ("warning", "⚠  "),
            Mark::Info => ("info", "ℹ️  "),
        };
        if self.json {
            anstream::println!("{}", json!({ "status": name, "msg": message }));
        } else {
            anstream::println!("{sign}{message}");
        }
    }
}

/// Puts a prefix before everything that is written at once, as one record of a log is.
#[derive(Debug)]
pub(crate) struct PrefixedStdout;

impl Write for PrefixedStdout {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        let mut out = anstream::stdout().lock();
        write!(out, "{SIDECAR}{}{SIDECAR:#} ", SIDECAR_PREFIX.trim_end())?;
        out.write_all(record)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
