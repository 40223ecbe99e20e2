//! Requests over HTTP.

use std::sync::OnceLock;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use sidecar_api::HttpCall;

use super::{BYTES, Family, Own, paths::Paths, whole_ms};

pub(super) struct HttpMetrics {
    requests: IntCounterVec,
    responses: IntCounterVec,
    latency_ms: HistogramVec,
    request_bytes: Histogram,
    response_bytes: Histogram,
    exclude_verbs: bool,
    counts_responses: bool,
    paths: Paths<Series>,
}

/// The series of one path, each made when it is needed.
pub(super) struct Series(Box<[OnceLock<Handles>]>);

struct Handles {
    requests: IntCounter,
    responses: Option<IntCounter>,
    latency_ms: Histogram,
}

/// Those that HTTP has, and the word for all others.
const METHODS: [&str; 10] =
    ["GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "CONNECT", "TRACE", "UNKNOWN"];

/// Those that the sidecar answers with, and the word for all others.
const STATUSES: [(u16, &str); 19] = [
    (200, "200"),
    (204, "204"),
    (400, "400"),
    (401, "401"),
    (403, "403"),
    (404, "404"),
    (405, "405"),
    (408, "408"),
    (409, "409"),
    (413, "413"),
    (415, "415"),
    (421, "421"),
    (429, "429"),
    (431, "431"),
    (500, "500"),
    (501, "501"),
    (503, "503"),
    (504, "504"),
    (0, "UNKNOWN"),
];

impl Default for Series {
    fn default() -> Series {
        Series((0..METHODS.len() * STATUSES.len()).map(|_| OnceLock::new()).collect())
    }
}

impl HttpMetrics {
    pub(super) fn new(family: &Family<'_>) -> HttpMetrics {
        let labels = ["method", "path", "status"];
        let options = family.options;
        HttpMetrics {
            requests: family.counters(
                "dapr_http_server_request_count",
                "Requests over HTTP.",
                Own::AppId,
                &labels,
            ),
            responses: family.counters(
                "dapr_http_server_response_count",
                "Answers over HTTP.",
                Own::AppId,
                &labels,
            ),
            latency_ms: family.histograms(
                (
                    "dapr_http_server_latency",
                    "How long requests over HTTP took, in whole milliseconds.",
                ),
                Own::AppId,
                &labels,
                family.latency_ms(),
            ),
            request_bytes: family.histogram(
                "dapr_http_server_request_bytes",
                "Bytes of the bodies of requests over HTTP.",
                &BYTES,
            ),
            response_bytes: family.histogram(
                "dapr_http_server_response_bytes",
                "Bytes of the bodies of answers over HTTP.",
                &BYTES,
            ),
            exclude_verbs: options.exclude_verbs,
            counts_responses: options.increased_cardinality || !options.path_matching.is_empty(),
            paths: Paths::new(options.increased_cardinality, &options.path_matching),
        }
    }

    /// Tells the requests for this store apart from now on.
    pub(super) fn store(&self, name: &str) {
        self.paths.store(name);
    }

    pub(super) fn record(&self, call: &HttpCall<'_>) {
        let of = |text: &str| METHODS.iter().position(|it| *it == text);
        let method = of(call.method.as_str()).unwrap_or(METHODS.len() - 1);
        let code = call.status.as_u16();
        let status = STATUSES.iter().position(|(it, _)| *it == code).unwrap_or(STATUSES.len() - 1);
        self.paths.with(call.target, call.uri.path(), |path, series| {
            let place = &series.0[method * STATUSES.len() + status];
            let handles = place.get_or_init(|| {
                let method = if self.exclude_verbs { "" } else { METHODS[method] };
                let labels = [method, path, STATUSES[status].1];
                Handles {
                    requests: self.requests.with_label_values(&labels),
                    responses: self
                        .counts_responses
                        .then(|| self.responses.with_label_values(&labels)),
                    latency_ms: self.latency_ms.with_label_values(&labels),
                }
            });
            handles.requests.inc();
            if let Some(responses) = &handles.responses {
                responses.inc();
            }
            handles.latency_ms.observe(whole_ms(call.elapsed));
        });
        self.request_bytes.observe(call.request_bytes as f64);
        self.response_bytes.observe(call.response_bytes as f64);
    }
}
