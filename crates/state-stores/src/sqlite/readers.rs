//! A few connections that only read: readers never wait for the writer, nor for each other.

use std::sync::Arc;

use parking_lot::Mutex;
use rusqlite::Connection;
use state::{Error, FailureKind, Result};
use tokio::sync::Semaphore;

use super::{blocking, database::Database};

/// More than a sidecar's share of a machine can use at once.
const CONNECTIONS_MAX: usize = 4;

#[derive(Debug)]
pub(super) struct Readers {
    database: Arc<Database>,
    /// With the generation of the database that each belongs to.
    idle: Mutex<Vec<(u64, Connection)>>,
    permits: Arc<Semaphore>,
}

impl Readers {
    /// Opens nothing yet: connections are made when they are first needed.
    pub(super) fn new(database: Arc<Database>) -> Readers {
        let permits = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Readers { database, idle: Mutex::default(), permits }
    }

    /// Lets go of the connections that nobody is using.
    pub(super) fn close(&self) {
        self.idle.lock().clear();
    }

    /// Runs `work` on a connection of its own.
    pub(super) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        work: impl FnOnce(&Database, &Connection) -> Result<T> + Send + 'static,
    ) -> Result<T> {
        // The permit goes with the work: a caller that gives up must not let a fifth one in.
        let permit = self.permits.clone().acquire_owned().await;
        let permit = permit.map_err(|e| {
            Error::new(FailureKind::Unavailable, "the database was closed").with_source(e)
        })?;
        let readers = self.clone();
        blocking(move || {
            let generation = readers.database.generation();
            let idle = readers.idle.lock().pop().filter(|(it, _)| *it == generation);
            let connection = match idle {
                Some((_, connection)) => connection,
                None => readers.database.open_reader()?,
            };
            let result = work(&readers.database, &connection);
            readers.idle.lock().push((generation, connection));
            drop(permit);
            result
        })
        .await
    }
}
