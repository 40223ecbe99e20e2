//! Work that many ask for at the same time and that is to be done once for all of them.

use std::sync::atomic::{AtomicU64, Ordering::SeqCst};

use tokio::sync::Mutex;

/// Lets those who ask while the work is being done wait for it, and those who have waited go.
#[derive(Debug, Default)]
pub(super) struct Renewal {
    turns: AtomicU64,
    turn: Mutex<()>,
}

impl Renewal {
    /// Does the work, or waits until somebody else has begun and done it.
    pub(super) async fn run(&self, work: impl Future<Output = ()>) {
        let seen = self.turns.load(SeqCst);
        let _turn = self.turn.lock().await;
        // One that was under way before may have missed what this caller has seen, but the next is soon
        // asked for by whoever still sees it.
        if self.turns.load(SeqCst) != seen {
            return;
        }
        work.await;
        self.turns.fetch_add(1, SeqCst);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use futures::future::join_all;

    use super::*;

    #[tokio::test]
    async fn those_who_ask_together_share_one_turn_and_the_next_has_its_own() {
        let (renewal, done) = (Renewal::default(), AtomicU32::new(0));
        let ask = || {
            renewal.run(async {
                tokio::task::yield_now().await;
                done.fetch_add(1, SeqCst);
            })
        };
        join_all((0..10).map(|_| ask())).await;
        assert_eq!(done.load(SeqCst), 1);
        ask().await;
        assert_eq!(done.load(SeqCst), 2);
    }
}
