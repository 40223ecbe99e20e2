//! Work that many ask for at the same time and that is to be done once for all of them.

use std::time::Duration;

use parking_lot::Mutex as Lock;
use tokio::{sync::Mutex, time::Instant};
use tracing::warn;

/// Lets those who ask while the work is being done wait for it, and those who have waited go.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    /// When it was last done.
    done: Mutex<Option<Instant>>,
}

/// For how long the work counts as done: a hundred failing requests must not do it a hundred times.
const FRESH_FOR: Duration = Duration::from_millis(100);

impl Renewal {
    /// Does the work, unless somebody has just done it.
    pub(super) async fn run(&self, work: impl Future<Output = ()>) {
        let mut done = self.done.lock().await;
        if done.is_none_or(|it| it.elapsed() >= FRESH_FOR) {
            work.await;
            *done = Some(Instant::now());
        }
    }

    /// Does the work in any case, because of something that may have come after it was done.
    pub(super) async fn run_anew(&self, work: impl Future<Output = ()>) {
        let mut done = self.done.lock().await;
        work.await;
        *done = Some(Instant::now());
    }
}

/// What goes wrong again and again, and is told once.
#[derive(Debug, Default)]
pub(super) struct Trouble {
    last: Lock<Option<String>>,
}

impl Trouble {
    /// Warns of an error that is not the last one, too.
    pub(super) fn note(&self, error: Option<&String>, what: &str) {
        let mut last = self.last.lock();
        if *last != error.cloned() {
            if let Some(error) = error {
                warn!(error, "{what}");
            }
            *last = error.cloned();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering::SeqCst};

    use futures::future::join_all;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn those_who_ask_together_share_one_turn_and_later_ones_have_their_own() {
        let (renewal, done) = (Renewal::default(), AtomicU32::new(0));
        let ask = || {
            renewal.run(async {
                tokio::task::yield_now().await;
                done.fetch_add(1, SeqCst);
            })
        };
        join_all((0..10).map(|_| ask())).await;
        assert_eq!(done.load(SeqCst), 1);
        tokio::time::advance(FRESH_FOR).await;
        ask().await;
        assert_eq!(done.load(SeqCst), 2);
    }
}
