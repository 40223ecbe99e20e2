//! Every database the sidecar can keep state in: one module, and one line of the table, each.
//!
//! A store knows nothing of key prefixes, encryption, retries, metrics or HTTP. What every one
//! of them promises is in [`state::Store`]; `memory.rs` keeps it in the plainest way.

use std::sync::Arc;

use futures::future::BoxFuture;
use state::{Result, Store};
use state_config::Properties;

#[cfg(any(feature = "mysql", feature = "postgresql"))]
mod base64;
#[cfg(feature = "etcd")]
mod etcd;
#[cfg(any(feature = "mysql", feature = "postgresql", feature = "redis"))]
mod json;
mod memory;
#[cfg(feature = "mysql")]
mod mysql;
#[cfg(feature = "postgresql")]
mod postgresql;
#[cfg(feature = "redis")]
mod redis;
#[cfg(any(feature = "mysql", feature = "postgresql", feature = "sqlite"))]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(any(feature = "etcd", feature = "postgresql", feature = "redis"))]
mod tls;
#[cfg(any(feature = "etcd", feature = "mysql", feature = "postgresql", feature = "redis"))]
mod waves;

/// What connects a component type to the code that serves it.
#[derive(Debug)]
pub struct Driver {
    /// The `spec.type` of a component file.
    pub component: &'static str,
    /// Other types that Dapr knows it by.
    pub aliases: &'static [&'static str],
    /// The `spec.version` it serves: of those of one component, the first in the table also goes by none.
    pub version: &'static str,
    /// Whether the store is a part of the process that opens it, and is killed with it, and not a
    /// server of its own.
    pub in_process: bool,
    /// Connects, creating tables and the like if need be.
    pub open: fn(Properties) -> Opening,
}

/// A store on its way, or why there is none.
pub type Opening = BoxFuture<'static, Result<Arc<dyn Store>>>;

/// The drivers in this binary, in alphabetical order, and in that of their versions.
pub static DRIVERS: &[Driver] = &[
    #[cfg(feature = "postgresql")]
    postgresql::COCKROACHDB_V1,
    #[cfg(feature = "postgresql")]
    postgresql::COCKROACHDB_V2,
    #[cfg(feature = "etcd")]
    etcd::V1,
    #[cfg(feature = "etcd")]
    etcd::V2,
    memory::DRIVER,
    #[cfg(feature = "mysql")]
    mysql::DRIVER,
    #[cfg(feature = "postgresql")]
    postgresql::POSTGRESQL_V1,
    #[cfg(feature = "postgresql")]
    postgresql::POSTGRESQL_V2,
    #[cfg(feature = "redis")]
    redis::DRIVER,
    #[cfg(feature = "sqlite")]
    sqlite::DRIVER,
    #[cfg(feature = "postgresql")]
    postgresql::YUGABYTEDB,
];

/// The drivers for a `spec.type`, in any case: one for each version that this binary has of it, in order.
pub fn versions(component_type: &str) -> impl Iterator<Item = &'static Driver> {
    DRIVERS.iter().filter(move |it| it.serves(component_type))
}

/// The driver for a `spec.type`, in any case, without a `spec.version`.
pub fn driver(component_type: &str) -> Option<&'static Driver> {
    versions(component_type).next()
}

impl Driver {
    fn serves(&self, component_type: &str) -> bool {
        let mut names = self.aliases.iter().chain([&self.component]);
        names.any(|it| it.eq_ignore_ascii_case(component_type))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn component_types_are_found_in_any_case() {
        assert_eq!(driver("State.In-Memory").unwrap().component, "state.in-memory");
        assert!(driver("state.in").is_none());
    }

    #[test]
    fn drivers_are_in_alphabetical_order_and_apart() {
        let place = |it: &Driver| (it.component, it.version);
        assert!(DRIVERS.is_sorted_by(|a, b| place(a) < place(b)));
        for driver in DRIVERS {
            let names = driver.aliases.iter().chain([&driver.component]);
            for name in names {
                assert!(versions(name).all(|it| it.component == driver.component), "{name}");
            }
        }
    }
}
