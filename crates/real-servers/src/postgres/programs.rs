use std::{
    env,
    ffi::OsString,
    fs, io,
    os::unix::fs::chown,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, Result, ensure};
use rustix::process::getuid;

/// What names the folder of other programs.
const FOLDER: &str = "STEADFAST_POSTGRES_PROGRAMS";

/// Where Debian has the programs of each version, none of which is in `PATH`.
const DEBIAN: &str = "/usr/lib/postgresql";

/// Somebody without rights: PostgreSQL does not let itself be run by root. Source: Linux, `nobody`.
const NOBODY: u32 = 65_534;

/// Where the server's program is.
///
/// # Errors
///
/// If it is not installed: one of the causes is [`io::ErrorKind::NotFound`].
pub fn find() -> Result<PathBuf> {
    let program = program("postgres");
    let folders = env::var_os("PATH").unwrap_or_default();
    // One that has a folder already stays as it is.
    let mut places = env::split_paths(&folders).map(|it| it.join(&program));
    let found = places.find(|it| it.is_file()).ok_or(io::ErrorKind::NotFound);
    found
        .map_err(io::Error::from)
        .context("there is no program postgres: install the package postgresql")
}

/// One of PostgreSQL's programs.
fn program(name: &str) -> PathBuf {
    if let Some(folder) = env::var_os(FOLDER) {
        return Path::new(&folder).join(name);
    }
    let versions = fs::read_dir(DEBIAN).into_iter().flatten().filter_map(Result::ok);
    let installed = versions.filter(|it| it.path().join("bin").join(name).exists());
    let newest = installed.max_by_key(|it| {
        let version = it.file_name().to_string_lossy().parse::<u32>();
        version.unwrap_or_default()
    });
    newest.map_or_else(|| PathBuf::from(name), |it| it.path().join("bin").join(name))
}

/// The words with which one of PostgreSQL's programs is run by somebody whom it accepts.
pub(super) fn words(name: &str) -> Vec<OsString> {
    as_anybody(program(name).into())
}

/// The words with which a program is run by somebody who is not root.
pub(super) fn as_anybody(program: OsString) -> Vec<OsString> {
    let mut words: Vec<OsString> = Vec::new();
    if is_root() {
        let someone = [format!("--reuid={NOBODY}"), format!("--regid={NOBODY}")];
        words.push("setpriv".into());
        words.extend(someone.map(OsString::from));
        words.extend(["--clear-groups", "--"].map(OsString::from));
    }
    words.push(program);
    words
}

/// Lets whoever runs the programs write here.
pub(super) fn hand_over(path: &Path) -> io::Result<()> {
    if is_root() { chown(path, Some(NOBODY), Some(NOBODY)) } else { Ok(()) }
}

/// Runs a program to its end in a folder.
pub(super) fn run(name: &str, folder: &Path, arguments: &[&str]) -> Result<()> {
    let words = words(name);
    let (first, rest) = words.split_first().context("there is a program")?;
    let mut command = Command::new(first);
    command.args(rest).args(arguments).current_dir(folder).stdin(Stdio::null());
    let ended = command
        .output()
        .with_context(|| format!("cannot run {name}: install the package postgresql"))?;
    let said = String::from_utf8_lossy(&ended.stderr);
    ensure!(ended.status.success(), "{name} failed: {said}");
    Ok(())
}

fn is_root() -> bool {
    getuid().is_root()
}
