//! A sidecar, ours or Dapr's, as a store: what can be run against a store can be run against a
//! sidecar.
//!
//! Start with [`HttpStore`] and [`GrpcStore`]. `wire` says what is sent and how an answer is read, `failure` what
//! an answer that is an error means, `connection` how either travels.

mod capabilities;
mod connection;
mod failure;
mod grpc;
mod http;
mod wire;

pub use connection::Protocol;
pub use grpc::GrpcStore;
pub use http::HttpStore;
