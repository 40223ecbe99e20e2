//! Dapr's state API: translations from the wire to one [`Service`].
//!
//! Start with [`Sidecar`], what a running sidecar is to its fronts, then [`Service`], the API
//! without any wire. [`http`] and [`grpc`] are the fronts; `connections` has what they share of the network.

mod admission;
mod connections;
mod error;
mod front;
pub mod grpc;
pub mod http;
mod observer;
mod protection;
pub mod scrape;
mod served;
mod service;
mod sidecar;
mod trace;
mod vocabulary;

pub use connections::{Listener, Tls};
pub use error::{ApiError, Op};
pub use front::{Front, Limits};
pub use observer::{Counts, Gauge, GrpcCall, GrpcMethod, HttpCall, Load, Observer, Target};
pub use protection::{Protection, Token};
pub use served::{Parts, Served};
pub use service::{Component, IN_FLIGHT_MAX, Service, Status, StoreHandle};
pub use sidecar::{AppConnection, AppHealth, Identity, Sidecar, Stop};
pub use trace::{Span, TraceContext};
pub use vocabulary::key;
