//! Trying again what was certainly not applied, and what it means that time is over.

use std::{
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    time::Duration,
};

use parking_lot::Mutex;
use state::{Error, FailureKind, Result};
use tokio::time::{Instant, sleep, timeout};

use super::refusal::{Intent, Trouble};

/// How far a request has come, for whoever gives up waiting for it.
#[derive(Debug, Default)]
pub(super) struct Stage {
    sent: AtomicBool,
    /// Why the last try came to nothing.
    trouble: Mutex<Option<(FailureKind, String)>>,
}

/// How much longer it is tried.
#[derive(Debug)]
pub(super) struct Persistence {
    until: Instant,
    pause: Duration,
}

const PAUSE_MIN: Duration = Duration::from_millis(20);
const PAUSE_MAX: Duration = Duration::from_millis(500);

/// The part of the time-out in which it is tried again: longer than it takes to elect another leader, if the time-out is.
const PATIENCE: f64 = 0.6;

impl Stage {
    /// From here on it may be applied.
    pub(super) fn sends(&self) {
        self.sent.store(true, Relaxed);
    }

    /// It was certainly not applied.
    pub(super) fn starts_again(&self) {
        self.sent.store(false, Relaxed);
    }

    fn remembers(&self, e: &Error) {
        if let Error::Failure(it) = e {
            *self.trouble.lock() = Some((it.kind(), it.to_string()));
        }
    }

    /// Waits for `work` no longer than `limit`.
    pub(super) async fn bounded<T>(
        &self,
        limit: Duration,
        server: &str,
        work: impl Future<Output = Result<T>>,
    ) -> Result<T> {
        timeout(limit, work).await.unwrap_or_else(|_| {
            let silence = format!("{server} gave no answer within {limit:?}");
            if self.sent.load(Relaxed) {
                return Err(Error::new(FailureKind::Lost, silence));
            }
            let (kind, message) =
                self.trouble.lock().take().unwrap_or((FailureKind::Unavailable, silence));
            Err(Error::new(kind, message))
        })
    }
}

impl Persistence {
    pub(super) fn new(timeout: Duration) -> Persistence {
        Persistence { until: Instant::now() + timeout.mul_f64(PATIENCE), pause: PAUSE_MIN }
    }

    /// Waits until it is worth another try.
    ///
    /// # Errors
    ///
    /// If it is not.
    pub(super) async fn endures(&mut self, trouble: Trouble, stage: &Stage) -> Result<()> {
        let is_final = matches!(trouble, Trouble::Final(_));
        let error = trouble.error();
        if is_final || Instant::now() >= self.until {
            return Err(error);
        }
        stage.starts_again();
        stage.remembers(&error);
        // Those who were turned away together must not come back together.
        sleep(self.pause.mul_f64(0.5 + fastrand::f64() / 2.0)).await;
        self.pause = (self.pause * 2).min(PAUSE_MAX);
        Ok(())
    }
}

/// Whether the outcome of what is sent matters to whoever gives up.
pub(super) fn matters(intent: Intent) -> bool {
    intent == Intent::Write
}
