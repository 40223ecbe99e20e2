//! Every metric: what it is called, what it counts, and the text in which it is read.
//!
//! Names that begin with `dapr_` are Dapr's, and so are their labels and buckets; `steadfast_` are ours. Handles are looked
//! up once for each series, and no label takes a value that callers choose.

use std::{fmt, sync::Arc};

use prometheus::{
    Histogram, HistogramOpts, HistogramVec, IntCounterVec, IntGaugeVec, Opts, Registry,
    TextEncoder, core::Collector,
};
use serde_json::json;
use sidecar_api::{GrpcCall, GrpcMethod, HttpCall, Sidecar};

use self::{
    components::ComponentMetrics, errors::ErrorMetrics, grpc::GrpcMetrics, http::HttpMetrics,
    resiliency::ResiliencyMetrics,
};

use crate::spans::Counts;

mod components;
mod errors;
mod grpc;
mod http;
mod now;
mod paths;
mod resiliency;

pub(crate) use self::paths::PathPattern;

/// What is counted, and how. Source: Dapr's Configuration, `spec.metrics`.
#[derive(Clone, Debug)]
pub(crate) struct MetricsOptions {
    /// Whether anything is.
    pub(crate) enabled: bool,
    /// Whether there is a counter of errors by their codes.
    pub(crate) record_error_codes: bool,
    /// Bounds of the latencies under Dapr's names, in milliseconds, ascending; empty for Dapr's.
    pub(crate) latency_buckets: Vec<f64>,
    /// Whether the paths of requests are told apart by their stores.
    pub(crate) increased_cardinality: bool,
    /// Paths that are told apart by these patterns.
    pub(crate) path_matching: Vec<PathPattern>,
    /// Whether methods are not told apart.
    pub(crate) exclude_verbs: bool,
}

impl MetricsOptions {
    /// As the log tells it at the start. Tools look for it there.
    pub(crate) fn to_json(&self) -> serde_json::Value {
        let patterns: Vec<_> = self.path_matching.iter().map(PathPattern::as_str).collect();
        json!({
            "enabled": self.enabled,
            "recordErrorCodes": self.record_error_codes,
            "latencyDistributionBuckets": self.latency_buckets,
            "http": {
                "increasedCardinality": self.increased_cardinality,
                "pathMatching": patterns,
                "excludeVerbs": self.exclude_verbs,
            },
        })
    }
}

impl Default for MetricsOptions {
    fn default() -> MetricsOptions {
        MetricsOptions {
            enabled: true,
            record_error_codes: false,
            latency_buckets: Vec::new(),
            increased_cardinality: true,
            path_matching: Vec::new(),
            exclude_verbs: false,
        }
    }
}

/// Milliseconds. Source: Dapr.
const LATENCY_MS: [f64; 34] = [
    1., 2., 3., 4., 5., 6., 8., 10., 13., 16., 20., 25., 30., 40., 50., 65., 80., 100., 130., 160.,
    200., 250., 300., 400., 500., 650., 800., 1000., 2000., 5000., 10000., 20000., 50000., 100000.,
];

/// Seconds, from what a store in this process takes to what is too long for anybody.
const SECONDS: [f64; 16] = [
    0.00005, 0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.,
    2.5, 5.,
];

/// Bytes. Source: Dapr.
const BYTES: [f64; 13] = [
    1024.,
    2048.,
    4096.,
    16384.,
    65536.,
    262144.,
    1048576.,
    4194304.,
    16777216.,
    67108864.,
    268435456.,
    1073741824.,
    4294967296.,
];

/// The metrics of one sidecar.
pub(crate) struct Metrics {
    registry: Registry,
    http: HttpMetrics,
    grpc: GrpcMetrics,
    errors: Option<ErrorMetrics>,
    components: ComponentMetrics,
    resiliency: ResiliencyMetrics,
}

impl Metrics {
    /// Metrics of the application `app_id`, in a namespace that may be empty.
    pub(crate) fn new(app_id: &str, namespace: &str, options: &MetricsOptions) -> Metrics {
        let family = Family { registry: Registry::new(), app_id, namespace, options };
        Metrics {
            http: HttpMetrics::new(&family),
            grpc: GrpcMetrics::new(&family),
            errors: options.record_error_codes.then(|| ErrorMetrics::new(&family)),
            components: ComponentMetrics::new(&family),
            resiliency: ResiliencyMetrics::new(&family),
            registry: family.registry,
        }
    }

