//! What the sidecar adds to any store, each as a [`Store`] around another.
//!
//! The order is decided in one place, [`stack`].

use std::sync::Arc;

use state::Store;
use state_config::Policy;
use tokio_util::sync::CancellationToken;

mod encrypted;
mod guarded;
mod observed;
mod prefixed;
mod resilient;

pub use encrypted::{Cipher, Encrypted, Encryption, EncryptionKey, Form, KeyMistake, WrittenForm};
pub use guarded::Guarded;
pub use observed::{Observed, Observer, Operation, Tally};
pub use prefixed::Prefixed;
pub use resilient::{BreakerState, PolicyKind, ResiliencyEvent, ResiliencyObserver, Resilient};

/// What a component's configuration asks of its layers.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// The component's name, for logs.
    pub component: String,
    /// Put before every key; empty for none.
    pub key_prefix: String,
    /// With which keys values are encrypted; `None` for not at all.
    pub encryption: Option<Encryption>,
    /// What is done when the store fails; `None` for nothing.
    pub policy: Option<Policy>,
    /// Ends the pauses between attempts, once it is cancelled.
    pub ending: CancellationToken,
    /// Is told what the policy does.
    pub resiliency_observer: Option<Arc<dyn ResiliencyObserver>>,
    /// Who is told of every operation, if anybody.
    pub observer: Option<Arc<dyn Observer>>,
}

/// Wraps a freshly opened store in the standard layers. Read from the bottom up: a request meets
/// the last one first.
pub fn stack(store: Arc<dyn Store>, plan: Plan) -> Arc<dyn Store> {
    let Plan { component, key_prefix, encryption, policy, ending, resiliency_observer, observer } =
        plan;
    // Nearest the database, so that what a layer refuses is never tried again, nor held against the store.
    let store = match policy {
        Some(policy) => {
            Arc::new(Resilient::new(store, component.clone(), policy, ending, resiliency_observer))
                as _
        }
        None => store,
    };
    // Below the prefix, so that a value is bound to the whole key that it is stored under.
    let store = match &encryption {
        Some(it) => Arc::new(Encrypted::new(store, &component, it)) as Arc<dyn Store>,
        None => store,
    };
    // Below the others, so that they speak of the application's own keys.
    let store = Arc::new(Prefixed::new(store, key_prefix));
    // Outside everything that can take a capability away, so it sees what is really left.
    let store = Arc::new(Guarded { inner: store });
    // Outermost, so it reports what the application asked for, refusals included, once.
    Arc::new(Observed { inner: store, component, observer })
}
