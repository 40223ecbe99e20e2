//! A Redis of its own, which keeps nothing when it ends.

use std::{
    fs,
    io::ErrorKind,
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
};

use anyhow::{Context, bail, ensure};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::server::Server;

const PROGRAM: &str = "redis-server";

pub(crate) const MISSING: &str = "redis-server is not installed: install the package redis-server";

pub(crate) fn is_installed() -> anyhow::Result<bool> {
    match Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context("cannot run redis-server"),
    }
}

/// Starts one that has only `folder` to write to.
pub(super) async fn start(folder: &Path) -> anyhow::Result<Server> {
    if !is_installed()? {
        bail!(MISSING);
    }
    let log = folder.join("redis.log");
    let mut command = Command::new(PROGRAM);
    command.args(["--bind", "127.0.0.1", "--save", "", "--appendonly", "no"]);
    command.arg("--dir").arg(folder).arg("--logfile").arg(&log);
    Server::start_when(answers, command, "--port").await.with_context(|| {
        let log = fs::read_to_string(log).unwrap_or_default();
        format!("redis-server does not start; its log:\n{log}")
    })
}

async fn answers(address: SocketAddr) -> anyhow::Result<()> {
    const ANSWER: &[u8] = b"+PONG\r\n";
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(b"PING\r\n").await?;
    let mut received = [0; ANSWER.len()];
    stream.read_exact(&mut received).await?;
    ensure!(received == ANSWER, "it is not ready");
    Ok(())
}
