//! Dapr's state API: translations from the wire to one [`Service`].
//!
//! Start with [`Sidecar`], what a running sidecar is to its fronts, then [`Service`], the API
//! without any wire. [`http`] is the front.

mod error;
pub mod http;
mod service;
mod sidecar;
mod vocabulary;

pub use error::{ApiError, Op};
pub use service::{Component, Service, Status, StoreHandle};
pub use sidecar::{AppConnection, Identity, Sidecar, Stop};
