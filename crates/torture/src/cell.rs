//! A store under torture: how to start it, what can be done to it, and what it may lose.

use std::{ffi::OsString, fmt, path::Path};

use anyhow::{Result, bail};
use async_trait::async_trait;
use futures::future::BoxFuture;

use crate::fault::FaultKind;

/// A store, and the faults it is put under. Adding a store is adding one of these.
#[derive(Debug)]
pub(crate) struct Cell {
    /// What it is called on the command line.
    pub(crate) name: &'static str,
    /// Starts a fresh one, with its data in the folder given.
    pub(crate) start: Start,
    /// What is done to it, each in a session of its own.
    pub(crate) faults: &'static [FaultKind],
    /// Under which faults it may lose acknowledged writes, and why. Such losses are counted and
    /// printed, and are no failure.
    pub(crate) may_lose: &'static [(FaultKind, &'static str)],
}

/// How a cell's store is started, for sessions under one kind of fault.
pub(crate) type Start = for<'a> fn(&'a Path, FaultKind) -> BoxFuture<'a, Result<Box<dyn Tortured>>>;

/// A store that runs.
#[async_trait]
pub(crate) trait Tortured: fmt::Debug + Send + Sync {
    /// The `spec` of its component file, indented by two spaces, for the sidecar of this number.
    fn spec(&self, sidecar: usize) -> String;

    /// What the sidecar of this number is started in, such as strace.
    fn wrapper(&self, _sidecar: usize) -> Vec<OsString> {
        Vec::new()
    }

    /// How many faults it has made without being asked.
    fn faults_of_its_own(&self) -> u64 {
        0
    }

    /// Does to the store what has to be done to it alone: kills it, fills its disk.
    async fn harm(&mut self, fault: FaultKind) -> Result<()> {
        bail!("nothing is known about how to make this fault: {fault:?}")
    }

    /// Ends what [`harm`](Tortured::harm) began.
    async fn repair(&mut self, fault: FaultKind) -> Result<()> {
        bail!("nothing is known about how to end this fault: {fault:?}")
    }
}
