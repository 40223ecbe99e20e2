//! What the sidecar adds to any store, each as a [`Store`] around another.
//!
//! The order is decided in one place, [`stack`].

use std::sync::Arc;

use state::Store;

mod guarded;
mod observed;
mod prefixed;

pub use guarded::Guarded;
pub use observed::{Observed, Observer, Operation, Tally};
pub use prefixed::Prefixed;

/// What a component's configuration asks of its layers.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The component's name, for logs.
    pub component: String,
    /// Put before every key; empty for none.
    pub key_prefix: String,
    /// Who is told of every operation, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Wraps a freshly opened store in the standard layers. Read from the bottom up: a request meets
/// the last one first.
pub fn stack(store: Arc<dyn Store>, plan: Plan) -> Arc<dyn Store> {
    // Nearest the database, so that all other layers speak of the application's own keys.
    let store = Arc::new(Prefixed::new(store, plan.key_prefix));
    // Outside everything that can take a capability away, so it sees what is really left.
    let store = Arc::new(Guarded { inner: store });
    // Outermost, so it reports what the application asked for, refusals included, once.
    Arc::new(Observed { inner: store, component: plan.component, observer: plan.observer })
}
