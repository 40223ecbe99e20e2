//! Errors by their codes, for those who want them.

use prometheus::IntCounterVec;
use sidecar_api::GrpcCall;

use super::{Family, Own};

#[derive(Debug)]
pub(super) struct ErrorMetrics(IntCounterVec);

impl ErrorMetrics {
    pub(super) fn new(family: &Family<'_>) -> ErrorMetrics {
        ErrorMetrics(family.counters(
            "dapr_error_code_total",
            "Errors that were answered, by their codes.",
            Own::AppId,
            &["category", "error_code"],
        ))
    }

    /// All codes are ours, so there are not many.
    pub(super) fn record(&self, code: &str) {
        self.0.with_label_values(&[category(code), code]).inc();
    }

    /// The code of a status, if it has one.
    pub(super) fn record_status(&self, call: &GrpcCall<'_>) {
        if let Some(code) = call.error_code() {
            self.record(&code);
        }
    }
}

/// Dapr's words for what a code is about.
fn category(code: &str) -> &'static str {
    let about = |parts: [&str; 2]| parts.iter().any(|it| code.starts_with(it));
    if about(["ERR_STATE_", "DAPR_STATE_"]) {
        "state"
    } else if about(["ERR_HEALTH_", "ERR_OUTBOUND_"]) {
        "health"
    } else if about(["ERR_DIRECT_INVOKE", "ERR_NOT_IMPLEMENTED"]) {
        "service-invocation"
    } else {
        "common"
    }
}
