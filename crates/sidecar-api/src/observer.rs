//! What the fronts tell of the requests that they answer: for metrics, and for the log of the API.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering::Relaxed},
    time::Duration,
};

use hyper::{HeaderMap, Method, StatusCode, Uri};
use tonic::{Code, Status};
use tonic_types::StatusExt;

pub use crate::grpc::GrpcMethod;
use crate::{Span, TraceContext};

/// Is told of every request that was answered. What it does happens on the way to the answer, so it must be quick.
pub trait Observer: fmt::Debug + Send + Sync + 'static {
    /// The context of a request's span, whose parent may be known; `None` if there is no tracing.
    fn span(&self, parent: Option<TraceContext>) -> Option<TraceContext>;

    /// A request over HTTP was answered.
    fn http(&self, call: &HttpCall<'_>);

    /// A call over gRPC was answered, to the end.
    fn grpc(&self, call: &GrpcCall<'_>);

    /// All of a call's messages has come in, or as much of it as was wanted: these bytes.
    fn grpc_received(&self, method: GrpcMethod, bytes: u64);
}

/// A request over HTTP, and its answer.
#[derive(Debug)]
pub struct HttpCall<'a> {
    /// The method, which may be one that nobody has ever heard of.
    pub method: &'a Method,
    /// What was asked for. May hold a key.
    pub uri: &'a Uri,
    /// The headers of the request.
    pub headers: &'a HeaderMap,
    /// What it is a request for.
    pub target: Target<'a>,
    /// The status of the answer.
    pub status: StatusCode,
    /// Dapr's name of the error, if it is one.
    pub error: Option<&'static str>,
    /// Bytes of the request's body, as its head says.
    pub request_bytes: u64,
    /// Bytes of the answer's body.
    pub response_bytes: u64,
    /// From the head of the request to the answer.
    pub elapsed: Duration,
    /// Its span. None for requests about health.
    pub span: Span,
}

/// What a request over HTTP is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target<'a> {
    /// State in the store of this name, which may not exist.
    State {
        /// Dapr's name of the endpoint, such as `GetState`.
        endpoint: &'static str,
        /// The name, as it was decoded.
        store: &'a str,
        /// Whether a key is part of the path.
        has_key: bool,
    },
    /// Something else, at this path.
    Other {
        /// Dapr's name of the endpoint.
        endpoint: &'static str,
        /// The path, with a placeholder for what varies.
        path: &'static str,
    },
    /// Nothing that exists.
    Unknown,
}

/// A call over gRPC, and its answer.
#[derive(Debug)]
pub struct GrpcCall<'a> {
    /// What was called.
    pub method: GrpcMethod,
    /// The headers, or trailers, that have the status of a failure. None after a success.
    pub response: &'a HeaderMap,
    /// What the caller says that it is.
    pub user_agent: &'a str,
    /// The status.
    pub status: Code,
    /// Bytes of the answer's messages.
    pub response_bytes: u64,
    /// From the head of the call to the end of its answer.
    pub elapsed: Duration,
    /// Its span.
    pub span: Span,
}

impl GrpcCall<'_> {
    /// The stable name of the error, if it is one that has a name.
    pub fn error_code(&self) -> Option<String> {
        let status = Status::from_header_map(self.response)?;
        Some(status.get_details_error_info()?.reason)
    }
}

/// How much a sidecar has to do at this moment.
#[derive(Debug, Default)]
pub struct Load {
    /// Over HTTP.
    pub http: Counts,
    /// Over gRPC.
    pub grpc: Counts,
}

/// What is there now over one protocol.
#[derive(Debug, Default)]
pub struct Counts {
    /// Requests that have come and are not answered.
    pub requests: Gauge,
    /// Connections.
    pub connections: Gauge,
}

/// How many there are of something.
#[derive(Debug, Default)]
pub struct Gauge(AtomicU64);

/// One of them. Dropped when it is no more.
#[derive(Debug)]
pub(crate) struct Counted<'a>(&'a Gauge);

impl Gauge {
    /// How many there are.
    pub fn value(&self) -> u64 {
        self.0.load(Relaxed)
    }

    pub(crate) fn count(&self) -> Counted<'_> {
        self.0.fetch_add(1, Relaxed);
        Counted(self)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.0.fetch_sub(1, Relaxed);
    }
}

impl Target<'_> {
    /// Dapr's name of the endpoint.
    pub fn endpoint(&self) -> &'static str {
        match self {
            Target::State { endpoint, .. } | Target::Other { endpoint, .. } => endpoint,
            Target::Unknown => "Unknown",
        }
    }

    /// Whether it is about health alone.
    pub fn is_health(&self) -> bool {
        matches!(
            self,
            Target::Other { endpoint: "Healthz" | "HealthzOutbound" | "HealthzComponents", .. }
        )
    }
}
