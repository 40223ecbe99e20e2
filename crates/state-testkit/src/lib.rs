//! The contract of [`Store`](state::Store) as runnable cases, written once for every store.
//!
//! `state-stores` runs them against each driver, `state-layers` against each layer, `sidecar-api`
//! against its own fronts. A case sees nothing but a `Store`: it cannot tell a database from a
//! sidecar, and it says what is promised, never how.
//!
//! Start with `cases/etag.rs`, which reads as the table of the contract. A store's own test
//! target is a table of [`Subject`]s and a call of [`run`]. [`check_model`] drives random
//! sequences of requests against the contract's [`Model`].

mod cases;
mod fixture;
#[cfg(feature = "harness")]
mod harness;
mod model;
#[cfg(feature = "harness")]
mod model_test;
mod scope;

pub use cases::{Case, OutOfTime, cases};
pub use fixture::{Fixture, Opening};
#[cfg(feature = "harness")]
pub use harness::{Subject, run};
pub use model::{Condition, Effect, Model, Op, Present, Refusal, Version};
#[cfg(feature = "harness")]
pub use model_test::check_model;
