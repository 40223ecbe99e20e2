//! A folder with a database, and sidecars on it.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use super::{
    client::Client,
    history::{State, Text},
};
use crate::sidecar::{Plan, Sidecar};

/// How long a store may take until it can be used again after a fault.
pub(crate) const RECOVERY_MAX: Duration = Duration::from_secs(5);

/// How the database keeps what is not yet in the file itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Journal {
    /// A write-ahead log, the default.
    Wal,
    /// A rollback journal, `disableWAL` in the component file.
    Rollback,
}

#[derive(Debug)]
pub(crate) struct Lab {
    folder: TempDir,
    pub(crate) journal: Journal,
}

impl Lab {
    pub(crate) fn new(journal: Journal) -> Result<Lab> {
        Lab::prepare(Lab { folder: scratch()?, journal })
    }

    /// As [`new`](Lab::new), on the disk that has this folder.
    pub(crate) fn within(folder: &Path, journal: Journal) -> Result<Lab> {
        Lab::prepare(Lab { folder: TempDir::new_in(folder)?, journal })
    }

    fn prepare(lab: Lab) -> Result<Lab> {
        fs::create_dir(lab.data())?;
        fs::create_dir(lab.components())?;
        let component = component(&lab.database(), lab.journal);
        fs::write(lab.components().join("statestore.yaml"), component)?;
        Ok(lab)
    }

    /// The same files in another folder.
    pub(crate) fn copy(&self) -> Result<Lab> {
        let lab = Lab::new(self.journal)?;
        for entry in fs::read_dir(self.data())? {
            let entry = entry?;
            fs::copy(entry.path(), lab.data().join(entry.file_name()))?;
        }
        Ok(lab)
    }

    /// The folder that has the database and nothing else.
    pub(crate) fn data(&self) -> PathBuf {
        self.folder.path().join("data")
    }

    pub(crate) fn database(&self) -> PathBuf {
        self.data().join("state.db")
    }

    /// A place for what is not the database.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn components(&self) -> PathBuf {
        self.path("components")
    }

    /// A sidecar on the database.
    pub(crate) fn plan(&self, program: &Path) -> Plan {
        Plan::serve(program, self.folder.path())
            .argument("--resources-path")
            .argument(self.components())
    }

    /// What a sidecar that is started now finds. It is killed afterwards, so that the next one
    /// finds the same files.
    pub(crate) async fn reopened(&self, program: &Path, keys: &[Text]) -> Result<State> {
        let mut sidecar = Sidecar::start(&self.plan(program)).await?;
        let state = read_all(&mut sidecar, keys).await?;
        sidecar.kill();
        sidecar.wait().await?;
        Ok(state)
    }

    /// Whether the database says that it is used with a write-ahead log.
    /// Source: sqlite.org/fileformat.html#file_format_version_numbers.
    pub(crate) fn has_log(&self) -> Result<bool> {
        Ok(fs::read(self.database())?.get(18) == Some(&2))
    }

    /// What SQLite itself says of the database; `None` if it is sound.
    pub(crate) fn damage(&self) -> Result<Option<String>> {
        damage(&self.database())
    }
}

/// As [`Lab::damage`], for any database.
pub(crate) fn damage(database: &Path) -> Result<Option<String>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    let said: String = connection.query_row("PRAGMA integrity_check", [], |row| row.get(0))?;
    Ok((said != "ok").then_some(said))
}

/// Reads these keys as soon as the store can be used.
pub(crate) async fn read_all(sidecar: &mut Sidecar, keys: &[Text]) -> Result<State> {
    let mut client = Client::connect(sidecar.port()).await.context("cannot connect")?;
    let deadline = Instant::now() + RECOVERY_MAX;
    loop {
        match client.read_all(keys).await.context("cannot read")? {
            Ok(state) => return Ok(state),
            Err(e) if Instant::now() >= deadline => bail!("the store does not open: {e}"),
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    }
}

/// A folder that is removed when dropped; in memory where the machine has such a place, because
/// what is tested here is not the speed of a disk.
pub(crate) fn scratch() -> Result<TempDir> {
    let memory = Path::new("/dev/shm");
    let folder = match memory.is_dir() && std::env::var_os("TMPDIR").is_none() {
        true => tempfile::Builder::new().prefix("torture").tempdir_in(memory),
        false => tempfile::Builder::new().prefix("torture").tempdir(),
    };
    let folder = folder.context("cannot make a temporary folder")?;
    ensure!(!folder.path().to_string_lossy().contains([' ', '"']), "an odd temporary folder");
    Ok(folder)
}

fn component(database: &Path, journal: Journal) -> String {
    let disable_wal = journal == Journal::Rollback;
    format!(
        "apiVersion: dapr.io/v1alpha1
kind: Component
metadata:
  name: statestore
spec:
  type: state.sqlite
  version: v1
  metadata:
  - name: connectionString
    value: {:?}
  - name: disableWAL
    value: \"{disable_wal}\"
",
        database.display().to_string()
    )
}
