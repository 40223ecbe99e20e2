//! When requests are due: an open loop, which goes on whether answers come or not.

use std::time::{Duration, Instant};

/// So many requests per second.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) started: Instant,
    pub(super) rate: f64,
    pub(super) time: Duration,
}

impl Pace {
    /// When the n-th request of all clients is due; `None` if that would be after the end.
    pub(super) fn due(&self, n: usize) -> Option<Instant> {
        let after = Duration::from_secs_f64(n as f64 / self.rate);
        (after < self.time).then(|| self.started + after)
    }

    pub(super) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.time
    }

    /// How many requests are due in all.
    pub(super) fn turns(&self) -> u64 {
        (self.time.as_secs_f64() * self.rate).ceil() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_due_one_after_the_other_until_the_end() {
        let started = Instant::now();
        let pace = Pace { started, rate: 4.0, time: Duration::from_secs(2) };
        assert_eq!(pace.due(0), Some(started));
        assert_eq!(pace.due(6), Some(started + Duration::from_millis(1500)));
        assert_eq!(pace.turns(), 8);
        assert!(pace.due(7).is_some() && pace.due(8).is_none());
    }
}
