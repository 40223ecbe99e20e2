//! One application of a run with its sidecar, in a process of its own.

use std::{
    fs::{File, OpenOptions},
    os::unix::fs::OpenOptionsExt,
    process::{ExitCode, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;
use sidecar_api::Stop;
use tokio::{signal::unix::SignalKind, task::JoinHandle};
use tracing::{info, warn};

use super::channel::{self, Demand, Destination, Ended, Listener, Order, Report, Speaker};
use crate::{
    FAILURE,
    access::Access,
    app::{self, App},
    cli::RunArgs,
    components,
    console::Console,
    instances::Facts,
    launch::{Launched, Places},
    lines::Lines,
    logging, run, serve,
    signals::Signals,
};

/// How long what was killed may take until it is gone.
const KILL_PATIENCE: Duration = Duration::from_secs(1);

const WAIT: &str = "cannot wait for the application";

pub(crate) fn main(args: RunArgs, started: Instant) -> anyhow::Result<ExitCode> {
    let app_id = args.sidecar.app_id.clone().unwrap_or_default();
    components::check_app_id(&app_id)?;
    let runtime = crate::runtime()?;
    // On this thread, which lives as long as the process: see `App::start`.
    let code = runtime.block_on(async {
        let (mut listener, speaker) = channel::from_stdin()?;
        let order = listener.next::<Order>().await.context("the run has ended before it began")?;
        host(args, &app_id, order, listener, speaker, started).await
    });
    runtime.shutdown_background();
    // With several of them, an error has to say whose it is.
    code.with_context(|| app_id)
}

async fn host(
    args: RunArgs,
    app_id: &str,
    order: Order,
    listener: Listener,
    mut speaker: Speaker,
    started: Instant,
) -> anyhow::Result<ExitCode> {
    let json = args.sidecar.log_as_json;
    let log = Lines::of_sidecar(app_id).to(order.sidecar_log.console, opened(&order.sidecar_log)?);
    logging::start_to(&args.sidecar, app_id, if json { log.bare() } else { log })?;
    let app_lines = Lines::of_app(app_id).to(order.app_log.console, opened(&order.app_log)?);
    let (access, token) = Access::for_run(!args.no_api_token)?;
    let described = run::described(&args.sidecar, app_id, Console { json })?;
    let signals = Signals::ending()?;
    let mut launched = Launched::prepare(&args.sidecar, described, access)?;
    let server = tokio::spawn(launched.serve()?);
    let mut ending = Ending { listener, signals, is_alone: false, was_asked: false };
    // Stores may take a while to be opened, or to be given up for now.
    tokio::select! {
        opened = launched.open() => opened?,
        _ = ending.next() => return Ok(ExitCode::SUCCESS),
    }
    serve::say_initialized(started);
    let app = match args.command.as_slice() {
        [] => None,
        command => {
            let mut variables = run::variables(&launched, app_id, token);
            variables.extend(order.variables);
            Some(App::start(command, &variables, Stdio::null(), &app_lines)?)
        }
    };
    let facts = Facts {
        command: args.command.join(" "),
        cli_pid: Some(order.cli_pid),
        app_pid: app.as_ref().map(App::pid),
        run_template_path: order.template_path,
        run_template_name: order.template_name,
        app_log_path: order.app_log.file,
        daprd_log_path: order.sidecar_log.file,
    };
    let app_pid = facts.app_pid;
    launched.registered.tell(facts, &launched.sidecar);
    let place = match &launched.places {
        Places::Ports { http, grpc, .. } => format!("HTTP Port: {http}. gRPC Port: {grpc}"),
        Places::Sockets { http, grpc } => {
            format!("HTTP Socket: {}. gRPC Socket: {}", http.display(), grpc.display())
        }
    };
    let not_ready = launched.sidecar.outbound_not_ready();
    speaker.say(&Report::Up { place, app_pid, not_ready }).await;
    let host = Host { launched, server, ending, speaker };
    host.run(app).await
}

fn opened(destination: &Destination) -> anyhow::Result<Option<File>> {
    let Some(path) = &destination.file else { return Ok(None) };
    let file = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    file.map(Some).with_context(|| format!("cannot open the log file {}", path.display()))
}

/// When it is time to end.
struct Ending {
    listener: Listener,
    signals: Signals,
    /// Whether the run is gone.
    is_alone: bool,
    /// Whether somebody has asked before.
    was_asked: bool,
}

impl Ending {
    /// Waits for a demand: to stop, and only then, or at once, to be killed.
    async fn next(&mut self) -> Demand {
        loop {
            let demand = tokio::select! {
                demand = self.listener.next::<Demand>(), if !self.is_alone => {
                    demand.unwrap_or_else(|| {
                        warn!("the run was killed: ending");
                        self.is_alone = true;
                        Demand::Stop
                    })
                }
                signal = self.signals.next() => match signal.kind == SignalKind::terminate() {
                    true if self.was_asked => Demand::Kill,
                    true => Demand::Stop,
                    // What a terminal sends to all of a job is for the run to decide on.
                    false => continue,
                },
            };
            if demand == Demand::Stop && self.was_asked {
                continue;
            }
            self.was_asked = true;
            return demand;
        }
    }
}

/// A sidecar that serves.
struct Host {
    launched: Launched,
    server: JoinHandle<bool>,
    ending: Ending,
    speaker: Speaker,
}

impl Host {
    /// Goes on, also without its application, until it is to end.
    async fn run(mut self, app: Option<App>) -> anyhow::Result<ExitCode> {
        let Some(mut app) = app else {
            let demand = self.demand().await;
            return self.end(demand).await;
        };
        tokio::select! {
            status = app.ended() => {
                let code = app::exit_code(status.context(WAIT)?);
                app.clean_up(run::PATIENCE).await;
                self.speaker.say(&Report::AppEnded { code, how: Ended::ByItself }).await;
            }
            demand = self.demand() => {
                let demand = self.end_app(app, demand).await?;
                return self.end(demand).await;
            }
        }
        let demand = self.demand().await;
        self.end(demand).await
    }

    /// What is demanded by the run, by a signal, or through the API.
    async fn demand(&mut self) -> Demand {
        let sidecar = self.launched.sidecar.clone();
        tokio::select! {
            demand = self.ending.next() => demand,
            stop = sidecar.stopped() => {
                self.ending.was_asked = true;
                match stop {
                    Stop::Gracefully => Demand::Stop,
                    Stop::AtOnce => Demand::Kill,
                }
            }
        }
    }

    /// Ends the application; returns what is demanded by then.
    async fn end_app(&mut self, mut app: App, demand: Demand) -> anyhow::Result<Demand> {
        let mut demand = demand;
        let mut is_late = false;
        if demand == Demand::Stop {
            app.signal(SignalKind::terminate().as_raw_value());
            tokio::select! {
                status = app.ended() => { status.context(WAIT)?; }
                () = tokio::time::sleep(run::PATIENCE) => {
                    warn!("the application did not end within {:?}: killing it", run::PATIENCE);
                    is_late = true;
                }
                it = self.ending.next() => demand = it,
            }
        }
        let is_killed = is_late || demand == Demand::Kill;
        if is_killed {
            app.signal(run::KILL);
        }
        let code = app::exit_code(app.ended().await.context(WAIT)?);
        app.clean_up(if is_killed { KILL_PATIENCE } else { run::PATIENCE }).await;
        let how = if is_killed { Ended::Killed } else { Ended::Asked };
        self.speaker.say(&Report::AppEnded { code, how }).await;
        Ok(demand)
    }

    /// Ends the sidecar.
    async fn end(mut self, demand: Demand) -> anyhow::Result<ExitCode> {
        if demand == Demand::Kill {
            return Ok(ExitCode::from(FAILURE));
        }
        self.launched.sidecar.stop(Stop::Gracefully);
        let finished = tokio::select! {
            finished = &mut self.server => finished.unwrap_or(false),
            // There is only one demand left.
            _ = self.ending.next() => return Ok(ExitCode::from(FAILURE)),
        };
        self.launched.close().await;
        if !finished {
            warn!("Graceful shutdown timeout exceeded, forcing shutdown");
            return Ok(ExitCode::from(FAILURE));
        }
        info!("Daprd shutdown gracefully");
        Ok(ExitCode::SUCCESS)
    }
}
