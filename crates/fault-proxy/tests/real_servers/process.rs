//! A server as a process in a folder of its own.

use std::{
    fs::File,
    io::ErrorKind,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;
use tokio::time::sleep;

/// How long anything may take on a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(30);

/// How long to watch that no answer comes.
pub(crate) const MOMENT: Duration = Duration::from_millis(200);

/// How often to try again when another process has taken the port that was free.
const ATTEMPTS: u32 = 5;

/// What there is to know about a kind of server.
pub(crate) trait Kind {
    const PROGRAM: &str;
    const PACKAGE: &str;

    /// The command that serves `address` from what is in `folder`.
    fn configure(command: &mut Command, address: SocketAddr, folder: &Path);

    /// Whether it answers.
    async fn answers(address: SocketAddr) -> bool;
}

/// Killed when it is dropped.
pub(crate) struct Process {
    child: Child,
    address: SocketAddr,
    folder: TempDir,
}

impl Process {
    /// Starts one on a free port and waits until it answers.
    pub(crate) async fn start<K: Kind>() -> Process {
        let folder = tempfile::tempdir().unwrap();
        for _ in 0..ATTEMPTS {
            let address = free_address();
            let mut child = spawn::<K>(address, folder.path());
            if answers::<K>(&mut child, address).await {
                return Process { child, address, folder };
            }
        }
        panic!("{} ends as soon as it is started:\n{}", K::PROGRAM, log(folder.path()));
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// Ends it as a crash would.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }

    /// Starts it again after `kill`, where it was and with what it has stored.
    pub(crate) async fn restart<K: Kind>(&mut self) {
        self.child = spawn::<K>(self.address, self.folder.path());
        let answers = answers::<K>(&mut self.child, self.address).await;
        assert!(answers, "{} does not start again:\n{}", K::PROGRAM, log(self.folder.path()));
    }

    pub(crate) fn pause(&self) {
        kill_process(Pid::from_child(&self.child), Signal::STOP).unwrap();
    }

    pub(crate) fn resume(&self) {
        kill_process(Pid::from_child(&self.child), Signal::CONT).unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An address that was free a moment ago.
pub(crate) fn free_address() -> SocketAddr {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap()
}

fn spawn<K: Kind>(address: SocketAddr, folder: &Path) -> Child {
    let log = File::create(folder.join("log")).unwrap();
    let mut command = Command::new(K::PROGRAM);
    K::configure(&mut command, address, folder);
    command.current_dir(folder).stdin(Stdio::null());
    command.stdout(log.try_clone().unwrap()).stderr(log);
    match command.spawn() {
        Ok(child) => child,
        Err(e) if e.kind() == ErrorKind::NotFound => {
            panic!("{} is not installed: install the package {}", K::PROGRAM, K::PACKAGE)
        }
        Err(e) => panic!("{} cannot be started: {e}", K::PROGRAM),
    }
}

/// Waits for an answer. False if the process has ended; then one that answered was another.
async fn answers<K: Kind>(child: &mut Child, address: SocketAddr) -> bool {
    let deadline = Instant::now() + PATIENCE;
    loop {
        let answered = K::answers(address).await;
        if child.try_wait().unwrap().is_some() {
            return false;
        }
        if answered {
            return true;
        }
        assert!(Instant::now() < deadline, "{} does not answer in {PATIENCE:?}", K::PROGRAM);
        sleep(Duration::from_millis(5)).await;
    }
}

fn log(folder: &Path) -> String {
    std::fs::read_to_string(folder.join("log")).unwrap()
}
