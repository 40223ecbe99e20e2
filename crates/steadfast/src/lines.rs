//! Where lines go: to the console, each with the name of who wrote it before it, into a file, or both.

use std::{
    fs::File,
    io::{self, Write},
    sync::{Arc, Mutex, PoisonError},
};

use anstream::{AutoStream, ColorChoice, adapter::strip_bytes};
use anstyle::{AnsiColor, Style};
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};

const APP: Style = AnsiColor::Cyan.on_default();
const SIDECAR: Style = AnsiColor::Green.on_default();

/// A longer line is printed in pieces, so that no application can fill the memory.
const LINE_BYTES_MAX: u64 = 64 << 10;

/// Where somebody's lines go.
#[derive(Clone, Debug)]
pub(crate) struct Lines {
    style: Style,
    prefix: String,
    console: bool,
    file: Option<Arc<Mutex<File>>>,
}

impl Lines {
    /// The lines of an application, on the console.
    pub(crate) fn of_app(app_id: &str) -> Lines {
        Lines { style: APP, prefix: format!("== APP - {app_id} =="), console: true, file: None }
    }

    /// The log of the sidecar of one application among several.
    pub(crate) fn of_sidecar(app_id: &str) -> Lines {
        let prefix = format!("== STEADFAST - {app_id} ==");
        Lines { style: SIDECAR, prefix, console: true, file: None }
    }

    /// The same lines elsewhere.
    pub(crate) fn to(self, console: bool, file: Option<File>) -> Lines {
        Lines { console, file: file.map(|it| Arc::new(Mutex::new(it))), ..self }
    }

    /// The same lines, as they are.
    pub(crate) fn bare(self) -> Lines {
        Lines { prefix: String::new(), ..self }
    }

    /// Copies what an application prints until it ends.
    pub(crate) async fn copy(self, from: impl AsyncRead + Unpin, to_stderr: bool) {
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
            if self.print(&line, to_stderr).is_err() && self.file.is_none() {
                // Nobody reads us any more; the application must not be stopped by that.
                return;
            }
        }
    }

    fn print(&self, line: &[u8], to_stderr: bool) -> io::Result<()> {
        if let Some(file) = &self.file {
            // A file that is full is no reason to stop an application, and who looks at it sees where it ends.
            let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
            let _ = file.write_all(&strip_bytes(line).into_vec());
        }
        if !self.console {
            return Ok(());
        }
        let mut text = Vec::with_capacity(line.len() + self.prefix.len() + 16);
        if !self.prefix.is_empty() {
            write!(text, "{}{}{:#} ", self.style, self.prefix, self.style)?;
        }
        text.extend_from_slice(line);
        // All at once: other processes may print to the same place.
        match to_stderr {
            true => put(io::stderr().lock(), AutoStream::choice(&io::stderr()), &text),
            false => put(io::stdout().lock(), AutoStream::choice(&io::stdout()), &text),
        }
    }
}

fn put(mut out: impl Write, choice: ColorChoice, text: &[u8]) -> io::Result<()> {
    match choice {
        ColorChoice::Never => out.write_all(&strip_bytes(text).into_vec())?,
        ColorChoice::Auto | ColorChoice::AlwaysAnsi | ColorChoice::Always => out.write_all(text)?,
    }
    out.flush()
}

/// What is written at once is one record of a log.
impl Write for Lines {
    fn write(&mut self, record: &[u8]) -> io::Result<usize> {
        self.print(record, false)?;
        Ok(record.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        io::stdout().flush()
    }
}
