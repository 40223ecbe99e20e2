//! What the parts of a connection share, and how they learn of faults.

use std::{
    future,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
};

use tokio::sync::watch;

use crate::{Direction, Fault, random::Random};

/// What the user of the proxy wants at present.
#[derive(Clone, Debug, Default)]
pub(crate) struct Setting {
    pub(crate) fault: Option<Fault>,
    pub(crate) one_in: u32,
    /// Counts the settings, so that the same fault set again is another.
    pub(crate) epoch: u64,
    /// How often all connections were cut.
    pub(crate) cuts: u64,
}

#[derive(Debug, Default)]
pub(crate) struct Counters {
    pub(crate) accepted: AtomicU64,
    pub(crate) open: AtomicU64,
    pub(crate) hit: AtomicU64,
}

/// How a connection ends before its time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    Close,
    Reset,
}

/// One connection. All its parts run in one task, so the order of atomics does not matter.
#[derive(Debug)]
pub(crate) struct Link {
    seed: u64,
    number: u64,
    /// How often all had been cut when it began.
    cuts: u64,
    counters: Arc<Counters>,
    /// The setting that last did something to it.
    hit_in: AtomicU64,
    /// Whether something was sent to the server since it last spoke.
    pub(crate) awaits_reply: AtomicBool,
    /// The setting in which a mark has passed whose reply is to be lost.
    pub(crate) doomed_in: AtomicU64,
}

impl Link {
    pub(crate) fn new(seed: u64, cuts: u64, counters: Arc<Counters>) -> Link {
        let number = counters.accepted.fetch_add(1, Relaxed);
        counters.open.fetch_add(1, Relaxed);
        let (hit_in, awaits_reply, doomed_in) = Default::default();
        Link { seed, number, cuts, counters, hit_in, awaits_reply, doomed_in }
    }

    /// The fault of `setting`, if this connection is among those concerned.
    fn suffers(&self, setting: &Setting) -> Option<Fault> {
        let fault = setting.fault.clone()?;
        let mut random = Random::new(self.seed, &[setting.epoch, self.number]);
        (!fault.is_drawn_per_connection() || random.one_in(setting.one_in)).then_some(fault)
    }

    /// The draws for one direction in one setting.
    pub(crate) fn random(&self, epoch: u64, direction: Direction) -> Random {
        Random::new(self.seed, &[epoch, self.number, direction as u64])
    }

    /// Counts this connection as one that the setting has done something to.
    pub(crate) fn hit(&self, epoch: u64) {
        if self.hit_in.swap(epoch, Relaxed) != epoch {
            self.counters.hit.fetch_add(1, Relaxed);
        }
    }
}

impl Drop for Link {
    fn drop(&mut self) {
        self.counters.open.fetch_sub(1, Relaxed);
    }
}

/// What the setting means for a connection.
#[derive(Debug, Default)]
pub(crate) struct Orders {
    pub(crate) fault: Option<Fault>,
    pub(crate) one_in: u32,
    pub(crate) epoch: u64,
}

/// The eyes of one part of a connection.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pub(crate) link: &'a Link,
    settings: watch::Receiver<Setting>,
}

impl<'a> View<'a> {
    pub(crate) fn new(link: &'a Link, settings: &watch::Receiver<Setting>) -> View<'a> {
        let mut settings = settings.clone();
        settings.mark_changed();
        View { link, settings }
    }

    /// The orders, if they have changed since they were last asked for.
    pub(crate) fn news(&mut self) -> Result<Option<Orders>, Ending> {
        // An error means that the proxy was dropped, and this task is about to be.
        if !self.settings.has_changed().unwrap_or(false) {
            return Ok(None);
        }
        let setting = self.settings.borrow_and_update().clone();
        let fault = self.link.suffers(&setting);
        if setting.cuts != self.link.cuts || fault == Some(Fault::Reset) {
            self.link.hit(setting.epoch);
            return Err(Ending::Reset);
        }
        Ok(Some(Orders { fault, one_in: setting.one_in, epoch: setting.epoch }))
    }

    /// Returns when there are news.
    pub(crate) async fn changed(&mut self) {
        match self.settings.changed().await {
            // Waiting is not reading.
            Ok(()) => self.settings.mark_changed(),
            Err(_) => future::pending().await,
        }
    }
}
