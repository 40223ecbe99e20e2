//! The program itself, as its users run it: real processes, real ports, real files.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

mod access;
mod crash;
#[cfg(feature = "etcd")]
mod etcd;
mod metrics;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgresql")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;
mod run;
mod serve;
mod support;
mod tracing;
mod verify;
