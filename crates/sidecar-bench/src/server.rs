//! A server as a process of its own, so that its CPU time and its memory are nobody else's.

use std::{
    net::SocketAddr,
    process::{Child, Command, Stdio},
    sync::{Mutex, PoisonError},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use real_servers::process::Port;
use rustix::{
    process::{Pid, Signal, kill_process},
    thread::{CpuSet, sched_getaffinity, sched_setaffinity},
};

use crate::{
    client::{Client, Good, Wire},
    process::Process,
    traffic,
};

/// The pause between two attempts to get a first answer.
const PAUSE: Duration = Duration::from_micros(100);

/// How long a first answer may take, which is long under callgrind.
const PATIENCE: Duration = Duration::from_secs(60);

/// What the first good answer of a server of HTTP is: the sidecar has no such key, the echo has all.
pub(crate) const ANSWER: Good = Good { statuses: &[200, 204], body_len_min: 0 };

/// Killed when it is dropped.
#[derive(Debug)]
pub(crate) struct Server {
    child: Child,
    pub(crate) address: SocketAddr,
    /// From just before its process was made to its first good answer.
    pub(crate) start_time: Duration,
}

impl Server {
    /// Starts a server, which takes its port with `port_flag`, and waits until it answers.
    pub(crate) async fn start(
        wire: Wire,
        command: Command,
        port_flag: &str,
    ) -> anyhow::Result<Server> {
        let probe = traffic::probe(wire);
        let answers = async |address| {
            let mut clients = Client::connect(wire, address, 1).await?;
            clients[0].exchange(&probe, ANSWER).await
        };
        Server::start_when(answers, command, port_flag, None).await
    }

    /// Starts any server, on so many cores only, and waits until `answers` gets what it wants of it.
    pub(crate) async fn start_when(
        answers: impl AsyncFn(SocketAddr) -> anyhow::Result<()>,
        mut command: Command,
        port_flag: &str,
        cores: Option<usize>,
    ) -> anyhow::Result<Server> {
        let address = free_address()?;
        command
            .args([port_flag, &address.port().to_string()])
            .stdin(Stdio::null())
            // Our own output is for the report.
            .stdout(std::io::stderr());
        let started = Instant::now();
        let child = spawn_on(cores, &mut command).context("cannot start the server")?;
        let mut server = Server { child, address, start_time: Duration::ZERO };
        while let Err(e) = answers(address).await {
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

    /// Ends it as an orchestrator would. Connections have to be served meanwhile: it takes leave of each.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        kill_process(Pid::from_child(&self.child), Signal::TERM)?;
        let status = tokio::task::spawn_blocking(move || self.child.wait()).await??;
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

/// Starts a process that may use the first of our cores only, so many of them.
fn spawn_on(cores: Option<usize>, command: &mut Command) -> anyhow::Result<Child> {
    let Some(cores) = cores else { return Ok(command.spawn()?) };
    let all = sched_getaffinity(None)?;
    let mut some = CpuSet::new();
    (0..CpuSet::MAX_CPU).filter(|it| all.is_set(*it)).take(cores).for_each(|it| some.set(it));
    // A process begins with the cores of the thread that starts it.
    sched_setaffinity(None, &some)?;
    let child = command.spawn();
    sched_setaffinity(None, &all)?;
    Ok(child?)
}

/// An address on which nobody listens. No two calls give the same one.
pub(crate) fn free_address() -> anyhow::Result<SocketAddr> {
    /// Those that were given, which are ours until this program ends.
    static GIVEN: Mutex<Vec<Port>> = Mutex::new(Vec::new());
    let port = Port::find()?;
    let address = port.address();
    GIVEN.lock().unwrap_or_else(PoisonError::into_inner).push(port);
    Ok(address)
}

#[expect(
    clippy::disallowed_methods,
    reason = "nothing else runs on this thread, and tokio's clock has steps of 1 ms"
)]
fn pause() {
    thread::sleep(PAUSE);
}
