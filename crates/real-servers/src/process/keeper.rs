//! What is to be done when this process ends without having done it.

use std::{
    io::Write,
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, Command, Stdio},
};

use anyhow::{Context, Result};

/// Reads lines, each with the process to kill from now on or an empty one for none, until they end because whoever
/// writes them has died or is done. Then it kills that process and removes the folder in `$1`, if there is one. A server
/// that has just been killed may still be making a file, on which the first removal would fail.
const SCRIPT: &str = r#"
server=
while read -r line; do server=$line; done
[ -z "$server" ] || kill -9 "$server"
[ -z "$1" ] || rm -rf -- "$1" || { sleep 1; rm -rf -- "$1"; }
"#;

/// A shell that waits for our end. The system closes the pipe between us however we end, `kill -9` included; and it does
/// not before, because no other process inherits our side.
#[derive(Debug)]
pub(super) struct Keeper(Child);

impl Keeper {
    /// Has `folder` removed in the end.
    pub(super) fn start(folder: Option<&Path>) -> Result<Keeper> {
        let mut command = Command::new("sh");
        command.args(["-c", SCRIPT, "keeper"]).arg(folder.unwrap_or(Path::new("")));
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        // What ends all processes of our group, such as Ctrl-C, must leave this one.
        command.process_group(0);
        Ok(Keeper(command.spawn().context("cannot start sh")?))
    }

    /// Has `server` killed in the end, and nothing that was kept before.
    pub(super) fn keep(&self, server: Option<u32>) -> Result<()> {
        let line = server.map(|it| it.to_string()).unwrap_or_default() + "\n";
        let mut pipe = self.0.stdin.as_ref().context("the keeper has no pipe")?;
        pipe.write_all(line.as_bytes()).context("the keeper has ended")
    }
}

impl Drop for Keeper {
    fn drop(&mut self) {
        drop(self.0.stdin.take());
        // Otherwise it would stay in the table of processes.
        let _ = self.0.wait();
    }
}
