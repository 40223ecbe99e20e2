//! The program itself, as its users run it: real processes, real ports, real files.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

mod access;
mod crash;
mod daprd;
mod encryption;
#[cfg(feature = "etcd")]
mod etcd;
mod install;
mod instances;
mod metrics;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "redis")]
mod overload;
#[cfg(feature = "postgresql")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;
mod reload;
#[cfg(feature = "redis")]
mod resiliency;
mod run;
mod secrets;
#[cfg(target_os = "linux")]
mod security;
mod serve;
mod support;
mod template;
mod tls;
mod tools;
mod tracing;
mod verify;
