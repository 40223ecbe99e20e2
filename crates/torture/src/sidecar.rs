//! A `steadfast serve` that is started, watched, paused and killed.

use std::{
    collections::VecDeque,
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{ExitStatus, Stdio},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use rustix::process::{Pid, Signal, kill_process};
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, BufReader},
    process::{Child, Command},
    sync::watch,
    time::timeout,
};

/// Far longer than anything here takes on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// How much of the log is kept.
const LOG_LINES_MAX: usize = 400;

/// What to start.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    program: PathBuf,
    folder: PathBuf,
    arguments: Vec<OsString>,
    wrapper: Vec<OsString>,
}

/// A sidecar, perhaps inside another program such as strace. Killed when dropped.
#[derive(Debug)]
pub(crate) struct Sidecar {
    child: Child,
    program: PathBuf,
    wrapped: bool,
    /// The sidecar's own process, once it is known.
    pid: Option<Pid>,
    log: watch::Receiver<Log>,
}

/// What a sidecar has said so far.
#[derive(Debug, Default)]
struct Log {
    lines: VecDeque<String>,
    port: Option<u16>,
    grpc_port: Option<u16>,
    ready: bool,
    /// How many of its two outputs are still open.
    open: usize,
}

/// The program to start: `flag`, or the one next to this program.
pub(crate) fn program(flag: Option<&Path>) -> Result<PathBuf> {
    let path = match flag {
        Some(it) => it.to_owned(),
        None => std::env::current_exe()?.with_file_name("steadfast"),
    };
    ensure!(
        path.is_file(),
        "there is no {}: build it with `cargo build --release`, or name it with --steadfast",
        path.display()
    );
    Ok(path.canonicalize()?)
}

impl Plan {
    /// `steadfast serve` as the application `app` on any free port, with `folder` as its working
    /// folder and its home.
    pub(crate) fn serve(program: &Path, folder: &Path) -> Plan {
        let arguments = "serve --app-id app --dapr-http-port 0 --dapr-grpc-port 0 \
                         --dapr-listen-addresses 127.0.0.1";
        Plan {
            program: program.to_owned(),
            folder: folder.to_owned(),
            arguments: arguments.split_whitespace().map(OsString::from).collect(),
            wrapper: Vec::new(),
        }
    }

    /// The same with one more argument.
    pub(crate) fn argument(mut self, argument: impl Into<OsString>) -> Plan {
        self.arguments.push(argument.into());
        self
    }

    /// The same inside another program: its name and its arguments.
    pub(crate) fn under(mut self, wrapper: impl IntoIterator<Item = OsString>) -> Plan {
        self.wrapper = wrapper.into_iter().collect();
        self
    }
}

impl Sidecar {
    /// Starts it and waits until it is ready: it listens, and has tried once to open its stores.
    pub(crate) async fn start(plan: &Plan) -> Result<Sidecar> {
        let mut sidecar = Sidecar::spawn(plan)?;
        sidecar.ready().await?;
        Ok(sidecar)
    }

    /// Starts it and does not wait for anything.
    pub(crate) fn spawn(plan: &Plan) -> Result<Sidecar> {
        let words: Vec<&OsString> = plan.wrapper.iter().collect();
        let program = plan.program.clone().into_os_string();
        let mut words = words.into_iter().chain([&program]).chain(&plan.arguments);
        let first = words.next().context("an empty command")?;
        let mut child = Command::new(first)
            .args(words)
            .current_dir(&plan.folder)
            .env("HOME", &plan.folder)
            .env_remove("NAMESPACE")
            .env_remove("DAPR_API_TOKEN")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", first.display()))?;
        let (sender, log) = watch::channel(Log { open: 2, ..Log::default() });
        let sender = Arc::new(sender);
        tokio::spawn(read(child.stdout.take().context("no output")?, sender.clone()));
        tokio::spawn(read(child.stderr.take().context("no output")?, sender));
        let wrapped = !plan.wrapper.is_empty();
        let pid = child.id().filter(|_| !wrapped).and_then(to_pid);
        Ok(Sidecar { child, program: plan.program.clone(), wrapped, pid, log })
    }

