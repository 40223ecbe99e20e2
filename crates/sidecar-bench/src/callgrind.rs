//! Counts what a process does by running it under callgrind, a tool of valgrind.
//! Source: Valgrind's manual, "Callgrind".

use std::{
    collections::{HashMap, HashSet},
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context, ensure};

use crate::process::Process;

/// The functions of C that all allocations go through.
const ALLOCATORS: [&str; 5] = ["malloc", "calloc", "realloc", "posix_memalign", "aligned_alloc"];

/// Reads what callgrind has counted of a process that it runs.
#[derive(Debug)]
pub(crate) struct Counter {
    process: Process,
    profile: PathBuf,
}

/// Whether there is a valgrind to count with; says so if there is none.
pub(crate) fn is_installed() -> bool {
    let mut version = Command::new("valgrind");
    let found = version.arg("--version").stdout(Stdio::null()).status().is_ok();
    if !found {
        eprintln!("allocations are not counted: that takes the program valgrind");
    }
    found
}

/// The same command line under callgrind, which writes into files whose names begin with `profile`.
pub(crate) fn command(counted: &Command, profile: &Path) -> Command {
    let mut command = Command::new("valgrind");
    let mut file = OsString::from("--callgrind-out-file=");
    file.push(profile);
    command.args(["--quiet", "--tool=callgrind"]).arg(file);
    command.arg(counted.get_program()).args(counted.get_args());
    if let Some(folder) = counted.get_current_dir() {
        command.current_dir(folder);
    }
    for (name, value) in counted.get_envs() {
        match value {
            Some(it) => command.env(name, it),
            None => command.env_remove(name),
        };
    }
    command
}

impl Counter {
    pub(crate) fn new(process: Process, profile: PathBuf) -> Counter {
        Counter { process, profile }
    }

    /// How often the process has asked for memory since the last time that this was called.
    pub(crate) async fn allocations(&self) -> anyhow::Result<u64> {
        let known = self.files()?;
        let mut dump = tokio::process::Command::new("callgrind_control");
        let said = dump.arg("--dump").arg(self.process.0.to_string()).output().await;
        let said = said.context("allocations are counted with callgrind_control of valgrind")?;
        let new: Vec<PathBuf> = self.files()?.difference(&known).cloned().collect();
        ensure!(
            said.status.success() && new.len() == 1,
            "callgrind_control does not reach the server: {}{}",
            String::from_utf8_lossy(&said.stdout),
            String::from_utf8_lossy(&said.stderr)
        );
        allocations(&fs::read_to_string(&new[0])?)
    }

    fn files(&self) -> io::Result<HashSet<PathBuf>> {
        let folder = self.profile.parent().unwrap_or(Path::new(""));
        fs::read_dir(folder)?.map(|it| Ok(it?.path())).collect()
    }
}

/// Calls of the functions that allocate, in a profile. A name is told once, and a number stands for it from
/// then on.
fn allocations(profile: &str) -> anyhow::Result<u64> {
    let (mut names, mut called, mut count) = (HashMap::new(), "", 0);
    for line in profile.lines() {
        if let Some(name) = line.strip_prefix("cfn=").or_else(|| line.strip_prefix("fn=")) {
            let (number, text) = name.split_once(' ').unwrap_or((name, ""));
            if !text.is_empty() {
                names.insert(number, text);
            }
            if line.starts_with("cfn=") {
                called = names.get(number).copied().context("a function without a name")?;
            }
        } else if let Some(calls) = line.strip_prefix("calls=")
            && ALLOCATORS.contains(&called)
        {
            let calls = calls.split(' ').next().unwrap_or_default();
            count += calls.parse::<u64>().context("a number of calls")?;
        }
    }
    Ok(count)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn calls_of_those_who_allocate_are_counted() {
        let profile = "\
fn=(1) main
cfn=(2) malloc
calls=3 10
+1 120
cfn=(3) free
calls=7 10
+1 60
fn=(4) other
cfn=(2)
calls=4 20
* 160
fn=(2)
12 280
";
        assert_eq!(allocations(profile).unwrap(), 7);
    }

    #[test]
    fn what_is_counted_is_run_as_it_would_be_otherwise() {
        let mut counted = Command::new("server");
        counted.args(["--port", "1"]).current_dir("/data").env("A", "1").env_remove("B");
        let command = command(&counted, Path::new("/out/server"));
        let arguments: Vec<_> = command.get_args().collect();
        let expected = ["--callgrind-out-file=/out/server", "server", "--port", "1"];
        assert_eq!(arguments[2..], expected);
        assert_eq!(command.get_current_dir(), counted.get_current_dir());
        assert!(command.get_envs().eq(counted.get_envs()));
    }
}
