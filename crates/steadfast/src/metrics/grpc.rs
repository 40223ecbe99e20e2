//! Calls over gRPC.

use std::sync::OnceLock;

use prometheus::{Histogram, HistogramVec, IntCounter, IntCounterVec};
use sidecar_api::{GrpcCall, GrpcMethod};

use super::{BYTES, Family, Own, whole_ms};

pub(super) struct GrpcMetrics {
    completed: IntCounterVec,
    latency_ms: HistogramVec,
    received: HistogramVec,
    sent: HistogramVec,
    methods: [Series; GrpcMethod::COUNT],
}

/// The series of one method, each made when it is needed.
#[derive(Default)]
struct Series {
    by_status: [OnceLock<(IntCounter, Histogram)>; STATUSES.len()],
    received: OnceLock<Histogram>,
    sent: OnceLock<Histogram>,
}

/// Each at the place of its number. Source: gRPC, status codes; the spelling is that of Go's.
const STATUSES: [&str; 17] = [
    "OK",
    "Canceled",
    "Unknown",
    "InvalidArgument",
    "DeadlineExceeded",
    "NotFound",
    "AlreadyExists",
    "PermissionDenied",
    "ResourceExhausted",
    "FailedPrecondition",
    "Aborted",
    "OutOfRange",
    "Unimplemented",
    "Internal",
    "Unavailable",
    "DataLoss",
    "Unauthenticated",
];

impl GrpcMetrics {
    pub(super) fn new(family: &Family<'_>) -> GrpcMetrics {
        let by_status = ["grpc_server_method", "grpc_server_status"];
        let by_method = ["grpc_server_method"];
        GrpcMetrics {
            completed: family.counters(
                "dapr_grpc_io_server_completed_rpcs",
                "Calls over gRPC that have ended.",
                Own::AppId,
                &by_status,
            ),
            latency_ms: family.histograms(
                (
                    "dapr_grpc_io_server_server_latency",
                    "How long calls over gRPC took, in whole milliseconds.",
                ),
                Own::AppId,
                &by_status,
                family.latency_ms(),
            ),
            received: family.histograms(
                (
                    "dapr_grpc_io_server_received_bytes_per_rpc",
                    "Bytes of the messages that calls over gRPC brought.",
                ),
                Own::AppId,
                &by_method,
                &BYTES,
            ),
            sent: family.histograms(
                (
                    "dapr_grpc_io_server_sent_bytes_per_rpc",
                    "Bytes of the messages that calls over gRPC were answered with.",
                ),
                Own::AppId,
                &by_method,
                &BYTES,
            ),
            methods: std::array::from_fn(|_| Series::default()),
        }
    }

    pub(super) fn record(&self, call: &GrpcCall<'_>) {
        let (method, status) = (call.method.name(), call.status as usize);
        let series = &self.methods[call.method.index()];
        let Some(place) = series.by_status.get(status) else { return };
        let (completed, latency_ms) = place.get_or_init(|| {
            let labels = [method, STATUSES[status]];
            (self.completed.with_label_values(&labels), self.latency_ms.with_label_values(&labels))
        });
        completed.inc();
        latency_ms.observe(whole_ms(call.elapsed));
        let sent = series.sent.get_or_init(|| self.sent.with_label_values(&[method]));
        sent.observe(call.response_bytes as f64);
    }

    pub(super) fn received(&self, method: GrpcMethod, bytes: u64) {
        let place = &self.methods[method.index()].received;
        let received = place.get_or_init(|| self.received.with_label_values(&[method.name()]));
        received.observe(bytes as f64);
    }
}
