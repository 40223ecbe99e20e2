//! Which of two views is the newer one, where every change of servers has a number.

use std::time::Duration;

use tokio::time::Instant;

/// The number of the newest election that was believed in.
#[derive(Debug, Default)]
pub(super) struct Election {
    epoch: u64,
    /// Since when nobody knows of it any more.
    doubted_since: Option<Instant>,
}

/// After how long a lower number is believed: servers that were set up anew begin to count again, while one that was cut
/// off from the others, and knows of no newer election, is together with them again by then.
const DOUBT: Duration = Duration::from_secs(5);

impl Election {
    /// Whether a view with this number is to be believed.
    pub(super) fn admits(&mut self, epoch: u64) -> bool {
        if epoch < self.epoch {
            let doubted_since = *self.doubted_since.get_or_insert_with(Instant::now);
            if doubted_since.elapsed() < DOUBT {
                return false;
            }
        }
        *self = Election { epoch, doubted_since: None };
        true
    }

    /// Whether this number is lower than what is believed in.
    pub(super) fn is_newer_than(&self, epoch: u64) -> bool {
        epoch < self.epoch
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn an_older_election_is_believed_when_nobody_has_known_of_a_newer_one_for_long() {
        let mut election = Election::default();
        assert!(election.admits(7) && election.admits(7));
        assert!(!election.admits(3));
        tokio::time::advance(DOUBT / 2).await;
        assert!(!election.admits(3));
        // The newer one is still there.
        assert!(election.admits(7));
        tokio::time::advance(DOUBT).await;
        assert!(!election.admits(3));
        tokio::time::advance(DOUBT).await;
        assert!(election.admits(3));
        assert!(election.admits(4));
    }
}
