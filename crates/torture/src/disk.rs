//! A small disk of its own, which can be filled and freed again.

use std::{
    fs,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, ensure};

/// A file system in memory, mounted on a folder. Unmounted when dropped.
#[derive(Debug)]
pub(crate) struct SmallDisk {
    path: PathBuf,
}

/// The file that takes up the space.
const BALLAST: &str = "ballast";

static BLOCK: [u8; 1 << 16] = [0; 1 << 16];

impl SmallDisk {
    /// Mounts one of this size on `path`, which is made.
    ///
    /// # Errors
    ///
    /// Above all, if this is not the machine's administrator.
    pub(crate) fn mount(path: &Path, bytes: u64) -> Result<SmallDisk> {
        fs::create_dir(path)?;
        let mounted = Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={bytes},mode=700"), "tmpfs"])
            .arg(path)
            .output()
            .context("cannot run mount")?;
        let told = String::from_utf8_lossy(&mounted.stderr);
        ensure!(mounted.status.success(), "cannot mount a small disk, which takes root: {told}");
        Ok(SmallDisk { path: path.to_owned() })
    }

    /// Where it is.
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Leaves no space at all.
    pub(crate) fn fill(&self) -> Result<()> {
        let mut ballast = fs::File::create(self.path.join(BALLAST))?;
        let mut block = &BLOCK[..];
        while !block.is_empty() {
            match ballast.write(block) {
                Ok(0) => block = &[],
                Ok(_) => {}
                Err(e) if e.kind() == ErrorKind::StorageFull => block = &block[..block.len() / 2],
                Err(e) => return Err(e.into()),
            }
        }
        Ok(())
    }

    /// Gives the space back.
    pub(crate) fn free(&self) -> Result<()> {
        Ok(fs::remove_file(self.path.join(BALLAST))?)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        // Lazily: a process that is about to end may still have a file open.
        let unmounted = Command::new("umount").arg("--lazy").arg(&self.path).status();
        if !unmounted.is_ok_and(|it| it.success()) {
            eprintln!("cannot unmount {}", self.path.display());
        }
    }
}
