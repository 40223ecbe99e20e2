//! A data directory as a server has it before its first start, made once for each process: that takes longer than a
//! start.

use std::{fs, path::Path, process::Command};

use anyhow::{Context, Result, bail, ensure};
use parking_lot::Mutex;

use super::configuration::program;
use crate::process::Scratch;

static TEMPLATE: Mutex<Option<Scratch>> = Mutex::new(None);

/// In the template's folder.
const DATA: &str = "data";

/// Makes `data` a copy of the template.
pub(super) fn copy_to(data: &Path) -> Result<()> {
    let mut template = TEMPLATE.lock();
    if template.is_none() {
        let scratch = Scratch::new()?;
        install(&scratch.path().join(DATA))?;
        *template = Some(scratch);
    }
    let scratch = template.as_ref().context("the template is there")?;
    copy(&scratch.path().join(DATA), data).context("cannot copy a data directory")
}

fn install(data: &Path) -> Result<()> {
    let program = program();
    let version = Command::new(&program).arg("--version").output();
    let version = version.context("cannot start the server: install the package mariadb-server")?;
    let is_mariadb = String::from_utf8_lossy(&version.stdout).contains("MariaDB");
    let datadir = format!("--datadir={}", data.display());
    let common = ["--no-defaults", "--user=root", &datadir];
    let mut command = match is_mariadb {
        true => {
            let mut command = Command::new("mariadb-install-db");
            command.args(common).arg("--innodb-log-file-size=8M");
            command.args(["--auth-root-authentication-method=normal", "--skip-test-db"]);
            command
        }
        false => {
            let mut command = Command::new(&program);
            command.args(common).arg("--initialize-insecure");
            command
        }
    };
    let made = command.output().context("cannot make a data directory")?;
    let told = String::from_utf8_lossy(&made.stderr);
    ensure!(made.status.success(), "no data directory could be made: {told}");
    Ok(())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    fs::create_dir(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let (kind, target) = (entry.file_type()?, to.join(entry.file_name()));
        if kind.is_dir() {
            copy(&entry.path(), &target)?;
        } else if kind.is_file() {
            fs::copy(entry.path(), target)?;
        } else {
            bail!("{} is neither a file nor a folder", entry.path().display());
        }
    }
    Ok(())
}
