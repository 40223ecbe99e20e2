//! What can be done to real servers. They need the packages `redis-server` and `postgresql`, and fail without them.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod etcd;
mod cluster;
mod orphans;
mod postgres;
mod process;
mod redis;
mod replicated;
mod sentinels;
