//! A clock that only goes on when somebody waits for it.

use std::{
    collections::BTreeMap,
    future::{Future, poll_fn},
    pin::{Pin, pin},
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use futures::future::BoxFuture;

use crate::Time;

/// A clock for simulations: hours take as long as what happens in them takes to compute.
///
/// It jumps to the next moment that anybody waits for once all that can be done without waiting is
/// done, and not before; [`SimulatedTime::drive`] sees to that. Nothing depends on the machine, so
/// the same futures always see the same times in the same order.
#[derive(Debug, Default)]
pub struct SimulatedTime(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    now: u64,
    /// How many sleeps there were: those until one moment end in the order in which they began.
    sleeps: u64,
    wakers: BTreeMap<Moment, Waker>,
}

/// When a sleep ends, and which one it is.
type Moment = (u64, u64);

struct Sleep<'a> {
    time: &'a SimulatedTime,
    until: Moment,
}

/// Whether something can go on without waiting.
#[derive(Debug, Default)]
struct Awake(AtomicBool);

/// How far the clock goes on by being looked at, in nanoseconds: no two looks see the same time.
const LOOK_NS: u64 = 1;

impl SimulatedTime {
    /// Runs `future` to its end, on the time of this clock.
    ///
    /// # Panics
    ///
    /// If `future` waits for anything but this clock and itself: that would never come.
    pub async fn drive<T>(&self, future: impl Future<Output = T>) -> T {
        // The budgets of a runtime are about real time.
        let mut future = pin!(tokio::task::unconstrained(future));
        let awake = Arc::new(Awake::default());
        let waker = Waker::from(awake.clone());
        poll_fn(|_| {
            loop {
                let polled = future.as_mut().poll(&mut Context::from_waker(&waker));
                if polled.is_ready() {
                    return polled;
                }
                if !awake.0.swap(false, Relaxed) {
                    self.jump();
                }
            }
        })
        .await
    }

    fn jump(&self) {
        let mut waiting = self.lock();
        let next = waiting.wakers.pop_first();
        let ((at, _), waker) = next.expect("whoever waits here waits for this clock");
        waiting.now = waiting.now.max(at);
        drop(waiting);
        waker.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        // There is nothing in it that a panic could leave half done.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Time for SimulatedTime {
    fn now(&self) -> u64 {
        let mut waiting = self.lock();
        waiting.now += LOOK_NS;
        waiting.now
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'_, ()> {
        let mut waiting = self.lock();
        waiting.sleeps += 1;
        let ns = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let until = (waiting.now.saturating_add(ns), waiting.sleeps);
        Box::pin(Sleep { time: self, until })
    }
}

impl Future for Sleep<'_> {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = self.time.lock();
        if waiting.now >= self.until.0 {
            return Poll::Ready(());
        }
        waiting.wakers.insert(self.until, context.waker().clone());
        Poll::Pending
    }
}

impl Drop for Sleep<'_> {
    /// Nobody waits for it any more: the clock need not stop there.
    fn drop(&mut self) {
        self.time.lock().wakers.remove(&self.until);
    }
}

impl Wake for Awake {
    fn wake(self: Arc<Awake>) {
        self.0.store(true, Relaxed);
    }
}

#[cfg(test)]
mod tests;
