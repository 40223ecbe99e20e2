//! A few connections: some that single statements share, and some that a transaction has for itself.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};

use super::{
    connection::{Connection, Connector, NoConnection},
    refusal::Trouble,
};

/// How long it is not tried to have one more, where there is one that will do.
const PAUSE: Duration = Duration::from_secs(1);

#[derive(Debug)]
pub(super) struct Pool {
    connector: Arc<Connector>,
    /// Each for many requests, which the server carries out one after the other.
    shared: Vec<Slot>,
    /// Twice as many as slots, where there may be so many: one that is stuck is replaced and not cut off.
    shared_permits: Arc<Semaphore>,
    /// Of no use at the moment, and since when.
    idle: Arc<Idle>,
    lease_permits: Arc<Semaphore>,
}

type Idle = Mutex<Vec<(Connection, Instant)>>;

#[derive(Clone, Debug, Default)]
struct Slot {
    connection: Arc<RwLock<Option<Arc<Connection>>>>,
    /// Whoever opens one has this. What came of the last attempt, and when, if it was nothing.
    opening: Arc<tokio::sync::Mutex<Option<(Instant, NoConnection)>>>,
}

/// A connection that nobody else uses. It is closed at the end, unless it is given back.
#[derive(Debug)]
pub(super) struct Lease {
    pub(super) connection: Connection,
    idle: Arc<Idle>,
    permit: OwnedSemaphorePermit,
}

impl Pool {
    /// A pool of `max` connections at most, which is 2 at least.
    pub(super) fn new(connector: Arc<Connector>, max: usize) -> Pool {
        let shared = max / 2;
        Pool {
            connector,
            shared: (0..shared.div_ceil(2)).map(|_| Slot::default()).collect(),
            shared_permits: Arc::new(Semaphore::new(shared)),
            idle: Arc::default(),
            lease_permits: Arc::new(Semaphore::new(max - shared)),
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
            let other = best.or_else(|| self.any());
            let vacancy = self.vacancy().map(|(slot, permit)| {
                self.open(slot, permit, other.is_none());
                slot
            });
            if let Some(it) = other {
                return Ok(it);
            }
            let slot = vacancy.unwrap_or(&self.shared[0]);
            // If that has failed since it was asked for, it need not be tried once more for everybody who waits.
            if let Some((failed, why)) = &*slot.opening.lock().await
                && *failed >= asked
            {
                return Err(Trouble::of_connecting(why, self.label()));
            }
        }
    }

    /// Opens a connection in a slot, unless somebody does. It is opened also if whoever asked for it gives up, or nobody
    /// would ever have one who is less patient than it takes.
    fn open(&self, slot: &Slot, permit: OwnedSemaphorePermit, is_urgent: bool) {
        let Ok(mut opening) = slot.opening.clone().try_lock_owned() else { return };
        let failed_lately = opening.as_ref().is_some_and(|it| it.0.elapsed() < PAUSE);
        if failed_lately && !is_urgent {
            return;
        }
        let (connector, connection) = (self.connector.clone(), slot.connection.clone());
        tokio::spawn(async move {
            match connector.connect(Some(permit)).await {
                Ok(it) => {
                    *connection.write() = Some(Arc::new(it));
                    *opening = None;
                }
                Err(e) => *opening = Some((Instant::now(), e)),
            }
        });
    }

    /// A connection that nobody else uses.
    pub(super) async fn lease(&self) -> Result<Lease, Trouble> {
        let permit = self.lease_permits.clone().acquire_owned().await.expect("it is never closed");
        let used = || self.idle.lock().pop();
        while let Some((connection, _)) = used() {
            if !connection.is_over() {
                return Ok(Lease { connection, idle: self.idle.clone(), permit });
            }
        }
        // There are no more of these than permits: one is opened only when none is idle.
        let (sender, receiver) = oneshot::channel();
        let (connector, idle) = (self.connector.clone(), self.idle.clone());
        tokio::spawn(async move {
            let opened = connector.connect(None).await;
            let lease = opened.map(|connection| Lease { connection, idle, permit });
            if let Err(Ok(unwanted)) = sender.send(lease) {
                unwanted.give_back();
            }
        });
        let lease = receiver.await.expect("it is always sent");
        lease.map_err(|e| Trouble::of_connecting(&e, self.label()))
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

impl Lease {
    /// Keeps the connection for others: nothing is under way on it.
    pub(super) fn give_back(self) {
        self.idle.lock().push((self.connection, Instant::now()));
        drop(self.permit);
    }
}
