//! Any server as a process.

mod keeper;
mod place;
mod scratch;

use std::{
    ffi::OsString,
    fmt::Debug,
    fs::{self, File},
    io::ErrorKind,
    net::SocketAddr,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use anyhow::{Context, Result, bail, ensure};
use async_trait::async_trait;
use parking_lot::Mutex;
use rustix::process::{Pid, Signal, WaitId, WaitIdOptions, kill_process, waitid};
use tokio::time::{Instant, sleep};

use self::keeper::Keeper;
pub use self::place::{Place, Port};
pub(crate) use self::scratch::Scratch;
use crate::{PATIENCE, until};

/// How many ports to try. Those of other servers of ours are not tried, so one is nearly always enough.
const PORTS_MAX: u32 = 3;

/// How often to ask a server that is starting whether it answers. The fastest need about ten milliseconds.
const INTERVAL: Duration = Duration::from_millis(3);

/// How much of the log's end goes into an error.
const LOG_BYTES_MAX: usize = 4_000;

/// What there is to know about a kind of server.
#[async_trait]
pub trait Kind: Debug + Send + Sync + 'static {
    /// The program to run: a name to look for in `PATH`, or a path.
    fn program(&self) -> OsString;

    /// The Debian package that has the program, for those who do not have it.
    fn package(&self) -> &str;

    /// Writes the files that the server needs before it is first started in `place`, such as its configuration. It is
    /// not called for a restart, so what a server has changed in them stays changed.
    fn prepare(&self, place: &Place) -> Result<()>;

    /// The arguments with which the program serves in `place`. It is run in that folder.
    fn arguments(&self, place: &Place) -> Vec<OsString>;

    /// Whether the server in `place` is ready for its clients.
    async fn answers(&self, place: &Place) -> bool;
}

/// A server as a process with a port and a folder of its own. Killed when it is dropped, and also when the process that
/// has started it dies without dropping it; a temporary folder is removed in either case.
///
/// No method needs it to be mutable, so that a server can be shared by many tests.
#[derive(Debug)]
pub struct Process {
    kind: Box<dyn Kind>,
    place: Place,
    /// `None` once it is known to have ended.
    child: Mutex<Option<Child>>,
    paused: AtomicBool,
    keeper: Keeper,
}

impl Process {
    /// Starts one in a temporary folder, on a port that nobody has, and waits until it answers.
    pub async fn start(kind: impl Kind) -> Result<Process> {
        let folder = tempfile::tempdir().context("cannot make a folder")?;
        let keeper = Keeper::start(Some(folder.path()))?;
        // From here on the keeper removes it.
        Process::start_kept(Box::new(kind), &folder.keep(), keeper).await
    }

    /// The same in a folder that exists, and that is not removed.
    pub async fn start_in(folder: &Path, kind: impl Kind) -> Result<Process> {
        let folder = folder.canonicalize().context("cannot find the folder")?;
        Process::start_kept(Box::new(kind), &folder, Keeper::start(None)?).await
    }

    async fn start_kept(kind: Box<dyn Kind>, folder: &Path, keeper: Keeper) -> Result<Process> {
        let place = Place::find(folder)?;
        let mut process = Process {
            kind,
            place,
            child: Mutex::default(),
            paused: AtomicBool::new(false),
            keeper,
        };
        for _ in 0..PORTS_MAX {
            process.kind.prepare(&process.place)?;
            if process.runs().await? {
                return Ok(process);
            }
            process.place = Place::find(folder)?;
        }
        bail!("{} ends as soon as it is started:\n{}", process.name(), process.log())
    }

    /// Where its clients find it.
    pub fn address(&self) -> SocketAddr {
        self.place.address()
    }

    /// Where its data and its log are.
    pub fn folder(&self) -> &Path {
        self.place.folder()
    }

    /// The number of the process, unless it is known to have ended.
    pub fn id(&self) -> Option<u32> {
        self.child.lock().as_ref().map(Child::id)
    }

    /// Whether it has not ended; one that is paused has not.
    pub fn is_running(&self) -> Result<bool> {
        let mut child = self.child.lock();
        let Some(running) = &mut *child else { return Ok(false) };
        let ended = running.try_wait()?.is_some();
        if ended {
            // The system may give its number to another process now.
            *child = None;
            self.keeper.keep(None)?;
        }
        Ok(!ended)
    }

    /// Whether it was paused and not resumed or started again since.
    pub fn is_paused(&self) -> bool {
        self.paused.load(Ordering::Relaxed)
    }

    /// The end of what it has said on its outputs.
    pub fn log(&self) -> String {
        let log = fs::read(self.log_path()).unwrap_or_default();
        let from = log.len().saturating_sub(LOG_BYTES_MAX);
        String::from_utf8_lossy(&log[from..]).into_owned()
    }

