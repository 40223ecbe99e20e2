//! What is verified, and how it can be disturbed.

use std::{fmt, sync::Arc};

use anyhow::Result;
use async_trait::async_trait;
use fastrand::Rng;
use state::Store;

/// Sidecars in front of one store, or whatever else gives several ways to the same data.
#[async_trait]
pub trait Target: fmt::Debug + Send + Sync {
    /// The ways to the data.
    fn stores(&self) -> &[Arc<dyn Store>];

    /// Whether [`disturb`](Target::disturb) kills what keeps the data, so that what is left
    /// afterwards says something of durability.
    fn kills_the_store(&self) -> bool;

    /// Makes one fault, of those that harm nobody else, and ends it again. Returns what it was;
    /// `None` if nothing can be disturbed.
    ///
    /// # Errors
    ///
    /// If what was disturbed cannot be brought back.
    async fn disturb(&self, rng: &mut Rng) -> Result<Option<&'static str>>;

    /// Does what the user has asked for to be done to the store itself, such as a failover.
    /// `None` if nothing was asked for.
    ///
    /// # Errors
    ///
    /// If it failed.
    async fn provoke(&self) -> Result<Option<String>>;
}
