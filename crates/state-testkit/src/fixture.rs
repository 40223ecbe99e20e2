use std::{any::Any, error::Error, fmt, sync::Arc};

use futures::future::BoxFuture;
use state::Store;

/// A store that was opened to run cases against.
pub struct Fixture {
    /// The store.
    pub store: Arc<dyn Store>,
    /// Another instance that works on the same data, as a second sidecar would. `None` leaves out
    /// the cases about two of them.
    pub second: Option<Arc<dyn Store>>,
    /// Whatever must live for as long as the stores do: a directory, a server. It is dropped
    /// after them.
    pub guard: Box<dyn Any + Send + Sync>,
}

/// A [`Fixture`] on its way, or why there is none.
pub type Opening = BoxFuture<'static, Result<Fixture, Box<dyn Error + Send + Sync>>>;

impl Fixture {
    /// A store that needs no guard and has no second instance.
    pub fn new(store: Arc<dyn Store>) -> Fixture {
        Fixture { store, second: None, guard: Box::new(()) }
    }
}

impl fmt::Debug for Fixture {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fixture")
            .field("store", &self.store)
            .field("second", &self.second)
            .finish_non_exhaustive()
    }
}