    /// Ends it as a crash would, also while it is paused, and returns when it is gone.
    pub fn kill(&self) -> Result<()> {
        if let Some(mut child) = self.child.lock().take() {
            child.kill().and_then(|()| child.wait()).context("cannot kill")?;
            self.keeper.keep(None)?;
        }
        Ok(())
    }

    /// Asks it to end, and returns when it has. Fails if it is paused, because it then does not hear.
    pub async fn terminate(&self) -> Result<()> {
        self.signal(Signal::TERM)?;
        until("the end of a server", || async { Ok(!self.is_running()?) }).await?;
        self.kill()
    }

    /// Tells it to end at once, in the way that servers have for emergencies, and returns when it has. Fails if it is
    /// paused, because it then does not hear.
    pub async fn abort(&self) -> Result<()> {
        self.signal(Signal::QUIT)?;
        until("the end of a server", || async { Ok(!self.is_running()?) }).await?;
        self.kill()
    }

    /// Starts it again on its port and with what is in its folder, and waits until it answers. If it runs, it is killed
    /// first.
    pub async fn restart(&self) -> Result<()> {
        self.kill()?;
        // One that was killed may have left processes that take a moment to notice, and keep another from starting.
        until("a server to start again", || self.runs())
            .await
            .with_context(|| format!("{} does not start again:\n{}", self.name(), self.log()))
    }

    /// Stops it and the processes it has started where they are, and returns when it stands still. The system goes on
    /// accepting connections for it.
    pub fn pause(&self) -> Result<()> {
        let process = self.signal(Signal::STOP)?;
        // Its end stays to be waited for by `child`.
        let stopped = WaitIdOptions::STOPPED | WaitIdOptions::EXITED | WaitIdOptions::NOWAIT;
        waitid(WaitId::Pid(process), stopped).context("cannot wait for a pause")?;
        signal_children(process, Signal::STOP)?;
        self.paused.store(true, Ordering::Relaxed);
        Ok(())
    }

    /// Lets it go on after a pause.
    pub fn resume(&self) -> Result<()> {
        let process = self.signal(Signal::CONT)?;
        signal_children(process, Signal::CONT)?;
        self.paused.store(false, Ordering::Relaxed);
        Ok(())
    }

    fn signal(&self, signal: Signal) -> Result<Pid> {
        let child = self.child.lock();
        let process = Pid::from_child(child.as_ref().context("the server has ended")?);
        kill_process(process, signal).context("cannot signal the server")?;
        Ok(process)
    }

    /// Starts it and waits for an answer. `false` if it has ended; then one that answered was another.
    async fn runs(&self) -> Result<bool> {
        self.spawn()?;
        let deadline = Instant::now() + PATIENCE;
        loop {
            let answered = self.kind.answers(&self.place).await;
            if !self.is_running()? || answered {
                return self.is_running();
            }
            let in_time = Instant::now() < deadline;
            ensure!(in_time, "{} does not answer:\n{}", self.name(), self.log());
            sleep(INTERVAL).await;
        }
    }

    fn spawn(&self) -> Result<()> {
        let log = File::options().create(true).append(true).open(self.log_path())?;
        let mut command = Command::new(self.kind.program());
        command.args(self.kind.arguments(&self.place)).current_dir(self.folder());
        command.stdin(Stdio::null()).stdout(log.try_clone()?).stderr(log);
        let child = command.spawn().map_err(|e| {
            let remedy = match e.kind() {
                ErrorKind::NotFound => format!(": install the package {}", self.kind.package()),
                _ => String::new(),
            };
            anyhow::Error::from(e).context(format!("cannot start {}{remedy}", self.name()))
        })?;
        let id = child.id();
        // Before anything can fail, so that it is killed with `self`.
        *self.child.lock() = Some(child);
        self.paused.store(false, Ordering::Relaxed);
        self.keeper.keep(Some(id))
    }

    fn name(&self) -> String {
        self.kind.program().to_string_lossy().into_owned()
    }

    fn log_path(&self) -> PathBuf {
        self.folder().join("log")
    }
}

/// Signals those whom a process has started: PostgreSQL has one for each client. Only Linux tells who they are.
fn signal_children(process: Pid, signal: Signal) -> Result<()> {
    let number = process.as_raw_nonzero();
    let list = format!("/proc/{number}/task/{number}/children");
    let Ok(children) = fs::read_to_string(list) else { return Ok(()) };
    for child in children.split_whitespace().filter_map(|it| it.parse().ok()) {
        let child = Pid::from_raw(child).context("a process has a number")?;
        match kill_process(child, signal) {
            // It has ended meanwhile.
            Ok(()) | Err(rustix::io::Errno::SRCH) => {}
            Err(e) => return Err(e).context("cannot signal a process of the server"),
        }
    }
    Ok(())
}

impl Drop for Process {
    fn drop(&mut self) {
        // If that fails, the keeper tries as well.
        let _ = self.kill();
    }
}
