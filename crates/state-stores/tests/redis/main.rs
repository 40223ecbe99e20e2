//! What the conformance suite cannot ask of Redis: Dapr's layout, replicas, Sentinel, Cluster, rights
//! and TLS. `cargo test -p state-stores --test redis [-- sentinel]`
//!
//! The tests start their servers themselves, from the package `redis-server`, and fail without it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cluster;
mod json;
mod layout;
mod login;
mod refusals;
mod replication;
mod rights;
mod round_trips;
mod sentinel;
mod support;
#[path = "../words.rs"]
mod words;
