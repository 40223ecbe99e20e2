//! The time, real or not.

use std::{
    fmt,
    time::{Duration, Instant},
};

use futures::future::BoxFuture;

/// A clock, and a way to wait by it.
pub trait Time: fmt::Debug + Send + Sync {
    /// Nanoseconds since a moment that is the same for everyone who shares this clock. Never goes
    /// back.
    fn now(&self) -> u64;

    /// Waits this long.
    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()>;
}

/// The clock of the machine, from when this was made.
#[derive(Clone, Copy, Debug)]
pub struct RealTime(Instant);

impl RealTime {
    /// A clock that begins now.
    pub fn start() -> RealTime {
        RealTime(Instant::now())
    }
}

impl Time for RealTime {
    fn now(&self) -> u64 {
        u64::try_from(self.0.elapsed().as_nanos()).expect("no run lasts for centuries")
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        Box::pin(tokio::time::sleep(duration))
    }
}
