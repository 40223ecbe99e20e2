use std::{sync::Arc, time::Duration};

use arc_swap::ArcSwap;

use crate::{Observer, Protection, Served, Sidecar, admission::Budget};

/// What serving needs to know besides the sidecar itself, whatever it is spoken to in.
#[derive(Debug)]
pub struct Front {
    /// What requests are about.
    pub sidecar: Arc<Sidecar>,
    /// How much is put up with.
    pub limits: Limits,
    /// Who may call.
    pub protection: Protection,
    /// What there is to call. May change while requests are served.
    pub served: ArcSwap<Served>,
    /// Whether it is for probes: health and metadata are all there is to read, and nothing can be changed.
    pub is_public: bool,
    /// Whether HTTP/2 is spoken besides HTTP/1.1 on the port for HTTP.
    pub http2: bool,
    /// Who is told of the requests that were answered, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
    /// Bytes of bodies that are in memory.
    pub(crate) body_bytes: Arc<Budget>,
}

impl Front {
    /// A front with everything that there is to call.
    pub fn new(sidecar: Arc<Sidecar>, limits: Limits, protection: Protection) -> Front {
        let served = ArcSwap::default();
        let body_bytes = Budget::new(limits.in_flight_bytes_max);
        Front {
            sidecar,
            limits,
            protection,
            served,
            is_public: false,
            http2: true,
            observer: None,
            body_bytes,
        }
    }
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
    /// Bytes of the bodies of all requests under way.
    pub in_flight_bytes_max: usize,
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
    /// From the head of a request or call to its answer, if a client of gRPC has set no shorter time.
    pub call_timeout: Duration,
}

/// Source of the figures: the project's security goals; 4 MiB is Dapr's.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 4 << 20,
            in_flight_bytes_max: 64 << 20,
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
