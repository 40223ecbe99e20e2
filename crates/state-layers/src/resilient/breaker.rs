use std::time::Duration;

use parking_lot::Mutex;
use state::{Error, FailureKind};
use state_config::{Breaker as Settings, Counts};
use tokio::time::Instant;

use super::events::{PolicyKind, Reporter};

/// Leaves a store alone that goes on failing. Source: sony/gobreaker, which Dapr uses.
#[derive(Debug)]
pub(super) struct Breaker {
    settings: Settings,
    reporter: Reporter,
    state: Mutex<State>,
}

/// Whether attempts are let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum BreakerState {
    /// All of them.
    Closed,
    /// A few, to see whether the store is well again.
    HalfOpen,
    /// None.
    Open,
}

#[derive(Debug)]
struct State {
    now: BreakerState,
    /// When an open breaker becomes half-open, or a closed one begins to count anew.
    until: Option<Instant>,
    counts: Counts,
    /// How often the counting has begun anew: attempts of earlier times do not count.
    generation: u64,
}

/// Leave to make one attempt. Dropped without an answer, as when the client has gone, it leaves no trace:
/// otherwise a breaker could wait for ever for an answer that nobody waits for.
#[derive(Debug)]
pub(super) struct Permit<'a> {
    breaker: &'a Breaker,
    generation: u64,
    is_done: bool,
}

/// Why no attempt is let through.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// For as long as this.
    Open(Duration),
    /// Until those that were let through are answered.
    Busy,
}

impl Breaker {
    pub(super) fn new(settings: Settings, reporter: Reporter) -> Breaker {
        let until = settings.interval.map(|it| Instant::now() + it);
        let state =
            State { now: BreakerState::Closed, until, counts: Counts::default(), generation: 0 };
        Breaker { settings, reporter, state: Mutex::new(state) }
    }

    /// Lets an attempt through, or says why not.
    pub(super) fn admit(&self) -> Result<Permit<'_>, Refusal> {
        let mut state = self.state.lock();
        self.pass_time(&mut state);
        let refusal = match state.now {
            BreakerState::Open => {
                let left = state.until.map(|it| it.saturating_duration_since(Instant::now()));
                Some(Refusal::Open(left.unwrap_or_default()))
            }
            BreakerState::HalfOpen if state.counts.requests >= self.settings.max_requests => {
                Some(Refusal::Busy)
            }
            BreakerState::HalfOpen | BreakerState::Closed => None,
        };
        if let Some(refusal) = refusal {
            drop(state);
            self.reporter.activated(PolicyKind::CircuitBreaker);
            return Err(refusal);
        }
        state.counts.requests = state.counts.requests.saturating_add(1);
        Ok(Permit { breaker: self, generation: state.generation, is_done: false })
    }

    fn pass_time(&self, state: &mut State) {
        if state.until.is_none_or(|it| Instant::now() < it) {
            return;
        }
        match state.now {
            BreakerState::Open => self.change(state, BreakerState::HalfOpen),
            BreakerState::Closed | BreakerState::HalfOpen => self.begin_anew(state),
        }
    }

    fn change(&self, state: &mut State, to: BreakerState) {
        let from = std::mem::replace(&mut state.now, to);
        self.begin_anew(state);
        self.reporter.changed(&self.settings.name, from, to);
    }

    fn begin_anew(&self, state: &mut State) {
        state.generation += 1;
        state.counts = Counts::default();
        let time = match state.now {
            BreakerState::Closed => self.settings.interval,
            BreakerState::Open => Some(self.settings.timeout),
            BreakerState::HalfOpen => None,
        };
        state.until = time.map(|it| Instant::now() + it);
    }

    fn answered(&self, generation: u64, is_success: bool) {
        let mut state = self.state.lock();
        self.pass_time(&mut state);
        if state.generation != generation {
            return;
        }
        state.counts = if is_success { succeeded(state.counts) } else { failed(state.counts) };
        let counts = state.counts;
        match (state.now, is_success) {
            (BreakerState::HalfOpen, true)
                if counts.consecutive_successes >= self.settings.max_requests =>
            {
                self.change(&mut state, BreakerState::Closed);
            }
            (BreakerState::HalfOpen, false) => self.change(&mut state, BreakerState::Open),
            (BreakerState::Closed, false) if self.settings.trip.holds(&counts) => {
                self.change(&mut state, BreakerState::Open);
            }
            _ => {}
        }
    }

    fn abandoned(&self, generation: u64) {
        let mut state = self.state.lock();
        if state.generation == generation {
            state.counts.requests = state.counts.requests.saturating_sub(1);
        }
    }
}

fn succeeded(it: Counts) -> Counts {
    Counts {
        total_successes: it.total_successes.saturating_add(1),
        consecutive_successes: it.consecutive_successes.saturating_add(1),
        consecutive_failures: 0,
        ..it
    }
}

fn failed(it: Counts) -> Counts {
    Counts {
        total_failures: it.total_failures.saturating_add(1),
        consecutive_failures: it.consecutive_failures.saturating_add(1),
        consecutive_successes: 0,
        ..it
    }
}

impl Permit<'_> {
    /// Notes the answer to the attempt.
    pub(super) fn done(mut self, is_success: bool) {
        self.is_done = true;
        self.breaker.answered(self.generation, is_success);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        if !self.is_done {
            self.breaker.abandoned(self.generation);
        }
    }
}

impl Refusal {
    pub(super) fn to_error(self) -> Error {
        let (message, after) = match self {
            Refusal::Open(left) => {
                // Whole seconds, as the header of the answer has them.
                let seconds = left.as_secs() + u64::from(left.subsec_nanos() > 0);
                let message = format!(
                    "circuit breaker is open: the store has failed too often, and is tried again in \
                     {seconds} s"
                );
                (message, Duration::from_secs(seconds))
            }
            Refusal::Busy => (
                "too many requests: the circuit breaker is half-open, and waits for the answer to an \
                 attempt that it has let through"
                    .to_owned(),
                Duration::from_secs(1),
            ),
        };
        Error::new(FailureKind::Unavailable, message).with_retry_after(after)
    }
}

impl BreakerState {
    /// Dapr's word for it in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            BreakerState::Closed => "closed",
            BreakerState::HalfOpen => "half-open",
            BreakerState::Open => "open",
        }
    }
}
