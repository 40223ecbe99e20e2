//! SQLite: one file, and each sidecar has its own connections to it.

use std::{ffi::OsString, path::PathBuf};

use anyhow::{Context, Result};
use async_trait::async_trait;

use crate::{
    cell::{Busy, Cell, Setup, Tortured},
    disk::SmallDisk,
    fault::FaultKind,
};

pub(crate) const CELL: Cell = Cell {
    name: "sqlite",
    start: |setup| Box::pin(start(setup)),
    faults: &[
        FaultKind::None,
        FaultKind::KillSidecar,
        FaultKind::PauseSidecar,
        FaultKind::LoseReplies,
        FaultKind::ResetConnections,
        FaultKind::DelayReplies,
        FaultKind::WithholdRequests,
        FaultKind::WithholdReplies,
        FaultKind::HalfOpen,
        FaultKind::OneByteAtATime,
        FaultKind::FullDisk,
        FaultKind::FailingDisk,
    ],
    may_lose: &[],
};

/// A flush fails once in this many, from the first of them that is so.
const FLUSH_FAILS_EVERY: u32 = 60;

/// Which sidecar has the failing disk.
const FAILING: usize = 0;

/// As small as it may be with room for the log of a session, so that it is soon filled.
const DISK_BYTES: u64 = 64 << 20;

#[derive(Debug)]
struct Sqlite {
    database: PathBuf,
    fault: FaultKind,
    /// Where strace says what it has made to fail.
    injected: PathBuf,
    disk: Option<SmallDisk>,
}

async fn start(setup: Setup<'_>) -> Result<Box<dyn Tortured>> {
    let Setup { folder, fault, .. } = setup;
    let disk = match fault {
        FaultKind::FullDisk => Some(SmallDisk::mount(&folder.join("disk"), DISK_BYTES)?),
        _ => None,
    };
    let data = disk.as_ref().map_or(folder, SmallDisk::path);
    Ok(Box::new(Sqlite {
        database: data.join("state.db"),
        fault,
        injected: folder.join("injected"),
        disk,
    }))
}

#[async_trait]
impl Tortured for Sqlite {
    fn spec(&self, _sidecar: usize) -> String {
        format!(
            "  type: state.sqlite\n  version: v1\n  metadata:\n  - name: connectionString\n    \
             value: {:?}\n",
            self.database
        )
    }

    fn wrapper(&self, sidecar: usize) -> Vec<OsString> {
        if self.fault != FaultKind::FailingDisk || sidecar != FAILING {
            return Vec::new();
        }
        let inject = format!("inject=fdatasync,fsync:error=EIO:when=30+{FLUSH_FAILS_EVERY}");
        let words = ["strace", "-f", "-qqq", "-e", "trace=fdatasync,fsync", "-e"];
        let log = [OsString::from("-o"), self.injected.clone().into()];
        words.iter().map(OsString::from).chain([inject.into()]).chain(log).collect()
    }

    fn faults_of_its_own(&self) -> u64 {
        let log = std::fs::read_to_string(&self.injected).unwrap_or_default();
        log.lines().filter(|it| it.ends_with("(INJECTED)")).count() as u64
    }

    async fn harm(&mut self, _fault: FaultKind, _busy: Busy<'_>) -> Result<()> {
        self.disk.as_mut().context("there is no disk to fill")?.fill()
    }

    async fn repair(&mut self, _fault: FaultKind) -> Result<()> {
        self.disk.as_mut().context("there is no disk to empty")?.free()
    }
}
