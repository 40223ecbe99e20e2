//! A server as a process of its own, so that its CPU time and its memory are nobody else's.

use std::{
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::{Child, Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use crate::{client::Connection, process::Process, traffic};

/// The pause between two attempts to get a first answer.
const PAUSE: Duration = Duration::from_micros(100);

/// How long a first answer may take.
const PATIENCE: Duration = Duration::from_secs(10);

/// Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From just before its process was made to its first good answer.
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts `command`, which takes its port with `port_flag`, and waits until it answers.
    pub(crate) async fn start(mut command: Command, port_flag: &str) -> anyhow::Result<Server> {
        let address = free_address()?;
        command
            .args([port_flag, &address.port().to_string()])
            .stdin(Stdio::null())
            // Our own output is for the report.
            .stdout(std::io::stderr());
        let started = Instant::now();
        let child = command.spawn().context("cannot start the server")?;
        let mut server = Server { child, address, start_time: Duration::ZERO };
        let probe = traffic::probe();
        while let Err(e) = answer(address, &probe).await {
            if let Some(status) = server.child.try_wait()? {
                bail!("the server ended at once ({status}); its command was {command:?}");
            }
            if started.elapsed() > PATIENCE {
                return Err(e.context(format!("no answer within {PATIENCE:?} from {command:?}")));
            }
            pause();
        }
        server.start_time = started.elapsed();
        Ok(server)
    }

    pub(crate) fn process(&self) -> Process {
        Process(self.child.id())
    }

    /// Ends it as an orchestrator would.
    pub(crate) fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = self.child.wait()?;
        if !status.success() {
            bail!("the server did not end well ({status})");
        }
        Ok(())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

async fn answer(address: SocketAddr, request: &[u8]) -> anyhow::Result<()> {
    Connection::open(address).await?.exchange(request, &[200, 204]).await
}

/// An address that was free a moment ago.
fn free_address() -> anyhow::Result<SocketAddr> {
    let probe = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("there is no free port")?;
    Ok(probe.local_addr()?)
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing else runs on this thread, and tokio's clock has steps of 1 ms"
)]
fn pause() {
    thread::sleep(PAUSE);
}
