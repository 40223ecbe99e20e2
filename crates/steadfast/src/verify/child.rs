//! A sidecar of our own as a process that can be killed, paused and started again.

use std::{env, ffi::OsString, path::PathBuf, process::Stdio, time::Duration};

use anyhow::{Context, Result, bail};
use rustix::process::{Pid, Signal, getpid, kill_process};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::{Child as Process, ChildStdout, Command},
    time::timeout,
};

use crate::cli::VerifyArgs;

/// How long a sidecar may take to start.
const START_MAX: Duration = Duration::from_secs(20);

/// A sidecar, killed when dropped, and when this process ends.
#[derive(Debug)]
pub(crate) struct Child {
    arguments: Vec<OsString>,
    process: Process,
    port: u16,
    /// What went wrong while it started, in its own words.
    errors: Vec<String>,
}

impl Child {
    /// Starts a sidecar on any free port.
    ///
    /// Must be called on the thread that lives as long as the process, as must
    /// [`restart`](Child::restart): the system ends the sidecar when the thread that started it ends.
    pub(crate) async fn start(args: &VerifyArgs) -> Result<Child> {
        let mut arguments: Vec<OsString> = vec!["serve".into(), "--app-id".into()];
        arguments.push(args.app_id.clone().into());
        for folder in folders(args) {
            arguments.extend(["--resources-path".into(), folder.into()]);
        }
        arguments.extend(["--dapr-listen-addresses", "127.0.0.1"].map(OsString::from));
        let (process, Ready { port, errors }) = spawn(&arguments, 0).await?;
        Ok(Child { arguments, process, port, errors })
    }

    /// What went wrong while it started, though it serves.
    pub(crate) fn errors(&self) -> &[String] {
        &self.errors
    }

    /// Where its HTTP API is, also after a restart.
    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    /// `kill -9`, and starts it again on the same port.
    pub(crate) async fn restart(&mut self) -> Result<()> {
        self.process.kill().await?;
        (self.process, _) = spawn(&self.arguments, self.port).await?;
        Ok(())
    }

    /// Stops it for a while.
    pub(crate) async fn pause(&self, duration: Duration) {
        self.signal(Signal::STOP);
        tokio::time::sleep(duration).await;
        self.signal(Signal::CONT);
    }

    /// Asks it to end, and waits until it has.
    pub(crate) async fn end(&mut self) {
        self.signal(Signal::TERM);
        // Dropping it kills it.
        let _ = timeout(START_MAX, self.process.wait()).await;
    }

    fn signal(&self, signal: Signal) {
        // A process that has ended has no id, and needs no signal.
        if let Some(pid) = self.process.id().and_then(|it| Pid::from_raw(it.cast_signed())) {
            let _ = kill_process(pid, signal);
        }
    }
}

/// Where the component files are.
pub(crate) fn folders(args: &VerifyArgs) -> Vec<PathBuf> {
    match args.resources_path.is_empty() {
        true => vec![crate::provision::default_folder()],
        false => args.resources_path.clone(),
    }
}

/// What a sidecar has said until it served.
struct Ready {
    port: u16,
    errors: Vec<String>,
}

/// Starts a process, and waits until it serves.
async fn spawn(arguments: &[OsString], port: u16) -> Result<(Process, Ready)> {
    let own = env::current_exe().context("cannot find the program that is running")?;
    let mut process = Command::new(&own)
        .args(["launch-app", "--parent", &getpid().as_raw_nonzero().to_string(), "--"])
        .arg(&own)
        .args(arguments)
        .args(["--dapr-http-port", &port.to_string()])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::inherit())
        // Ctrl-C is for the one who cleans up.
        .process_group(0)
        .kill_on_drop(true)
        .spawn()
        .context("cannot start a sidecar")?;
    let stdout = process.stdout.take().context("it has an output")?;
    match timeout(START_MAX, ready(stdout)).await {
        Ok(Ok(ready)) => Ok((process, ready)),
        Ok(Err(log)) => bail!("the sidecar did not start:\n{log}"),
        Err(_) => bail!("the sidecar did not start within {START_MAX:?}"),
    }
}

/// Waits until the log says that the sidecar is ready, and reads on for as long as there is any.
/// Returns what it has said, or else the log.
async fn ready(stdout: ChildStdout) -> Result<Ready, String> {
    let mut lines = BufReader::new(stdout).lines();
    let (mut log, mut port) = (Vec::new(), None);
    while let Ok(Some(line)) = lines.next_line().await {
        if let Some((_, number)) = line.rsplit_once("HTTP server is running on port ") {
            let digits = number.split(|it: char| !it.is_ascii_digit()).next();
            port = digits.and_then(|it| it.parse().ok());
        }
        let is_ready = line.contains("dapr initialized");
        log.push(line);
        if let Some(port) = port.filter(|_| is_ready) {
            // A full pipe would stop the sidecar.
            tokio::spawn(async move { while let Ok(Some(_)) = lines.next_line().await {} });
            let error =
                |it: &String| it.split_once(" level=error msg=").map(|(_, it)| it.to_owned());
            return Ok(Ready { port, errors: log.iter().filter_map(error).collect() });
        }
    }
    Err(log.join("\n"))
}
