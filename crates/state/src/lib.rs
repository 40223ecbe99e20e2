//! The vocabulary of state management: what a store is and what is said to it.
//!
//! Start with [`Store`], then [`Write`]. Everything else is a noun one of them needs.
//!
//! This crate performs no I/O and knows nothing of HTTP, gRPC, YAML or any database. Every
//! other crate may depend on it; it depends on none of them.

mod capability;
mod error;
mod key;
mod op;
mod store;

pub use capability::{Capabilities, Consistencies, Durability, Feature};
pub use error::{Conflict, Error, Failure, FailureKind, Found, Outcome, Result};
pub use key::{KEY_SEPARATOR, Key, KeyError};
pub use op::{
    Change, Consistency, ETag, Format, Item, KeyPage, Metadata, Precondition, Read, Ttl, Write,
    Written,
};
pub use store::{BULK_CONCURRENCY, Store, each, each_in_order};
