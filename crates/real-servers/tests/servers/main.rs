//! What can be done to real servers. They need the package `redis-server`, and fail without it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cluster;
mod orphans;
mod process;
mod redis;
mod replicated;
mod sentinels;
