//! Who is told of requests: the metrics, the log of the API, and traces.

use std::sync::Arc;

use sidecar_api::{GrpcCall, GrpcMethod, HttpCall, Observer, TraceContext};

use crate::{
    api_log::{ApiLog, ApiLogOptions},
    cli::SidecarArgs,
    metrics::{Metrics, MetricsOptions},
    spans::{Tracer, TracingOptions},
};

/// What a Configuration says of all this.
#[derive(Clone, Debug, Default)]
pub(crate) struct TelemetryOptions {
    pub(crate) metrics: MetricsOptions,
    pub(crate) api_log: ApiLogOptions,
    pub(crate) tracing: TracingOptions,
}

/// Tells everybody who wants to know.
#[derive(Debug)]
pub(crate) struct Telemetry {
    pub(crate) metrics: Option<Arc<Metrics>>,
    pub(crate) tracer: Option<Arc<Tracer>>,
    api_log: Option<ApiLog>,
}

impl Telemetry {
    /// What the flags ask for, and these options where the flags say nothing. Must be called on a runtime.
    pub(crate) fn new(args: &SidecarArgs, app_id: &str, options: TelemetryOptions) -> Telemetry {
        let TelemetryOptions { metrics, mut api_log, tracing } = options;
        api_log.enabled = args.enable_api_logging.unwrap_or(api_log.enabled);
        api_log.shows_keys |= args.log_keys;
        tracing::info!("metric spec: {}", metrics.to_json());
        let namespace = std::env::var("NAMESPACE").unwrap_or_default();
        let is_counting = args.enable_metrics && metrics.enabled;
        let metrics = is_counting.then(|| Arc::new(Metrics::new(app_id, &namespace, &metrics)));
        let tracer = Tracer::start(tracing, app_id, api_log.shows_keys).map(Arc::new);
        Telemetry { metrics, tracer, api_log: ApiLog::new(api_log) }
    }

    /// The same for a front, if there is anything to tell anybody.
    pub(crate) fn observer(self) -> Option<Arc<dyn Observer>> {
        let is_wanted = self.metrics.is_some() || self.tracer.is_some() || self.api_log.is_some();
        is_wanted.then(|| Arc::new(self) as Arc<dyn Observer>)
    }
}

impl Observer for Telemetry {
    fn span(&self, parent: Option<TraceContext>) -> Option<TraceContext> {
        self.tracer.as_ref().map(|it| it.span(parent))
    }

    fn http(&self, call: &HttpCall<'_>) {
        if let Some(metrics) = &self.metrics {
            metrics.http(call);
        }
        if let Some(log) = &self.api_log {
            log.http(call);
        }
        if let Some(tracer) = &self.tracer {
            tracer.http(call);
        }
    }

    fn grpc(&self, call: &GrpcCall<'_>) {
        if let Some(metrics) = &self.metrics {
            metrics.grpc(call);
        }
        if let Some(log) = &self.api_log {
            log.grpc(call);
        }
        if let Some(tracer) = &self.tracer {
            tracer.grpc(call);
        }
    }

    fn grpc_received(&self, method: GrpcMethod, bytes: u64) {
        if let Some(metrics) = &self.metrics {
            metrics.grpc_received(method, bytes);
        }
    }
}
