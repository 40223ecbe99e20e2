//! What all commands need: the sidecar's program, a folder for data, and the traffic's shape.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, bail};
use tempfile::TempDir;

#[derive(Debug, clap::Args)]
pub(crate) struct Setup {
    /// The sidecar to measure [default: steadfast, next to this program]
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) binary: Option<PathBuf>,
    /// Where databases are made, in a folder that is removed in the end [default: next to this
    /// program]
    #[arg(long, global = true, value_name = "DIR")]
    pub(crate) dir: Option<PathBuf>,
    /// Print one JSON object per command, instead of tables
    #[arg(long, global = true)]
    pub(crate) json: bool,
}

impl Setup {
    /// The sidecar's file, an absolute path.
    pub(crate) fn program(&self) -> anyhow::Result<PathBuf> {
        let binary = match &self.binary {
            Some(it) => std::path::absolute(it)?,
            None => own_program()?.with_file_name("steadfast"),
        };
        if !binary.is_file() {
            bail!(
                "there is no sidecar at {}: run `cargo build --release -p steadfast`, or name one \
                 with --binary",
                binary.display()
            );
        }
        Ok(binary)
    }

    /// The command line of a bare sidecar on this store, without a port.
    pub(crate) fn sidecar(&self, store: &str) -> anyhow::Result<Command> {
        let mut command = Command::new(self.program()?);
        command.args(["serve", "--app-id", "bench", "--log-level", "error"]).args([
            "--dapr-grpc-port",
            "0",
            "--metrics-port",
            "0",
            "--state-store",
            store,
        ]);
        Ok(command)
    }

    /// A new folder for databases, removed when this is dropped. Others may pass through it:
    /// PostgreSQL is run by somebody else than root.
    pub(crate) fn data(&self) -> anyhow::Result<TempDir> {
        let parent = match &self.dir {
            Some(it) => it.clone(),
            None => own_program()?.parent().map(Path::to_owned).unwrap_or_default(),
        };
        let through = PermissionsExt::from_mode(0o711);
        let mut folder = tempfile::Builder::new();
        folder.prefix("sidecar-bench-").permissions(through).tempdir_in(&parent).with_context(
            || format!("cannot make a folder in {}: name another with --dir", parent.display()),
        )
    }
}

/// This program's file.
pub(crate) fn own_program() -> anyhow::Result<PathBuf> {
    env::current_exe().context("cannot find the program that is running")
}

/// The `--state-store` of a database file in `folder`.
pub(crate) fn sqlite_url(folder: &TempDir, name: &str) -> String {
    format!("sqlite://{}", folder.path().join(name).display())
}

/// As many workers as the sidecar has. Source: `runtime` in crates/steadfast/src/main.rs.
pub(crate) fn workers() -> usize {
    cores().min(4)
}

pub(crate) fn cores() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

/// The type of the file system that holds `path`, such as `ext4`.
pub(crate) fn file_system(path: &Path) -> anyhow::Result<String> {
    let path = path.canonicalize()?;
    let mounts = fs::read_to_string("/proc/self/mountinfo").context("cannot read the mounts")?;
    file_system_in(&mounts, &path).context("the folder is on no file system")
}

/// The last mount over the longest part of `path`. Source: proc_pid_mountinfo(5).
fn file_system_in(mounts: &str, path: &Path) -> Option<String> {
    let mount = |line: &str| {
        let (mount, kind) = line.split_once(" - ")?;
        let point = PathBuf::from(mount.split(' ').nth(4)?);
        path.starts_with(&point).then(|| Some((point, kind.split(' ').next()?.to_owned())))?
    };
    let mounts = mounts.lines().filter_map(mount);
    mounts.max_by_key(|(point, _)| point.components().count()).map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_mount_nearest_to_a_file_tells_its_file_system() {
        let mounts = "\
22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
23 22 0:20 / /mnt rw - tmpfs tmpfs rw
24 23 254:1 / /mnt/disk rw shared:2 master:3 - xfs /dev/vdb rw
";
        let at = |path: &str| file_system_in(mounts, Path::new(path));
        assert_eq!(at("/mntx/a").as_deref(), Some("ext4"));
        assert_eq!(at("/mnt/a").as_deref(), Some("tmpfs"));
        assert_eq!(at("/mnt/disk/a/b").as_deref(), Some("xfs"));
        assert_eq!(file_system_in("", Path::new("/")), None);
    }
}
