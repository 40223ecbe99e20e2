//! When requests are due: an open loop, which goes on whether answers come or not.
//!
//! A client that waits for an answer before it sends the next request asks less while the server is
//! slow, and so leaves out of its figures what users would have waited. Here a request is due at its
//! time, and its latency counts from then.

use std::{
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use anyhow::Context;
use tokio::sync::Semaphore;

/// So many requests per second.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    pub(crate) started: Instant,
    pub(crate) rate: f64,
    pub(crate) time: Duration,
}

impl Pace {
    /// When the n-th request of all clients is due; `None` if that would be after the end.
    pub(crate) fn due(&self, n: usize) -> Option<Instant> {
        let after = Duration::from_secs_f64(n as f64 / self.rate);
        (after < self.time).then(|| self.started + after)
    }

    pub(crate) fn is_over(&self) -> bool {
        self.started.elapsed() >= self.time
    }

    /// How many requests are due in all.
    pub(crate) fn turns(&self) -> u64 {
        (self.time.as_secs_f64() * self.rate).ceil() as u64
    }
}

/// Lets one request after the other go when it is due, with a precision of about 0.1 ms. It has a thread
/// of its own, because the runtime's clock has steps of 1 ms.
#[derive(Debug)]
pub(crate) struct Metronome(Arc<Semaphore>);

impl Metronome {
    /// Ends when it is dropped, or with the pace.
    pub(crate) fn start(pace: Pace) -> anyhow::Result<Metronome> {
        let beats = Arc::new(Semaphore::new(0));
        let listened_to = Arc::downgrade(&beats);
        let beat = move || {
            for due in (0..).map_while(|n| pace.due(n)) {
                sleep_until(due);
                let Some(beats) = listened_to.upgrade() else { return };
                beats.add_permits(1);
            }
        };
        thread::Builder::new().spawn(beat).context("cannot start a thread")?;
        Ok(Metronome(beats))
    }

    /// Waits for the next beat. Those who wait are served in their order.
    pub(crate) async fn beat(&self) -> anyhow::Result<()> {
        self.0.acquire().await?.forget();
        Ok(())
    }
}

#[expect(clippy::disallowed_methods, reason = "nothing else runs on this thread")]
fn sleep_until(at: Instant) {
    let after = at.saturating_duration_since(Instant::now());
    if !after.is_zero() {
        thread::sleep(after);
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

    #[test]
    fn a_metronome_is_never_early_and_has_a_beat_for_every_turn() {
        let beats = async {
            let started = Instant::now();
            let pace = Pace { started, rate: 5000.0, time: Duration::from_millis(2) };
            let metronome = Metronome::start(pace)?;
            for n in 0..pace.turns() as usize {
                metronome.beat().await?;
                assert!(Instant::now() >= pace.due(n).unwrap());
            }
            Ok(())
        };
        crate::load::block_on(beats).unwrap();
    }
}
