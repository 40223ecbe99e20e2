//! What policies do. The layer that keeps them tells; handles are made once for each target.

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};
use state_layers::{BreakerState, PolicyKind, ResiliencyEvent, ResiliencyObserver};

use super::{Family, Own};

#[derive(Debug)]
pub(crate) struct ResiliencyMetrics {
    loaded: IntCounterVec,
    count: IntCounterVec,
    activations: IntCounterVec,
    breaker: IntGaugeVec,
}

/// What a resource of resiliency asks for one store.
#[derive(Clone, Debug)]
pub(crate) struct TargetMetrics {
    count: [IntCounter; 3],
    activations: [IntCounter; 3],
    trips: IntCounter,
    breaker: [IntGauge; 4],
}

const POLICIES: [&str; 3] = ["timeout", "retry", "circuitbreaker"];
const OPEN: &str = "open";
const BREAKERS: [&str; 4] = ["closed", "half-open", OPEN, "unknown"];

impl ResiliencyMetrics {
    pub(super) fn new(family: &Family<'_>) -> ResiliencyMetrics {
        let labels = ["flow_direction", "name", "policy", "status", "target"];
        ResiliencyMetrics {
            loaded: family.counters(
                "dapr_resiliency_loaded",
                "Resources of resiliency that were loaded.",
                Own::AppIdAndNamespace,
                &["name"],
            ),
            count: family.counters(
                "dapr_resiliency_count",
                "Operations that a policy was applied to.",
                Own::AppIdAndNamespace,
                &labels,
            ),
            activations: family.counters(
                "dapr_resiliency_activations_total",
                "How often a policy did something: a timeout ran out, an operation was tried again, a circuit breaker \
                 changed.",
                Own::AppIdAndNamespace,
                &labels,
            ),
            breaker: family.gauges(
                "dapr_resiliency_cb_state",
                "The state of a circuit breaker: 1 for the one that it is in.",
                Own::AppIdAndNamespace,
                &labels,
            ),
        }
    }

    /// A resource of this name was loaded.
    pub(crate) fn loaded(&self, name: &str) {
        self.loaded.with_label_values(&[name]).inc();
    }

    /// The metrics of what the resource `name` asks for a store.
    pub(crate) fn target(&self, name: &str, store: &str) -> TargetMetrics {
        let target = format!("Statestore_{store}");
        let labels = |policy, status| ["outbound", name, policy, status, &target];
        let breaker = |status| labels(POLICIES[2], status);
        TargetMetrics {
            count: POLICIES.map(|it| self.count.with_label_values(&labels(it, ""))),
            activations: POLICIES.map(|it| self.activations.with_label_values(&labels(it, ""))),
            trips: self.activations.with_label_values(&breaker(OPEN)),
            breaker: BREAKERS.map(|it| self.breaker.with_label_values(&breaker(it))),
        }
    }
}

impl ResiliencyObserver for TargetMetrics {
    fn observe(&self, _resource: &str, _component: &str, event: ResiliencyEvent) {
        match event {
            ResiliencyEvent::Executed(policy) => self.count[place(policy)].inc(),
            ResiliencyEvent::Activated(policy) => self.activations[place(policy)].inc(),
            ResiliencyEvent::BreakerState(state) => self.is_now(state),
        }
    }
}

impl TargetMetrics {
    fn is_now(&self, state: BreakerState) {
        let name = state.name();
        for (gauge, it) in self.breaker.iter().zip(BREAKERS) {
            let was = gauge.get();
            gauge.set(i64::from(it == name));
            if it == name && it == OPEN && was == 0 {
                self.trips.inc();
            }
        }
    }
}

/// Where the policy is in `POLICIES`.
fn place(policy: PolicyKind) -> usize {
    match policy {
        PolicyKind::Timeout => 0,
        PolicyKind::Retry => 1,
        PolicyKind::CircuitBreaker => 2,
    }
}
