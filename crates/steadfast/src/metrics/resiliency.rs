//! What policies do. The layer that keeps them tells; handles are made once for each target.

#![allow(dead_code, reason = "for the layer that keeps policies")]

use prometheus::{IntCounter, IntCounterVec, IntGauge, IntGaugeVec};

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

/// A kind of policy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Policy {
    Timeout,
    Retry,
    CircuitBreaker,
}

/// The state of a circuit breaker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Breaker {
    Closed,
    HalfOpen,
    Open,
    Unknown,
}

const POLICIES: [&str; 3] = ["timeout", "retry", "circuitbreaker"];
const BREAKERS: [&str; 4] = ["closed", "half-open", "open", "unknown"];

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
            trips: self.activations.with_label_values(&breaker("open")),
            breaker: BREAKERS.map(|it| self.breaker.with_label_values(&breaker(it))),
        }
    }
}

impl TargetMetrics {
    /// An operation begins that this policy is applied to.
    pub(crate) fn applied(&self, policy: Policy) {
        self.count[policy as usize].inc();
    }

    /// The policy did something.
    pub(crate) fn activated(&self, policy: Policy) {
        self.activations[policy as usize].inc();
    }

    /// The circuit breaker is in this state now.
    pub(crate) fn breaker(&self, now: Breaker) {
        if now == Breaker::Open && self.breaker[Breaker::Open as usize].get() == 0 {
            self.trips.inc();
        }
        for (i, gauge) in self.breaker.iter().enumerate() {
            gauge.set(i64::from(i == now as usize));
        }
    }
}
