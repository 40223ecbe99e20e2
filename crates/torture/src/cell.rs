//! A store under torture: how to start it, what can be done to it, and what it may lose.

use std::{ffi::OsString, fmt, path::Path, time::Duration};

use anyhow::{Result, bail};
use async_trait::async_trait;
use fastrand::Rng;
use fault_proxy::Proxy;
use futures::future::BoxFuture;
use tokio::time::sleep;

use crate::fault::FaultKind;

/// A store, and the faults it is put under. Adding a store is adding one of these.
#[derive(Debug)]
pub(crate) struct Cell {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Starts a fresh one.
    pub(crate) start: Start,
    /// What is done to it, each in a session of its own.
    pub(crate) faults: &'static [FaultKind],
    /// Under which faults it may lose the newest acknowledged writes when another server takes over, and
    /// why. What only that explains is counted and printed, and is no failure; see
    /// [`excuse`](crate::excuse).
    pub(crate) may_lose: &'static [(FaultKind, &'static str)],
}

/// How a cell's store is started.
pub(crate) type Start = for<'a> fn(Setup<'a>) -> BoxFuture<'a, Result<Box<dyn Tortured>>>;

/// What a store is started for.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Setup<'a> {
    /// Where its data may be.
    pub(crate) folder: &'a Path,
    /// What it will be put under.
    pub(crate) fault: FaultKind,
    /// What its choices are made from.
    pub(crate) seed: u64,
    /// How many sidecars will use it.
    pub(crate) sidecars: usize,
}

/// Tells a key that clients most likely use now, one of many.
pub(crate) type Busy<'a> = &'a (dyn Fn(&mut Rng) -> String + Send + Sync);

/// A store that runs.
#[async_trait]
pub(crate) trait Tortured: fmt::Debug + Send + Sync {
    /// The `spec` of its component file, indented by two spaces, for the sidecar of this number.
    fn spec(&self, sidecar: usize) -> String;

    /// What the sidecar of this number is started in, such as strace.
    fn wrapper(&self, _sidecar: usize) -> Vec<OsString> {
        Vec::new()
    }

    /// The connections between the store and each sidecar, if they can be disturbed.
    fn links(&self) -> &[Proxy] {
        &[]
    }

    /// How many faults it has made without being asked.
    fn faults_of_its_own(&self) -> u64 {
        0
    }

    /// Does to the store what has to be done to it alone: kills it, fills its disk.
    async fn harm(&mut self, fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        bail!("nothing is known about how to make this fault: {fault:?}")
    }

    /// Between [`harm`](Tortured::harm) and [`repair`](Tortured::repair), for this long: waits, or does
    /// again and again what has to be done so.
    async fn prolong(&mut self, _: FaultKind, duration: Duration, _busy: Busy<'_>) -> Result<()> {
        sleep(duration).await;
        Ok(())
    }

    /// Ends what [`harm`](Tortured::harm) began, and returns when everything is as it was before, though
    /// another server may take the writes.
    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        bail!("nothing is known about how to end this fault: {fault:?}")
    }

    /// Waits until another server takes the writes than before the harm was done.
    async fn succeeded(&mut self) -> Result<()> {
        bail!("there is no other server")
    }

    /// Waits until the one that took them before answers nobody who takes it for the primary.
    async fn deposed(&mut self) -> Result<()> {
        bail!("there is no other server")
    }

    /// How often sidecars have met a fault that need not spoil anything.
    fn meetings(&self) -> u64 {
        0
    }
}
