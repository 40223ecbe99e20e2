//! A run: a host for each application, and what becomes of them.

use std::{
    collections::BTreeSet,
    env, io,
    path::Path,
    process::{ExitCode, ExitStatus},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::{process::Child, sync::mpsc, time::Instant};

use super::{
    channel::{self, Demand, Ended, Listener, Report, Speaker},
    plan::{Plan, Planned},
};
use crate::{
    FAILURE,
    app::exit_code,
    console::{Console, Mark},
    signals::Signals,
};

/// How long a host may take to end: five seconds each until its application, what that has started and the requests under
/// way are given up, and stores are closed.
const PATIENCE: Duration = Duration::from_secs(25);

/// How long one may take that was told to end at once.
const KILL_PATIENCE: Duration = Duration::from_secs(3);

/// How many reports may wait. There are two or three for each application.
const WAITING_MAX: usize = 64;

/// What happened to the host of this number.
type Event = (usize, Happened);

enum Happened {
    Told(Report),
    Ended(io::Result<ExitStatus>),
}

/// What is known of a host.
struct State {
    app_id: String,
    speaker: Speaker,
    stop: mpsc::Sender<()>,
    is_up: bool,
    has_ended: bool,
    /// The process group of the application, as long as it runs.
    app: Option<i32>,
}

struct Run {
    console: Console,
    hosts: Vec<State>,
    events: mpsc::Receiver<Event>,
    said_up: bool,
    failed: bool,
    /// When hosts that are still there are killed; set once the end has begun.
    deadline: Option<Instant>,
}

/// Starts everything, and goes on until all have ended.
pub(super) async fn run(plan: Plan, console: Console) -> anyhow::Result<ExitCode> {
    // Before anything is started that would have to be ended.
    let mut signals = Signals::ending()?;
    let (sender, events) = mpsc::channel(WAITING_MAX);
    let mut hosts = Vec::with_capacity(plan.apps.len());
    let mut folders = BTreeSet::new();
    for app in &plan.apps {
        console.say(Mark::Info, &format!("Validating config and starting app {:?}", app.app_id));
        hosts.push(start(hosts.len(), app, sender.clone()).await?);
        let files = [&app.order.app_log.file, &app.order.sidecar_log.file];
        folders
            .extend(files.into_iter().flatten().filter_map(|it| it.parent()).map(Path::to_owned));
    }
    for it in &folders {
        console.say(Mark::Info, &format!("Writing log files to directory: {}", it.display()));
    }
    let mut run = Run { console, hosts, events, said_up: false, failed: false, deadline: None };
    while run.hosts.iter().any(|it| !it.has_ended) {
        let deadline = run.deadline;
        let late = async move {
            match deadline {
                Some(it) => tokio::time::sleep_until(it).await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            event = run.events.recv() => match event {
                Some((number, Happened::Told(it))) => run.told(number, it).await,
                Some((number, Happened::Ended(status))) => run.ended(number, status).await,
                None => break,
            },
            _ = signals.next() => {
                let is_first = run.deadline.is_none();
                if is_first {
                    console.say(Mark::Info, "terminated signal received: shutting down");
                }
                run.end(if is_first { Demand::Stop } else { Demand::Kill }).await;
            }
            () = late => run.kill(),
        }
    }
    Ok(if run.failed { ExitCode::from(FAILURE) } else { ExitCode::SUCCESS })
}

async fn start(number: usize, app: &Planned, events: mpsc::Sender<Event>) -> anyhow::Result<State> {
    let own = env::current_exe().context("cannot find the program that is running")?;
    let (listener, mut speaker, input) = channel::new().context("cannot make a socket")?;
    let mut host = tokio::process::Command::new(own);
    host.args(["run", "--hosted"])
        .args(&app.flags)
        .arg("--")
        .args(&app.command)
        .current_dir(&app.folder)
        .stdin(input)
        .kill_on_drop(true);
    let child =
        host.spawn().with_context(|| format!("cannot start a sidecar for {}", app.app_id))?;
    // It holds the host's end of the socket.
    drop(host);
    speaker.say(&app.order).await;
    let (stop, stopped) = mpsc::channel(1);
    tokio::spawn(attend(number, child, listener, stopped, events));
    let app_id = app.app_id.clone();
    Ok(State { app_id, speaker, stop, is_up: false, has_ended: false, app: None })
}

/// Passes on what a host tells, until it has ended.
async fn attend(
    number: usize,
    mut child: Child,
    mut listener: Listener,
    mut stopped: mpsc::Receiver<()>,
    events: mpsc::Sender<Event>,
) {
    let mut is_silent = false;
    let status = loop {
        tokio::select! {
            // What it has told comes before its end.
            biased;
            report = listener.next::<Report>(), if !is_silent => match report {
                // If nobody listens, the run is over.
                Some(it) => drop(events.send((number, Happened::Told(it))).await),
                None => is_silent = true,
            },
            status = child.wait() => break status,
            Some(()) = stopped.recv() => {
                // It may have ended at this moment.
                let _ = child.start_kill();
            }
        }
    };
    while !is_silent && let Some(it) = listener.next::<Report>().await {
        drop(events.send((number, Happened::Told(it))).await);
    }
    drop(events.send((number, Happened::Ended(status))).await);
}

impl Run {
    async fn told(&mut self, number: usize, report: Report) {
        let console = self.console;
        let host = &mut self.hosts[number];
        let id = &host.app_id;
        match report {
            Report::Up { place, app_pid, not_ready } => {
                host.is_up = true;
                host.app = app_pid;
                console.say(Mark::Info, &format!("Started Steadfast with app id {id:?}. {place}"));
                if !not_ready.is_empty() {
                    let message = format!(
                        "Not ready for {id}: {}. Requests to it get 503 until it can be opened; see the log.",
                        not_ready.join(", ")
                    );
                    console.say(Mark::Warning, &message);
                }
                if app_pid.is_none() {
                    let message = format!("{id} has no command: its sidecar runs alone");
                    console.say(Mark::Warning, &message);
                }
            }
            Report::AppEnded { code, how } => {
                host.app = None;
                let failed = match how {
                    Ended::ByItself => code != 0,
                    Ended::Asked => false,
                    Ended::Killed => true,
                };
                self.failed |= failed;
                match (failed, how) {
                    (false, _) => {
                        console.say(Mark::Success, &format!("Exited App successfully: {id}"));
                    }
                    (true, Ended::Killed) => {
                        let message = format!("The App process of {id} had to be killed");
                        console.say(Mark::Failure, &message);
                    }
                    (true, Ended::ByItself | Ended::Asked) => {
                        let message = format!(
                            "The App process of {id} exited with error code: {code}; its sidecar runs on"
                        );
                        console.say(Mark::Failure, &message);
                    }
                }
            }
        }
        if !self.said_up && self.deadline.is_none() && self.hosts.iter().all(|it| it.is_up) {
            self.said_up = true;
            let up = "You're up and running! Both Steadfast and your app logs will appear here.";
            console.say(Mark::Success, up);
        }
    }

    async fn ended(&mut self, number: usize, status: io::Result<ExitStatus>) {
        let host = &mut self.hosts[number];
        host.has_ended = true;
        if let Some(group) = host.app.take().and_then(Pid::from_raw) {
            // The host was killed. The system has ended the application with it, and not what that had started.
            let _ = kill_process_group(group, Signal::KILL);
        }
        let (id, was_up) = (host.app_id.clone(), host.is_up);
        let code = status.map_or(FAILURE, exit_code);
        if code == 0 {
            self.console.say(Mark::Success, &format!("Exited Steadfast successfully: {id}"));
            return;
        }
        self.failed = true;
        if was_up {
            let message = format!("The Steadfast process of {id} exited with error code: {code}");
            self.console.say(Mark::Failure, &message);
            return;
        }
        let message = format!("{id} could not be started: stopping all");
        self.console.say(Mark::Failure, &message);
        if self.deadline.is_none() {
            self.end(Demand::Stop).await;
        }
    }

    /// Has all hosts end at the same time.
    async fn end(&mut self, demand: Demand) {
        let patience = match demand {
            Demand::Stop => PATIENCE,
            Demand::Kill => KILL_PATIENCE,
        };
        self.deadline = Some(Instant::now() + patience);
        for host in self.hosts.iter_mut().filter(|it| !it.has_ended) {
            host.speaker.say(&demand).await;
        }
    }

    /// Ends hosts that do not end.
    fn kill(&mut self) {
        self.deadline = Some(Instant::now() + KILL_PATIENCE);
        for host in self.hosts.iter().filter(|it| !it.has_ended) {
            // It may have been told already.
            let _ = host.stop.try_send(());
        }
    }
}