    /// Adds what can be looked up when somebody asks: what there is now in this sidecar, and what its process takes.
    pub(crate) fn watch(&self, sidecar: Arc<Sidecar>, spans: Option<Arc<Counts>>) {
        register(&self.registry, now::Process::default());
        register(&self.registry, now::Now::new(sidecar, spans));
    }

    /// Makes room for a component: its requests are told apart from others' from now on.
    pub(crate) fn component(&self, name: &str) -> Arc<dyn state_layers::Observer> {
        self.http.store(name);
        self.components.operations(name)
    }

    /// A component was opened.
    pub(crate) fn initialized(&self, component_type: &str) {
        self.components.initialized(component_type);
    }

    /// A component could not be opened: `creation` if there is no driver for it, else `init`.
    pub(crate) fn init_failed(&self, name: &str, component_type: &str, reason: &'static str) {
        self.components.init_failed(name, component_type, reason);
    }

    /// What policies do. For the layer that keeps them.
    pub(crate) fn resiliency(&self) -> &ResiliencyMetrics {
        &self.resiliency
    }

    /// All of it, in Prometheus' text format.
    pub(crate) fn text(&self) -> String {
        let families = self.registry.gather();
        TextEncoder::new().encode_to_string(&families).unwrap_or_else(|e| {
            tracing::error!(error = %e, "the metrics cannot be shown");
            String::new()
        })
    }
}

impl Metrics {
    /// A request over HTTP was answered.
    pub(crate) fn http(&self, call: &HttpCall<'_>) {
        self.http.record(call);
        if let (Some(errors), Some(code)) = (&self.errors, call.error) {
            errors.record(code);
        }
    }

    /// A call over gRPC was answered.
    pub(crate) fn grpc(&self, call: &GrpcCall<'_>) {
        self.grpc.record(call);
        if let Some(errors) = &self.errors {
            errors.record_status(call);
        }
    }

    /// The messages of a call have come in.
    pub(crate) fn grpc_received(&self, method: GrpcMethod, bytes: u64) {
        self.grpc.received(method, bytes);
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Makes metrics that have the labels that all have. They are shown in alphabetical order, each of them always.
struct Family<'a> {
    registry: Registry,
    app_id: &'a str,
    namespace: &'a str,
    options: &'a MetricsOptions,
}

/// Which labels come from the sidecar itself.
#[derive(Clone, Copy)]
enum Own {
    AppId,
    AppIdAndNamespace,
}

impl Family<'_> {
    fn opts(&self, name: &str, help: &str, own: Own) -> Opts {
        let opts = Opts::new(name, help).const_label("app_id", self.app_id);
        match own {
            Own::AppId => opts,
            Own::AppIdAndNamespace => opts.const_label("namespace", self.namespace),
        }
    }

    fn counters(&self, name: &str, help: &str, own: Own, labels: &[&str]) -> IntCounterVec {
        let made = IntCounterVec::new(self.opts(name, help, own), labels);
        register(&self.registry, made.expect(WELL_FORMED))
    }

    fn gauges(&self, name: &str, help: &str, own: Own, labels: &[&str]) -> IntGaugeVec {
        let made = IntGaugeVec::new(self.opts(name, help, own), labels);
        register(&self.registry, made.expect(WELL_FORMED))
    }

    fn histograms(
        &self,
        (name, help): (&str, &str),
        own: Own,
        labels: &[&str],
        buckets: &[f64],
    ) -> HistogramVec {
        let opts = HistogramOpts::from(self.opts(name, help, own)).buckets(buckets.to_vec());
        let made = HistogramVec::new(opts, labels);
        register(&self.registry, made.expect(WELL_FORMED))
    }

    fn histogram(&self, name: &str, help: &str, buckets: &[f64]) -> Histogram {
        let opts = HistogramOpts::from(self.opts(name, help, Own::AppId)).buckets(buckets.to_vec());
        register(&self.registry, Histogram::with_opts(opts).expect(WELL_FORMED))
    }

    /// The bounds of Dapr's latencies.
    fn latency_ms(&self) -> &[f64] {
        match self.options.latency_buckets.as_slice() {
            [] => &LATENCY_MS,
            own => own,
        }
    }
}

const WELL_FORMED: &str = "names and buckets are well formed";

fn register<C: Collector + Clone + 'static>(registry: &Registry, collector: C) -> C {
    registry.register(Box::new(collector.clone())).expect("each name is given once");
    collector
}

/// Milliseconds as Dapr has them: whole ones.
fn whole_ms(elapsed: std::time::Duration) -> f64 {
    elapsed.as_millis() as f64
}

#[cfg(test)]
mod tests;
