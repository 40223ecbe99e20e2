//! The proxy's faults, and those of processes, with plain servers and clients made for nothing else. They need the
//! packages `redis-server` and `etcd-server`, and fail without them.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

mod etcd;
mod redis;

use std::time::Duration;

/// How long to watch that no answer comes.
const MOMENT: Duration = Duration::from_millis(200);
