//! The log of the API: a line for each request.

use sidecar_api::{GrpcCall, HttpCall, Target};
use tracing::info;

/// Its records are shown whatever the level of the log is.
pub(crate) const TARGET: &str = "api";

/// What is logged of requests. Source: Dapr's Configuration, `spec.logging.apiLogging`.
#[derive(Clone, Debug, Default)]
pub(crate) struct ApiLogOptions {
    /// Whether anything is. The flag `--enable-api-logging` wins.
    pub(crate) enabled: bool,
    /// Whether endpoints are named, instead of methods and paths.
    pub(crate) obfuscate_urls: bool,
    /// Whether requests about health are left out.
    pub(crate) omit_health_checks: bool,
    /// Whether paths are shown with their keys.
    ///
    /// Differs from Dapr: it always shows them.
    pub(crate) shows_keys: bool,
}

/// Logs requests.
#[derive(Debug)]
pub(crate) struct ApiLog(ApiLogOptions);

impl ApiLog {
    /// `None` if nothing is to be logged.
    pub(crate) fn new(options: ApiLogOptions) -> Option<ApiLog> {
        options.enabled.then_some(ApiLog(options))
    }

    pub(crate) fn http(&self, call: &HttpCall<'_>) {
        if self.0.omit_health_checks && call.target.is_health() {
            return;
        }
        let agent = call.headers.get("user-agent").and_then(|it| it.to_str().ok());
        info!(
            target: TARGET,
            scope = "dapr.runtime.http-info",
            method = self.method(call),
            code = call.status.as_u16(),
            duration = call.elapsed.as_millis() as u64,
            size = call.response_bytes,
            useragent = agent.unwrap_or_default(),
            "HTTP API Called"
        );
    }

    pub(crate) fn grpc(&self, call: &GrpcCall<'_>) {
        info!(
            target: TARGET,
            scope = "dapr.runtime.grpc.api-info",
            method = call.method.name(),
            code = ?call.status,
            duration = call.elapsed.as_millis() as u64,
            useragent = call.user_agent,
            "gRPC API Called"
        );
    }

    fn method(&self, call: &HttpCall<'_>) -> String {
        if self.0.obfuscate_urls {
            return call.target.endpoint().to_owned();
        }
        let path = match call.target {
            Target::State { store, has_key: true, .. } if !self.0.shows_keys => {
                format!("/v1.0/state/{store}/{{key}}")
            }
            // What somebody made up may be a key as well.
            Target::Unknown if !self.0.shows_keys => "UNKNOWN".to_owned(),
            _ => call.uri.path().to_owned(),
        };
        format!("{} {path}", call.method)
    }
}
