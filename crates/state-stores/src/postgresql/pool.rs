//! A few connections: some that single statements share, and some that a transaction has for itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, SemaphorePermit};

use super::{
    connection::{Connection, Connector, NoConnection},
    refusal::Trouble,
};

#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<Connector>,
    /// Each for many requests, which the server carries out one after the other.
    shared: Vec<Slot>,
    /// Twice as many as slots, where there may be so many: one that is stuck is replaced and not cut off.
    shared_permits: Arc<Semaphore>,
    /// Of no use at the moment, and since when.
    idle: Mutex<Vec<(Connection, Instant)>>,
    lease_permits: Semaphore,
}

#[derive(Debug, Default)]
struct Slot {
    connection: RwLock<Option<Arc<Connection>>>,
    /// Whoever opens one has this. What came of the last attempt, and when, if it was nothing.
    opening: tokio::sync::Mutex<Option<(Instant, Arc<NoConnection>)>>,
}

/// A connection that nobody else uses. It is closed at the end, unless it is given back.
#[derive(Debug)]
pub(super) struct Lease<'a> {
    pool: &'a Pool,
    pub(super) connection: Connection,
    permit: SemaphorePermit<'a>,
}

impl Pool {
    /// A pool of `max` connections at most, which is 2 at least.
    pub(super) fn new(connector: Arc<Connector>, max: usize) -> Pool {
        let shared = max / 2;
        Pool {
            connector,
            shared: (0..shared.div_ceil(2)).map(|_| Slot::default()).collect(),
            shared_permits: Arc::new(Semaphore::new(shared)),
            idle: Mutex::default(),
            lease_permits: Semaphore::new(max - shared),
        }
    }

    /// What the servers are called in messages.
    pub(super) fn label(&self) -> &str {
        &self.connector.servers.label
    }

    /// A connection for one statement, which may have others before it.
    pub(super) async fn shared(&self) -> Result<Arc<Connection>, Trouble> {
        let asked = Instant::now();
        loop {
            let best = self.least_busy();
            if let Some(best) = &best
                && best.load() == 0
            {
                return Ok(best.clone());
            }
            let Some((slot, permit)) = self.vacancy() else {
                if let Some(it) = best.or_else(|| self.any()) {
                    return Ok(it);
                }
                self.wait_for(&self.shared[0], asked).await?;
                continue;
            };
            let Ok(mut opening) = slot.opening.try_lock() else {
                drop(permit);
                if let Some(best) = best {
                    return Ok(best);
                }
                self.wait_for(slot, asked).await?;
                continue;
            };
            match (self.connector.connect(Some(permit)).await, best) {
                (Ok(it), _) => {
                    let it = Arc::new(it);
                    *slot.connection.write() = Some(it.clone());
                    *opening = None;
                    return Ok(it);
                }
                (Err(_), Some(best)) => return Ok(best),
                (Err(e), None) => {
                    let trouble = Trouble::of_connecting(&e, self.label());
                    *opening = Some((Instant::now(), Arc::new(e)));
                    return Err(trouble);
                }
            }
        }
    }

    /// Waits until somebody else has opened a connection. If that has failed since `asked`, it need not be tried once
    /// more for everybody who waits.
    async fn wait_for(&self, slot: &Slot, asked: Instant) -> Result<(), Trouble> {
        match &*slot.opening.lock().await {
            Some((failed, e)) if *failed >= asked => Err(Trouble::of_connecting(e, self.label())),
            _ => Ok(()),
        }
    }

    /// A connection that nobody else uses.
    pub(super) async fn lease(&self) -> Result<Lease<'_>, Trouble> {
        let permit = self.lease_permits.acquire().await.expect("it is never closed");
        let used = || self.idle.lock().pop();
        while let Some((connection, _)) = used() {
            if !connection.is_over() {
                return Ok(Lease { pool: self, connection, permit });
            }
        }
        // There are no more of these than permits: one is opened only when none is idle.
        let connection = self.connector.connect(None).await;
        let connection = connection.map_err(|e| Trouble::of_connecting(&e, self.label()))?;
        Ok(Lease { pool: self, connection, permit })
    }

    /// Closes what was of no use for so long.
    pub(super) fn tidy(&self, idle_max: Duration) {
        self.idle.lock().retain(|(it, since)| !it.is_over() && since.elapsed() < idle_max);
    }

    fn least_busy(&self) -> Option<Arc<Connection>> {
        let open = self.shared.iter().filter_map(|it| it.connection.read().clone());
        open.filter(|it| !it.is_doubtful()).min_by_key(|it| it.load())
    }

    /// One that is silent is better than none.
    fn any(&self) -> Option<Arc<Connection>> {
        let open = self.shared.iter().filter_map(|it| it.connection.read().clone());
        open.filter(|it| !it.is_over()).min_by_key(|it| it.load())
    }

    /// A place for another connection, if there may be one.
    fn vacancy(&self) -> Option<(&Slot, OwnedSemaphorePermit)> {
        let slot = self.shared.iter().find(|it| {
            let mut connection = it.connection.write();
            if connection.as_ref().is_some_and(|it| it.is_over()) {
                // Its permit is free when the last request on it ends.
                *connection = None;
            }
            connection.as_ref().is_none_or(|it| it.is_doubtful())
        })?;
        Some((slot, self.shared_permits.clone().try_acquire_owned().ok()?))
    }
}

impl Lease<'_> {
    /// Keeps the connection for others: nothing is under way on it.
    pub(super) fn give_back(self) {
        self.pool.idle.lock().push((self.connection, Instant::now()));
        drop(self.permit);
    }
}
