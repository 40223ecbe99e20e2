//! Every database the sidecar can keep state in: one module, and one line of the table, each.
//!
//! A store knows nothing of key prefixes, encryption, retries, metrics or HTTP. What every one
//! of them promises is in [`state::Store`]; `memory.rs` keeps it in the plainest way.

use std::sync::Arc;

use futures::future::BoxFuture;
use state::{Result, Store};
use state_config::Properties;

#[cfg(feature = "redis")]
mod json;
mod memory;
#[cfg(feature = "redis")]
mod redis;
#[cfg(feature = "sqlite")]
mod sql;
#[cfg(feature = "sqlite")]
mod sqlite;
#[cfg(feature = "redis")]
mod tls;

/// What connects a component type to the code that serves it.
#[derive(Debug)]
pub struct Driver {
    /// The `spec.type` of a component file.
    pub component: &'static str,
    /// Other types that Dapr knows it by.
    pub aliases: &'static [&'static str],
    /// The `spec.version`s it serves, the first of which also goes by none and by `v0`.
    pub versions: &'static [&'static str],
    /// Whether the store is a part of the process that opens it, and is killed with it, and not a
    /// server of its own.
    pub in_process: bool,
    /// Connects, creating tables and the like if need be.
    pub open: fn(Properties) -> Opening,
}

/// A store on its way, or why there is none.
pub type Opening = BoxFuture<'static, Result<Arc<dyn Store>>>;

/// The drivers in this binary, in alphabetical order.
pub static DRIVERS: &[Driver] = &[
    memory::DRIVER,
    #[cfg(feature = "redis")]
    redis::DRIVER,
    #[cfg(feature = "sqlite")]
    sqlite::DRIVER,
];

/// The driver for a `spec.type`, in any case, if this binary has it.
pub fn driver(component_type: &str) -> Option<&'static Driver> {
    DRIVERS.iter().find(|it| it.serves(component_type))
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
        assert!(DRIVERS.is_sorted_by(|a, b| a.component < b.component));
        for driver in DRIVERS {
            let names = driver.aliases.iter().chain([&driver.component]);
            for name in names {
                assert_eq!(DRIVERS.iter().filter(|it| it.serves(name)).count(), 1, "{name}");
            }
        }
    }
}
