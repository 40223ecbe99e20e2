//! What came of the requests.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;

use super::{RECOVERY_MAX, WINDOWS};

#[derive(Debug)]
pub(super) struct Record {
    pub(super) started: Instant,
    /// How long a window is.
    pub(super) window: Duration,
    pub(super) windows: Vec<Window>,
    /// For how long after the store was back requests failed, at most.
    pub(super) recovery_ms: f64,
    /// The first request that failed though the store was there.
    pub(super) problem: Option<String>,
    store: StoreIs,
}

#[derive(Debug)]
pub(super) struct Window {
    /// Microseconds from when a request was due to its good answer.
    latencies_us: Histogram<u64>,
    pub(super) failed: u64,
}

#[derive(Clone, Copy, Debug)]
enum StoreIs {
    Away,
    Back(Option<Instant>),
}

impl Record {
    pub(super) fn new(started: Instant, window: Duration) -> Record {
        let windows = (0..WINDOWS).map(|_| Window::new()).collect();
        let store = StoreIs::Back(None);
        Record { started, window, windows, recovery_ms: 0.0, problem: None, store }
    }

    pub(super) fn store_is_away(&mut self) {
        self.store = StoreIs::Away;
    }

    pub(super) fn store_is_back(&mut self) {
        self.store = StoreIs::Back(Some(Instant::now()));
    }

    /// Adds a request that was due, and what came of it.
    pub(super) fn add(&mut self, due: Instant, ended: Instant, answer: anyhow::Result<()>) {
        let window = ((due - self.started).as_secs_f64() / self.window.as_secs_f64()) as usize;
        let last = self.windows.len() - 1;
        let window = &mut self.windows[window.min(last)];
        match answer {
            Ok(()) => window.latencies_us.saturating_record((ended - due).as_micros() as u64),
            Err(e) => {
                window.failed += 1;
                self.fail(ended, &e);
            }
        }
    }

    fn fail(&mut self, ended: Instant, error: &anyhow::Error) {
        let StoreIs::Back(since) = self.store else { return };
        let after = since.map(|since| ended.saturating_duration_since(since));
        match after {
            Some(after) if after <= RECOVERY_MAX => {
                self.recovery_ms = self.recovery_ms.max(after.as_secs_f64() * 1e3);
            }
            _ => {
                self.problem.get_or_insert_with(|| {
                    let minutes = (ended - self.started).as_secs_f64() / 60.0;
                    format!("a request failed while the store was there, after {minutes:.2} minutes: {error:#}")
                });
            }
        }
    }

    /// How many requests there were.
    pub(super) fn requests(&self) -> u64 {
        self.windows.iter().map(|it| it.answered() + it.failed).sum()
    }
}

impl Window {
    fn new() -> Window {
        const MINUTE_US: u64 = 60_000_000;
        let latencies_us = Histogram::new_with_bounds(1, MINUTE_US, 3).expect("these are bounds");
        Window { latencies_us, failed: 0 }
    }

    pub(super) fn answered(&self) -> u64 {
        self.latencies_us.len()
    }

    pub(super) fn percentile_ms(&self, percent: f64) -> f64 {
        self.latencies_us.value_at_percentile(percent) as f64 / 1e3
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WINDOW: Duration = Duration::from_secs(600);

    #[test]
    fn a_request_counts_where_it_was_due_and_from_then() {
        let started = Instant::now();
        let mut record = Record::new(started, WINDOW);
        let due = started + WINDOW + Duration::from_secs(1);
        record.add(due, due + Duration::from_millis(40), Ok(()));
        assert_eq!((record.windows[0].answered(), record.windows[1].answered()), (0, 1));
        assert!((record.windows[1].percentile_ms(99.0) - 40.0).abs() < 0.1);
    }

    #[test]
    fn a_request_may_fail_only_while_the_store_is_away_and_shortly_after() {
        let started = Instant::now();
        let mut record = Record::new(started, WINDOW);
        let fail = |record: &mut Record, after| {
            let now = Instant::now();
            record.add(now, now + after, Err(anyhow::anyhow!("no")));
        };
        record.store_is_away();
        fail(&mut record, Duration::ZERO);
        record.store_is_back();
        fail(&mut record, Duration::from_millis(300));
        assert!(record.problem.is_none() && (300.0..10_000.0).contains(&record.recovery_ms));
        fail(&mut record, RECOVERY_MAX * 2);
        assert!(record.problem.is_some());
        assert_eq!(record.requests(), 3);
    }
}
