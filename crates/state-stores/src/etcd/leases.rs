//! Leases that are granted for a write, and given back if nothing came of it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use state::{Change, Result, Write};
use tokio::sync::Semaphore;
use tracing::debug;

use super::{
    connection::path,
    engine::Engine,
    lease::{COMMIT_MAX, Lease},
    members::Members,
    messages::{GrantRequest, LeaseRequest, Nothing},
    persistence::{Persistence, Stage},
    refusal::{Intent, Trouble},
};

/// Leases that are given back at once. What is more than that ends with its time.
pub(super) const REVOCATIONS_MAX: usize = 256;

/// The leases of one attempt, one for each time that its values are to live.
#[derive(Debug)]
pub(super) struct Leases {
    granted: Vec<(Duration, Lease)>,
    /// When the deadlines were set.
    since: Instant,
    /// Whether values may have them.
    are_used: bool,
    members: Arc<Members>,
    revocations: Arc<Semaphore>,
}

pub(super) fn ttl(write: &Write) -> Option<Duration> {
    match &write.change {
        Change::Put { ttl, .. } => ttl.duration(),
        Change::Delete => None,
    }
}

impl Engine {
    /// Leases for these writes.
    pub(super) async fn grant<'a>(
        &self,
        writes: impl Iterator<Item = &'a Write>,
        stage: &Stage,
        persistence: &mut Persistence,
    ) -> Result<Leases> {
        let mut leases = Leases {
            granted: Vec::new(),
            since: Instant::now(),
            are_used: false,
            members: self.members.clone(),
            revocations: self.revocations.clone(),
        };
        for ttl in writes.filter_map(ttl) {
            if leases.id(Some(ttl)) != 0 {
                continue;
            }
            loop {
                let lease = Lease::new(ttl);
                // Before it is there: it may be although nobody has said so.
                leases.granted.push((ttl, lease));
                let asked = GrantRequest { ttl_s: Lease::granted_s(ttl), id: lease.id() };
                // Of a lease that nothing has, nobody needs to know what became.
                match self.call_once::<Nothing>(path::GRANT, &asked, Intent::Read, stage).await {
                    Ok(_) => break,
                    Err(trouble) => {
                        if matches!(trouble, Trouble::NoLease(_)) {
                            // The number is that of another write.
                            leases.granted.pop();
                        }
                        persistence.endures(trouble, stage).await?;
                    }
                }
            }
        }
        Ok(leases)
    }
}

impl Leases {
    /// The number for a value that lives for so long; 0 for ever.
    pub(super) fn id(&self, ttl: Option<Duration>) -> i64 {
        let same = self.granted.iter().rev().find(|it| Some(it.0) == ttl);
        same.map_or(0, |it| it.1.id())
    }

    /// From here on values may have them.
    pub(super) fn are_used(&mut self) {
        self.are_used = true;
    }

    /// No value has them.
    pub(super) fn are_unused(&mut self) {
        self.are_used = false;
    }

    /// Whether what is committed until now lives for its time.
    pub(super) fn are_in_time(&self) -> bool {
        self.granted.is_empty() || self.since.elapsed() < COMMIT_MAX
    }
}

impl Drop for Leases {
    fn drop(&mut self) {
        if self.are_used {
            return;
        }
        for (_, lease) in self.granted.drain(..) {
            let Ok(place) = self.revocations.clone().try_acquire_owned() else { return };
            let members = self.members.clone();
            let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
            runtime.spawn(async move {
                let asked = LeaseRequest { id: lease.id() };
                let revoked: Result<Nothing, Trouble> =
                    members.call(path::REVOKE, &asked, Intent::Read, || {}).await;
                if let Err(trouble) = revoked {
                    let error = trouble.error();
                    debug!(error = %error, "a lease was not given back; it ends with its time");
                }
                drop(place);
            });
        }
    }
}
