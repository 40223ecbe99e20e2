use std::time::Duration;

use state_config::{Pauses, Retry};
use tokio::time::Instant;

/// Dapr's constants. Source: cenkalti/backoff `NewExponentialBackOff`.
const FIRST: Duration = Duration::from_millis(500);
const GROWTH: f64 = 1.5;
const JITTER: f64 = 0.5;
const IN_ALL: Duration = Duration::from_secs(15 * 60);

/// The pauses of one operation.
#[derive(Debug)]
pub(super) struct Schedule {
    pauses: Pauses,
    left: Option<u32>,
    interval: Duration,
    started: Instant,
}

impl Schedule {
    pub(super) fn new(retry: &Retry) -> Schedule {
        Schedule { pauses: retry.pauses, left: retry.max, interval: FIRST, started: Instant::now() }
    }

    /// How long to wait before the next attempt; `None` if there is to be none.
    pub(super) fn next(&mut self) -> Option<Duration> {
        self.left = match self.left {
            Some(left) => Some(left.checked_sub(1)?),
            None => None,
        };
        match self.pauses {
            Pauses::Constant(pause) => Some(pause),
            Pauses::Exponential { max } => {
                let interval = self.interval.min(max);
                self.interval = interval.mul_f64(GROWTH).min(max);
                let pause = interval.mul_f64(1.0 - JITTER + 2.0 * JITTER * fastrand::f64());
                (self.started.elapsed() + pause <= IN_ALL).then_some(pause)
            }
        }
    }
}
