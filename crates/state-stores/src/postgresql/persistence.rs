//! Trying again what was certainly not applied, and what it means that time is over.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use state::{Error, FailureKind, Result};
use tokio::time::{sleep, timeout};

use super::refusal::{Intent, Trouble};

/// How far a request has come, for whoever gives up waiting for it.
#[derive(Debug, Default)]
pub(super) struct Stage {
    sent: AtomicBool,
    /// Why the last try came to nothing.
    trouble: Mutex<Option<(FailureKind, String)>>,
}

/// Tries that are left.
#[derive(Debug, Default)]
pub(super) struct Persistence {
    tries: u32,
}

/// Others are in the way, and will not be for long.
const CONTENDED_MAX: u32 = 12;

/// Whoever cannot be reached for a third of a second may not be for long.
const ELSEWHERE_MAX: u32 = 4;

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

impl Stage {
    /// From here on it may be applied.
    pub(super) fn sends(&self) {
        self.sent.store(true, Relaxed);
    }

    /// It was certainly not applied, because of this.
    pub(super) fn starts_again(&self, trouble: &Trouble) {
        if let Trouble::NotNow(Error::Failure(e))
        | Trouble::NotHere(Error::Failure(e))
        | Trouble::Locked(Error::Failure(e)) = trouble
        {
            *self.trouble.lock() = Some((e.kind(), e.to_string()));
        }
        self.sent.store(false, Relaxed);
    }

    /// Waits for `work` no longer than `limit`.
    pub(super) async fn bounded<T>(
        &self,
        limit: Duration,
        intent: Intent,
        server: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let silence = format!("{server} gave no answer within {limit:?}");
            let (kind, message) = match (self.sent.load(Relaxed), intent) {
                (true, Intent::Write) => (FailureKind::Lost, silence),
                (true, Intent::Read) => (FailureKind::Unavailable, silence),
                (false, _) => self.trouble.lock().take().unwrap_or_else(|| {
                    let message = format!("{server} had no connection to spare for {limit:?}");
                    (FailureKind::Unavailable, message)
                }),
            };
            Err(Error::new(kind, message))
        })
    }
}

impl Persistence {
    /// Waits until it is worth another try.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(super) async fn endures(&mut self, trouble: Trouble) -> Result<()> {
        let max = match trouble {
            Trouble::NotNow(_) | Trouble::Locked(_) => CONTENDED_MAX,
            Trouble::NotHere(_) => ELSEWHERE_MAX,
            Trouble::Final(_) => 0,
        };
        if self.tries >= max {
            return Err(trouble.error());
        }
        let pause = PAUSE_MIN.saturating_mul(1 << self.tries.min(16)).min(PAUSE_MAX);
        self.tries += 1;
        // Those who were in each other's way must not meet again.
        sleep(pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        Ok(())
    }
}
