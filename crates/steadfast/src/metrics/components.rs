//! What stores do, as their layers tell, and which could be opened.

use std::{sync::Arc, time::Duration};

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use state_layers::{Observer, Operation, Tally};

use super::{Family, Own, SECONDS, whole_ms};

#[derive(Debug)]
pub(super) struct ComponentMetrics {
    count: IntCounterVec,
    latency_ms: HistogramVec,
    seconds: HistogramVec,
    outcomes: IntCounterVec,
    initialized: IntCounterVec,
    init_failed: IntCounterVec,
    loaded: IntCounterVec,
}

/// The series of one component, by operation.
#[derive(Debug)]
struct Operations(Vec<Series>);

#[derive(Debug)]
struct Series {
    count: [IntCounter; 2],
    latency_ms: [Histogram; 2],
    seconds: Histogram,
    outcomes: [IntCounter; 4],
}

/// In the order of [`Series::outcomes`]. The words are those of error replies.
const OUTCOMES: [&str; 4] = ["ok", "conflict", "not_applied", "unknown"];

impl ComponentMetrics {
    pub(super) fn new(family: &Family<'_>) -> ComponentMetrics {
        let state = ["component", "operation", "success"];
        ComponentMetrics {
            count: family.counters(
                "dapr_component_state_count",
                "Operations on state stores.",
                Own::AppIdAndNamespace,
                &state,
            ),
            latency_ms: family.histograms(
                (
                    "dapr_component_state_latencies",
                    "How long operations on state stores took, in whole milliseconds.",
                ),
                Own::AppIdAndNamespace,
                &state,
                family.latency_ms(),
            ),
            seconds: family.histograms(
                (
                    "steadfast_state_operation_seconds",
                    "How long operations on state stores took, in seconds.",
                ),
                Own::AppId,
                &["component", "operation"],
                &SECONDS,
            ),
            outcomes: family.counters(
                "steadfast_state_outcomes_total",
                "What became of the items of operations on state stores. A transaction is one item.",
                Own::AppId,
                &["component", "operation", "outcome"],
            ),
            initialized: family.counters(
                "dapr_runtime_component_init_total",
                "Components that were opened, by type.",
                Own::AppId,
                &["component"],
            ),
            init_failed: family.counters(
                "dapr_runtime_component_init_fail_total",
                "Attempts to open a component that failed, by type.",
                Own::AppId,
                &["component", "componentName", "reason"],
            ),
            loaded: family.counters(
                "dapr_runtime_component_loaded",
                "Components that were opened.",
                Own::AppId,
                &[],
            ),
        }
    }

    pub(super) fn operations(&self, component: &str) -> Arc<dyn Observer> {
        let series = |operation: Operation| {
            let name = operation.name();
            let both = ["false", "true"].map(|success| [component, name, success]);
            Series {
                count: both.map(|it| self.count.with_label_values(&it)),
                latency_ms: both.map(|it| self.latency_ms.with_label_values(&it)),
                seconds: self.seconds.with_label_values(&[component, name]),
                outcomes: OUTCOMES
                    .map(|it| self.outcomes.with_label_values(&[component, name, it])),
            }
        };
        Arc::new(Operations(Operation::ALL.map(series).into()))
    }

    pub(super) fn initialized(&self, component_type: &str) {
        self.initialized.with_label_values(&[component_type]).inc();
        self.loaded.with_label_values::<&str>(&[]).inc();
    }

    pub(super) fn init_failed(&self, name: &str, component_type: &str, reason: &'static str) {
        self.init_failed.with_label_values(&[component_type, name, reason]).inc();
    }
}

impl Observer for Operations {
    fn operation(&self, operation: Operation, tally: Tally, elapsed: Duration) {
        let Some(series) = self.0.get(operation as usize) else { return };
        let success = usize::from(tally.is_success());
        series.count[success].inc();
        series.latency_ms[success].observe(whole_ms(elapsed));
        series.seconds.observe(elapsed.as_secs_f64());
        let Tally { ok, conflict, not_applied, unknown } = tally;
        for (counter, items) in series.outcomes.iter().zip([ok, conflict, not_applied, unknown]) {
            if items > 0 {
                counter.inc_by(items);
            }
        }
    }
}
