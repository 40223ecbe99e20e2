//! Says how far a verification has come.

use std::{
    sync::atomic::Ordering::Relaxed,
    time::{Duration, Instant},
};

use sidecar_verify::Watch;

/// How often a line on a terminal is replaced, and how often one is added elsewhere.
const ON_TERMINAL: Duration = Duration::from_millis(200);
const ELSEWHERE: Duration = Duration::from_secs(10);

/// Goes to the beginning of the line, and clears it. Source: ECMA-48, EL.
const CLEAR: &str = "\r\x1b[K";

/// Shows how far it has come, for as long as this is polled.
pub(crate) async fn show(watch: &Watch, duration: Duration) {
    let started = Instant::now();
    let every = if super::is_watched() { ON_TERMINAL } else { ELSEWHERE };
    loop {
        tokio::time::sleep(every).await;
        let progress = &watch.progress;
        let elapsed = started.elapsed().as_secs();
        // What comes after that takes as long as it takes.
        let planned = match elapsed < duration.as_secs() {
            true => format!(" of about {} s", duration.as_secs()),
            false => String::new(),
        };
        line(&format!(
            "{elapsed:>3} s{planned}  {}: {} operations, {} of {} cases, {} faults, {} unknown",
            watch.phase.lock(),
            progress.operations.load(Relaxed),
            watch.cases.load(Relaxed),
            watch.cases_total.load(Relaxed),
            watch.faults.load(Relaxed),
            progress.unknown.load(Relaxed),
        ));
    }
}

/// Shows one line, in the place of the last one on a terminal.
pub(crate) fn line(text: &str) {
    match super::is_watched() {
        true => anstream::eprint!("{CLEAR}{text}"),
        false => anstream::eprintln!("{text}"),
    }
}

/// Makes room for what is to stay.
pub(crate) fn end() {
    if super::is_watched() {
        anstream::eprint!("{CLEAR}");
    }
}
