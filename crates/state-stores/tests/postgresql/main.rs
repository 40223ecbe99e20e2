//! What the conformance suite cannot ask of PostgreSQL: Dapr's layouts and their earlier levels, standbys, poolers,
//! rights and TLS. `cargo test -p state-stores --test postgresql [-- standby]`
//!
//! The tests start their servers themselves, from the packages `postgresql` and `pgbouncer`, and fail without them.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod contention;
mod fates;
#[path = "../injection.rs"]
mod injection;
mod layout;
mod login;
mod migrations;
mod pooler;
mod refusals;
mod round_trips;
mod standby;
mod statements;
mod support;
#[path = "../words.rs"]
mod words;
