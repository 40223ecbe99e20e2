use std::{fmt, sync::Arc, time::Duration};

use state_config::Policy;
use tracing::{info, warn};

use super::BreakerState;

/// Is told what policies do, so that it can be counted.
pub trait ResiliencyObserver: fmt::Debug + Send + Sync + 'static {
    /// Notes an event at the component. `resource` is the name of the Resiliency resource. Must not block.
    fn observe(&self, resource: &str, component: &str, event: ResiliencyEvent);
}

/// What a policy has done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResiliencyEvent {
    /// An operation began to which this policy applies.
    Executed(PolicyKind),
    /// The policy changed something: an attempt was given up, another was made, or the circuit breaker
    /// refused one.
    Activated(PolicyKind),
    /// The circuit breaker has another state.
    BreakerState(BreakerState),
}

/// One of the three kinds of policies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PolicyKind {
    /// Bounds attempts in time.
    Timeout,
    /// Makes further attempts.
    Retry,
    /// Leaves the store alone for a while.
    CircuitBreaker,
}

impl PolicyKind {
    /// Dapr's word for it in metrics.
    pub fn name(self) -> &'static str {
        match self {
            PolicyKind::Timeout => "timeout",
            PolicyKind::Retry => "retry",
            PolicyKind::CircuitBreaker => "circuitbreaker",
        }
    }
}

/// Tells the log, in words that tools look for, and the observer.
#[derive(Clone, Debug)]
pub(super) struct Reporter {
    pub(super) component: String,
    pub(super) resource: String,
    pub(super) observer: Option<Arc<dyn ResiliencyObserver>>,
}

impl Reporter {
    pub(super) fn executed(&self, policy: &Policy) {
        let kinds = [
            (policy.timeout.is_some(), PolicyKind::Timeout),
            (policy.retry.is_some(), PolicyKind::Retry),
            (policy.breaker.is_some(), PolicyKind::CircuitBreaker),
        ];
        for (_, kind) in kinds.into_iter().filter(|(is_there, _)| *is_there) {
            self.tell(ResiliencyEvent::Executed(kind));
        }
    }

    pub(super) fn activated(&self, kind: PolicyKind) {
        self.tell(ResiliencyEvent::Activated(kind));
    }

    /// The first failure of an operation that is going to be tried again. Source: Dapr's log.
    pub(super) fn retrying(&self, pause: Duration) {
        let component = &self.component;
        warn!("Error processing operation component[{component}] output. Retrying in {pause:?}…");
    }

    /// Source: Dapr's log.
    pub(super) fn recovered(&self, attempts: u32) {
        let component = &self.component;
        info!(
            "Recovered processing operation component[{component}] output after {attempts} attempts."
        );
    }

    /// Source: Dapr's log.
    pub(super) fn changed(&self, breaker: &str, from: BreakerState, to: BreakerState) {
        let (component, from, to_name) = (&self.component, from.name(), to.name());
        let message = format!(
            "Circuit breaker \"{breaker}-{component}\" changed state from {from} to {to_name}"
        );
        match to {
            BreakerState::Open => warn!("{message}"),
            BreakerState::Closed | BreakerState::HalfOpen => info!("{message}"),
        }
        self.tell(ResiliencyEvent::BreakerState(to));
    }

    fn tell(&self, event: ResiliencyEvent) {
        if let Some(observer) = &self.observer {
            observer.observe(&self.resource, &self.component, event);
        }
    }
}
