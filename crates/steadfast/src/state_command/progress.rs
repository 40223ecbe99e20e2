//! Says on a terminal how far it has come.

use std::{
    io::{self, IsTerminal},
    time::{Duration, Instant},
};

use crate::verify::progress;

/// How often the line is replaced.
const EVERY: Duration = Duration::from_millis(200);

/// What is shown while values pass by.
#[derive(Debug)]
pub(super) struct Progress {
    started: Instant,
    shown: Option<Instant>,
    values: u64,
    bytes: u64,
}

impl Progress {
    pub(super) fn start() -> Progress {
        Progress { started: Instant::now(), shown: None, values: 0, bytes: 0 }
    }

    /// Counts values that have passed, and shows it if it is time.
    pub(super) fn add(&mut self, values: usize, bytes: usize) {
        self.values += values as u64;
        self.bytes += bytes as u64;
        let is_time = self.shown.is_none_or(|it| it.elapsed() >= EVERY);
        if !io::stderr().is_terminal() || !is_time {
            return;
        }
        self.shown = Some(Instant::now());
        let elapsed = self.started.elapsed().as_secs_f64().max(0.001);
        progress::line(&format!(
            "{} values, {:.1} MiB, {:.0} values/s",
            self.values,
            self.bytes as f64 / f64::from(1 << 20),
            self.values as f64 / elapsed
        ));
    }
}

/// Makes room for a line that is to stay.
pub(super) fn clear() {
    progress::end();
}
