//! What the conformance suite cannot ask of etcd: Dapr's layouts, leases, clusters that lose members, what a server
//! refuses, logins and TLS. `cargo test -p state-stores --test etcd [-- leases]`
//!
//! The tests start their servers themselves, from the package `etcd-server`, and fail without it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cluster;
#[path = "../injection.rs"]
mod injection;
mod layout;
mod leases;
mod login;
mod refusals;
mod support;
#[path = "../words.rs"]
mod words;
