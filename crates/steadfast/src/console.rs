//! What `run` prints: status lines of its own, and the lines of the application.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde_json::json;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

/// The style of the word "error".
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();

const APP: Style = AnsiColor::Cyan.on_default();
const SIDECAR: Style = AnsiColor::Green.on_default();

/// What stands before each line of the sidecar's log.
pub(crate) const SIDECAR_PREFIX: &str = "== STEADFAST == ";

/// A longer line is printed in pieces, so that no application can fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 10;

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

/// Copies what the application prints, each line with its name before it.
pub(crate) async fn copy_lines(app_id: &str, from: impl AsyncRead + Unpin, to_stderr: bool) {
    let mut from = BufReader::new(from);
    let mut line = Vec::new();
    loop {
        line.clear();
        let read = (&mut from).take(LINE_BYTES_MAX).read_until(b'\n', &mut line).await;
        if !matches!(read, Ok(len) if len > 0) {
            return;
        }
        if line.last() != Some(&b'\n') {
            line.push(b'\n');
        }
        let printed = match to_stderr {
            true => print_line(&mut anstream::stderr().lock(), app_id, &line),
            false => print_line(&mut anstream::stdout().lock(), app_id, &line),
        };
        if printed.is_err() {
            // Nobody reads us any more; the application must not be stopped by that.
            return;
        }
    }
}

fn print_line(out: &mut impl Write, app_id: &str, line: &[u8]) -> io::Result<()> {
    write!(out, "{APP}== APP - {app_id} =={APP:#} ")?;
    out.write_all(line)?;
    out.flush()
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
