//! A folder that several servers of this process share.

use std::path::{Path, PathBuf};

use anyhow::{Context, Result};

use super::keeper::Keeper;

/// A temporary folder, which is removed when this process ends, however it does.
#[derive(Debug)]
pub(crate) struct Scratch {
    path: PathBuf,
    _keeper: Keeper,
}

impl Scratch {
    pub(crate) fn new() -> Result<Scratch> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let keeper = Keeper::start(Some(folder.path()))?;
        // From here on the keeper removes it.
        Ok(Scratch { path: folder.keep(), _keeper: keeper })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}
