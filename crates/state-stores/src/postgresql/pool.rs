//! A few connections: some that single statements share, and some that a transaction has for itself.

use std::{
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

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
    shared: Vec<Arc<Slot>>,
    /// Twice as many as slots, where there may be so many: one that is stuck is replaced and not cut off.
    shared_permits: Arc<Semaphore>,
    /// Of no use at the moment, and since when.
    idle: Arc<Idle>,
    lease_permits: Arc<Semaphore>,
}

type Idle = Mutex<Vec<(Connection, Instant)>>;

#[derive(Debug, Default)]
struct Slot {
    now: Mutex<Now>,
    /// Tells those who wait that a connection was opened, or could not be.
    changed: Notify,
}

#[derive(Debug, Default)]
struct Now {
    connection: Option<Arc<Connection>>,
    is_opening: bool,
    /// Why the last attempt came to nothing, and when.
    failed: Option<(Instant, NoConnection)>,
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
            shared: (0..shared.div_ceil(2)).map(|_| Arc::default()).collect(),
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
            let permits = &self.shared_permits;
            if let Some(slot) = self.vacancy() {
                match (&other, permits.clone().try_acquire_owned()) {
                    (_, Ok(permit)) => slot.open(self.connector.clone(), permit, other.is_none()),
                    (Some(_), Err(_)) => {}
                    // Those that are left of others will end, because nothing can be sent on them. Whoever gets a permit
                    // uses it: if all who wait only handed it on, nobody ever would.
                    (None, Err(_)) => {
                        let permit = permits.clone().acquire_owned().await;
                        slot.open(
                            self.connector.clone(),
                            permit.expect("it is never closed"),
                            true,
                        );
                    }
                }
                if other.is_none() {
                    slot.opened(asked, self.label()).await?;
                }
            }
            if let Some(it) = other {
                return Ok(it);
            }
        }
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
        let open = self.shared.iter().filter_map(|it| it.now.lock().connection.clone());
        open.filter(|it| !it.is_doubtful()).min_by_key(|it| it.load())
    }

    /// One that is silent is better than none.
    fn any(&self) -> Option<Arc<Connection>> {
        let open = self.shared.iter().filter_map(|it| it.now.lock().connection.clone());
        open.filter(|it| !it.is_over()).min_by_key(|it| it.load())
    }

    /// A place for another connection.
    fn vacancy(&self) -> Option<&Arc<Slot>> {
        self.shared.iter().find(|it| it.now.lock().is_vacant())
    }
}

impl Now {
    /// Whether there is no connection on which requests are answered.
    fn is_vacant(&mut self) -> bool {
        // Its permit is free when the last request on it ends.
        self.connection.take_if(|it| it.is_over());
        self.connection.as_ref().is_none_or(|it| it.is_doubtful())
    }
}

impl Slot {
    /// Opens a connection, unless there is one or somebody does. It is opened also if whoever asked for it gives up, or nobody would ever
    /// have one who is less patient than it takes.
    fn open(
        self: &Arc<Self>,
        connector: Arc<Connector>,
        permit: OwnedSemaphorePermit,
        is_urgent: bool,
    ) {
        let mut now = self.now.lock();
        let failed_lately = now.failed.as_ref().is_some_and(|it| it.0.elapsed() < PAUSE);
        if now.is_opening || !now.is_vacant() || (failed_lately && !is_urgent) {
            return;
        }
        now.is_opening = true;
        let slot = self.clone();
        tokio::spawn(async move {
            let opened = connector.connect(Some(permit)).await;
            let mut now = slot.now.lock();
            now.is_opening = false;
            match opened {
                Ok(it) => (now.connection, now.failed) = (Some(Arc::new(it)), None),
                Err(e) => now.failed = Some((Instant::now(), e)),
            }
            drop(now);
            slot.changed.notify_waiters();
        });
    }

    /// Waits until whoever opens a connection has one. If that has failed since it was asked for, it need not be tried once
    /// more for everybody who waits.
    async fn opened(&self, asked: Instant, label: &str) -> Result<(), Trouble> {
        let mut changed = pin!(self.changed.notified());
        changed.as_mut().enable();
        let failure = |now: &Now| match &now.failed {
            Some((failed, why)) if *failed >= asked => Some(Trouble::of_connecting(why, label)),
            _ => None,
        };
        let is_opening = {
            let now = self.now.lock();
            if let Some(trouble) = failure(&now) {
                return Err(trouble);
            }
            now.is_opening
        };
        if is_opening {
            changed.await;
        }
        failure(&self.now.lock()).map_or(Ok(()), Err)
    }
}

impl Lease {
    /// Keeps the connection for others: nothing is under way on it.
    pub(super) fn give_back(self) {
        self.idle.lock().push((self.connection, Instant::now()));
        drop(self.permit);
    }
}
