//! A Redis of its own.

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

use crate::server::{self, Server};

const PROGRAM: &str = "redis-server";

pub(crate) const MISSING: &str = "redis-server is not installed: install the package redis-server";

pub(crate) fn is_installed() -> anyhow::Result<bool> {
    match Command::new(PROGRAM).arg("--version").stdout(Stdio::null()).status() {
        Ok(_) => Ok(true),
        Err(e) if e.kind() == ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).context("cannot run redis-server"),
    }
}

/// What is on the disk.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Durability {
    Nothing,
    /// Each write, when it is acknowledged.
    EveryWrite,
}

/// Starts one that has only `folder` to write to.
pub(crate) async fn start(folder: &Path, durability: Durability) -> anyhow::Result<Server> {
    start_at(server::free_address()?, folder, durability).await
}

/// As [`start`], where one was before; it finds again what that one has flushed.
pub(crate) async fn start_at(
    address: SocketAddr,
    folder: &Path,
    durability: Durability,
) -> anyhow::Result<Server> {
    if !is_installed()? {
        bail!(MISSING);
    }
    let log = folder.join("redis.log");
    let mut command = Command::new(PROGRAM);
    command.args(["--bind", "127.0.0.1", "--save", ""]);
    command.args(match durability {
        Durability::Nothing => ["--appendonly", "no", "--appendfsync", "no"],
        Durability::EveryWrite => ["--appendonly", "yes", "--appendfsync", "always"],
    });
    command.arg("--dir").arg(folder).arg("--logfile").arg(&log);
    Server::start_at(address, answers, command, "--port").await.with_context(|| {
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
