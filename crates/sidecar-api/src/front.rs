use std::{sync::Arc, time::Duration};

use crate::{Observer, Protection, Sidecar};

/// What serving needs to know besides the sidecar itself, whatever it is spoken to in.
#[derive(Debug)]
pub struct Front {
    /// What requests are about.
    pub sidecar: Arc<Sidecar>,
    /// How much is put up with.
    pub limits: Limits,
    /// Who may call.
    pub protection: Protection,
    /// Who is told of the requests that were answered, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
}

impl AsRef<Front> for Front {
    fn as_ref(&self) -> &Front {
        self
    }
}

/// How much of everything a front puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body, and of a message over gRPC in either direction.
    pub body_bytes_max: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Connections at the same time; one more waits to be accepted.
    pub connections_max: usize,
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Duration,
    /// Between two requests on one connection.
    pub keep_alive_timeout: Duration,
    /// While a client takes nothing of a response.
    pub write_timeout: Duration,
    /// From the head of a call over gRPC to its answer, if its client has set no shorter time.
    pub call_timeout: Duration,
}

/// Source of the figures: the project's security goals; 4 MiB is Dapr's.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 4 << 20,
            head_bytes_max: 16 << 10,
            headers_max: 100,
            connections_max: 4096,
            head_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
            call_timeout: Duration::from_secs(60),
        }
    }
}
