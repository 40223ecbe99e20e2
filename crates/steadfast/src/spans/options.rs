//! What a Configuration and the environment say of tracing.

use std::{env, fmt, time::Duration};

use percent_encoding::percent_decode_str;

use super::sender::{Destination, Form, Sender};

/// What is traced, and who gets it. Source: Dapr's Configuration, `spec.tracing`.
#[derive(Clone, Debug, Default)]
pub(crate) struct TracingOptions {
    /// The share of traces that are recorded, if they come with no decision; `None` if it is not said.
    pub(crate) sampling_rate: Option<f64>,
    /// Whether spans are printed.
    pub(crate) stdout: bool,
    /// The URL that Zipkin takes spans at.
    pub(crate) zipkin: Option<String>,
    /// Where OpenTelemetry's collector is.
    pub(crate) otel: Option<OtelOptions>,
}

/// Source: Dapr's Configuration, `spec.tracing.otel`.
#[derive(Clone)]
pub(crate) struct OtelOptions {
    /// Whether it is spoken to over gRPC, or else over HTTP.
    pub(crate) is_grpc: bool,
    /// `host:port`, and a path if it is not the usual one.
    pub(crate) endpoint: String,
    /// Whether over TLS.
    pub(crate) is_secure: bool,
    /// Headers, which may hold secrets.
    pub(crate) headers: Vec<(String, String)>,
    /// How long it may take to answer.
    pub(crate) timeout: Duration,
}

/// Source: Dapr.
const USUAL_RATE: f64 = 0.0001;

/// Source: OpenTelemetry, `OTEL_EXPORTER_OTLP_TIMEOUT`.
const TIMEOUT: Duration = Duration::from_secs(10);

impl Default for OtelOptions {
    fn default() -> OtelOptions {
        OtelOptions {
            is_grpc: true,
            endpoint: String::new(),
            is_secure: true,
            headers: Vec::new(),
            timeout: TIMEOUT,
        }
    }
}

impl fmt::Debug for OtelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OtelOptions").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Who gets spans, and from whom they are.
#[derive(Debug)]
pub(super) struct Exporters {
    pub(super) service: Service,
    to: Vec<Destination>,
}

/// Whom spans come from.
#[derive(Debug)]
pub(super) struct Service {
    pub(super) name: String,
    pub(super) attributes: Vec<(String, String)>,
}

impl TracingOptions {
    /// These options with what the environment adds. Source: OpenTelemetry; that an endpoint there means that all is
    /// recorded is Dapr's.
    pub(super) fn with_environment(mut self, variable: impl Fn(&str) -> Option<String>) -> Self {
        let variable = |name: &str| variable(name).filter(|it| !it.is_empty());
        let of_traces = |name: &str| {
            variable(&format!("OTEL_EXPORTER_OTLP_TRACES_{name}"))
                .or_else(|| variable(&format!("OTEL_EXPORTER_OTLP_{name}")))
        };
        let Some(endpoint) = of_traces("ENDPOINT") else { return self };
        let mut otel = self.otel.take().unwrap_or_default();
        otel.endpoint = endpoint;
        if let Some(protocol) = of_traces("PROTOCOL") {
            otel.is_grpc = protocol == "grpc";
        }
        if let Some(headers) = of_traces("HEADERS") {
            otel.headers = pairs(&headers);
        }
        if let Some(ms) = of_traces("TIMEOUT").and_then(|it| it.parse().ok()) {
            otel.timeout = Duration::from_millis(ms);
        }
        if variable("OTEL_EXPORTER_OTLP_INSECURE").is_some_and(|it| it == "true") {
            otel.is_secure = false;
        }
        self.otel = Some(otel);
        self.sampling_rate.get_or_insert(1.);
        self
    }

    /// The rate and who gets the spans; `None` if there is no tracing.
    pub(super) fn resolve(self, app_id: &str) -> Option<(f64, Exporters)> {
        let variable = |name: &str| env::var(name).ok();
        let options = self.with_environment(variable);
        let mut to = Vec::new();
        if options.stdout {
            to.push(Destination::Stdout);
        }
        let zipkin = options.zipkin.filter(|it| !it.is_empty());
        to.extend(zipkin.map(|it| Destination::server(&it, Form::Zipkin, &OtelOptions::default())));
        let otel = options.otel.filter(|it| !it.endpoint.is_empty());
        to.extend(otel.map(|it| {
            let form = if it.is_grpc { Form::OtlpGrpc } else { Form::OtlpHttp };
            Destination::server(&it.endpoint, form, &it)
        }));
        // Without anybody who gets spans, only an explicit rate makes contexts of our own.
        if to.is_empty() && options.sampling_rate.is_none() {
            return None;
        }
        let rate = options.sampling_rate.unwrap_or(USUAL_RATE);
        if rate <= 0. {
            return None;
        }
        let name = variable("OTEL_SERVICE_NAME").filter(|it| !it.is_empty());
        let service = Service {
            name: name.unwrap_or_else(|| app_id.to_owned()),
            attributes: variable("OTEL_RESOURCE_ATTRIBUTES").map_or_else(Vec::new, |it| pairs(&it)),
        };
        Some((rate, Exporters { service, to }))
    }
}

impl Exporters {
    pub(super) fn senders(&self) -> Vec<Sender> {
        self.to.iter().cloned().map(Sender::new).collect()
    }
}

/// `name=value,...`, percent-encoded. Source: OpenTelemetry.
fn pairs(text: &str) -> Vec<(String, String)> {
    let decode = |it: &str| percent_decode_str(it.trim()).decode_utf8_lossy().into_owned();
    let pair = |it: &str| it.split_once('=').map(|(name, value)| (decode(name), decode(value)));
    text.split(',').filter_map(pair).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_adds_a_collector_and_records_everything() {
        let variables = [
            ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector:4318"),
            ("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf"),
            ("OTEL_EXPORTER_OTLP_HEADERS", "authorization=Bearer%20canary,b=2"),
            ("OTEL_EXPORTER_OTLP_TRACES_TIMEOUT", "250"),
        ];
        let variable = |name: &str| {
            variables.iter().find(|(it, _)| *it == name).map(|(_, it)| (*it).to_owned())
        };
        let options = TracingOptions::default().with_environment(variable);
        assert_eq!(options.sampling_rate, Some(1.));
        let otel = options.otel.unwrap();
        assert!(!otel.is_grpc);
        assert_eq!(otel.timeout, Duration::from_millis(250));
        assert_eq!(otel.headers[0], ("authorization".to_owned(), "Bearer canary".to_owned()));
        assert!(!format!("{otel:?}").contains("canary"));
        assert!(TracingOptions::default().with_environment(|_| None).otel.is_none());
    }
}