    /// Waits until it is ready, and fails if it ends instead.
    pub(crate) async fn ready(&mut self) -> Result<()> {
        let ready = self.log.wait_for(|it| it.ready || it.open == 0);
        let waited = timeout(PATIENCE, ready).await.map(|it| it.is_ok_and(|it| it.ready));
        ensure!(waited.unwrap_or(false), "the sidecar did not start:\n{}", self.log());
        self.find_pid();
        Ok(())
    }

    /// The port of its HTTP API; 0 before it is ready.
    pub(crate) fn port(&self) -> u16 {
        self.log.borrow().port.unwrap_or(0)
    }

    /// The port of its gRPC API; 0 before it is ready.
    pub(crate) fn grpc_port(&self) -> u16 {
        self.log.borrow().grpc_port.unwrap_or(0)
    }

    /// `kill -9`. What it was doing is not finished; see [`wait`](Sidecar::wait).
    pub(crate) fn kill(&mut self) {
        self.signal(Signal::KILL);
    }

    /// Stops it as if the machine had forgotten it.
    pub(crate) fn pause(&mut self) {
        self.signal(Signal::STOP);
    }

    /// Ends a pause.
    pub(crate) fn resume(&mut self) {
        self.signal(Signal::CONT);
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) -> Result<ExitStatus> {
        self.signal(Signal::TERM);
        self.wait().await
    }

    /// Waits until it has ended, and its wrapper too.
    pub(crate) async fn wait(&mut self) -> Result<ExitStatus> {
        let Ok(status) = timeout(PATIENCE, self.child.wait()).await else {
            self.kill();
            bail!("the sidecar did not end:\n{}", self.log());
        };
        Ok(status?)
    }

    /// The newest lines of what it has printed.
    pub(crate) fn log(&self) -> String {
        Vec::from(self.log.borrow().lines.clone()).join("\n")
    }

    fn signal(&mut self, signal: Signal) {
        self.find_pid();
        // A process that was waited for may be another one by now.
        if let Some(pid) = self.pid.filter(|_| self.child.id().is_some()) {
            // It may have ended a moment ago.
            let _ = kill_process(pid, signal);
        }
    }

    fn find_pid(&mut self) {
        if self.pid.is_none()
            && self.wrapped
            && let Some(wrapper) = self.child.id()
        {
            self.pid = descendant(wrapper, &self.program).and_then(to_pid);
        }
    }
}

impl Drop for Sidecar {
    /// A wrapper that is killed would leave the sidecar running.
    fn drop(&mut self) {
        self.kill();
    }
}

async fn read(output: impl AsyncRead + Unpin, log: Arc<watch::Sender<Log>>) {
    let mut lines = BufReader::new(output).lines();
    while let Ok(Some(line)) = lines.next_line().await {
        log.send_modify(|it| it.add(line));
    }
    log.send_modify(|it| it.open -= 1);
}

impl Log {
    fn add(&mut self, line: String) {
        let port_after = |text| {
            let (_, rest): (_, &str) = line.rsplit_once(text)?;
            rest.split(|it: char| !it.is_ascii_digit()).next()?.parse().ok()
        };
        self.port = port_after("HTTP server is running on port ").or(self.port);
        self.grpc_port = port_after("gRPC server is running on port ").or(self.grpc_port);
        self.ready |= line.contains("dapr initialized");
        if self.lines.len() == LOG_LINES_MAX {
            self.lines.pop_front();
        }
        self.lines.push_back(line);
    }
}

/// The process below `parent` that runs `program`.
fn descendant(parent: u32, program: &Path) -> Option<u32> {
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    let children = children.split_whitespace().filter_map(|it| it.parse().ok());
    for child in children {
        let runs = fs::read_link(format!("/proc/{child}/exe")).is_ok_and(|it| it == program);
        if runs {
            return Some(child);
        }
        if let Some(found) = descendant(child, program) {
            return Some(found);
        }
    }
    None
}

fn to_pid(id: u32) -> Option<Pid> {
    Pid::from_raw(id.try_into().ok()?)
}
