//! What can be done to real servers. They need the packages `redis-server`, `postgresql` and `etcd-server`, and fail without them.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod cluster;
mod etcd;
mod orphans;
mod postgres;
mod process;
mod redis;
mod replicated;
mod sentinels;
