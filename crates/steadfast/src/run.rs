//! `steadfast run`: an application and its sidecar as one job.

use std::{
    env,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use anyhow::Context;
use sidecar_api::{Sidecar, Status, Stop};
use tokio::{signal::unix::SignalKind, task::JoinHandle};

use crate::{
    FAILURE,
    access::{API_TOKEN, Access},
    app::{self, App},
    cli::{RunArgs, SidecarArgs},
    components::{self, Components},
    configuration,
    console::{Console, Mark},
    hardening,
    instances::Facts,
    launch::{Described, Launched, Places},
    lines::Lines,
    logging,
    provision::{self, StoreUrl},
    reload::Sources,
    serve,
    signals::Signals,
    template,
};

/// How long an application may take to end after it was asked to. Source: Dapr's CLI.
pub(crate) const PATIENCE: Duration = Duration::from_secs(5);

pub(crate) fn main(args: RunArgs, started: Instant) -> anyhow::Result<ExitCode> {
    if args.run_file.hosted {
        return template::hosted(args, started);
    }
    if let Some(file) = &args.run_file.path {
        return template::main(file, &args.run_file, args.sidecar.log_as_json);
    }
    let console = Console { json: args.sidecar.log_as_json };
    let app_id = match &args.sidecar.app_id {
        Some(it) => it.clone(),
        None => id_of_folder(),
    };
    logging::start(&args.sidecar, &app_id, true)?;
    hardening::apply();
    components::check_app_id(&app_id)?;
    let (access, token) = Access::for_run(!args.no_api_token)?;
    let described = described(&args.sidecar, &app_id, console)?;
    let runtime = crate::runtime()?;
    // On this thread, which lives as long as the process: see `App::start`.
    let code = runtime.block_on(async {
        let launched = Launched::prepare(&args.sidecar, described, access)?;
        let starting = match &launched.places {
            Places::Ports { http, grpc, .. } => {
                format!("Starting Steadfast with id {app_id}. HTTP Port: {http}. gRPC Port: {grpc}")
            }
            Places::Sockets { http, grpc } => format!(
                "Starting Steadfast with id {app_id}. HTTP Socket: {}. gRPC Socket: {}",
                http.display(),
                grpc.display()
            ),
        };
        console.say(Mark::Info, &starting);
        let log_file = args.sidecar.log_file.clone();
        let job = |signals| Job { launched, console, started, signals, token, log_file };
        match args.command.as_slice() {
            [] => job(Signals::ending()?).run_alone().await,
            command => job(Signals::all()?).run_beside(&app_id, command).await,
        }
    });
    runtime.shutdown_background();
    code
}

/// The name of the current folder, made an id. The same folder always gives the same id, and so
/// the same data.
pub(crate) fn id_of_folder() -> String {
    let folder = env::current_dir().ok();
    let name = folder.as_deref().and_then(|it| it.file_name()).unwrap_or_default();
    let plain = |it: char| if it.is_ascii_alphanumeric() { it.to_ascii_lowercase() } else { '-' };
    let id: String = name.to_string_lossy().chars().map(plain).take(63).collect();
    let id = id.trim_matches('-');
    if id.is_empty() { "app".to_owned() } else { id.to_owned() }
}

/// What the files say, with a state store among them in any case.
pub(crate) fn described(
    args: &SidecarArgs,
    app_id: &str,
    console: Console,
) -> anyhow::Result<Described> {
    let files = configuration_files(args);
    let context = components::context(app_id, !args.disable_builtin_k8s_secret_store)?;
    let configuration = configuration::load(&context, &files)?;
    let configured = components::configured(&context, &configuration);
    let components = chosen_components(args, &configured, console)?;
    let sources = Sources { context, folders: followed(args), files };
    Ok(Described { sources, configuration, components, obeys_hangup: false })
}

/// The files that were named, or the usual one. `--config=` is for none.
fn configuration_files(args: &SidecarArgs) -> Vec<PathBuf> {
    match args.config.as_slice() {
        [] => provision::default_configuration().into_iter().collect(),
        _ => args.config_files(),
    }
}

/// The folders that were named, or the usual one.
fn folders(args: &SidecarArgs) -> Vec<PathBuf> {
    match args.resources_path.as_slice() {
        [] => vec![provision::default_folder()],
        named => named.to_vec(),
    }
}

/// The folders whose changes take effect: those whose files count at the start.
fn followed(args: &SidecarArgs) -> Vec<PathBuf> {
    match &args.state_store {
        Some(url) if !url.is_server() => args.resources_path.clone(),
        _ => folders(args),
    }
}

fn chosen_components(
    args: &SidecarArgs,
    context: &state_config::Context,
    console: Console,
) -> anyhow::Result<Components> {
    let folders = &folders(args)[..];
    // The default folder is made when it is needed; one that was named and is not there is a
    // mistake, which `load` reports.
    let is_new = args.resources_path.is_empty() && !folders[0].is_dir();
    if let Some(url) = &args.state_store {
        if url.is_server() {
            let there =
                if is_new { Components::default() } else { components::load(context, folders)? };
            return kept(url, there, &folders[0], console);
        }
        let mut components = components::load(context, &args.resources_path)?;
        components.usable.push(serve::chosen(url.component(), &components.usable)?);
        return Ok(components);
    }
    let components =
        if is_new { Components::default() } else { components::load(context, folders)? };
    if !(components.usable.is_empty() && components.rejected.is_empty()) {
        return Ok(components);
    }
    if let Some((file, database)) = provision::write_default(&folders[0])? {
        let written = format!(
            "No state store is configured: wrote {} for a SQLite database at {}. Replace that file \
             to switch the store.",
            file.display(),
            database.display()
        );
        console.say(Mark::Info, &written);
    }
    components::load(context, folders)
}

/// The components with the store of the URL among them, for which a file is written unless there is one.
fn kept(
    url: &StoreUrl,
    mut components: Components,
    folder: &Path,
    console: Console,
) -> anyhow::Result<Components> {
    let is_new = !components.usable.iter().any(|it| it.name == provision::STORE_NAME);
    if is_new && let Some(file) = provision::write_component(folder, url)? {
        let written = format!(
            "Wrote {} for this store: from now on it is used without --state-store, too.",
            file.display()
        );
        console.say(Mark::Info, &written);
    }
    if !components.usable.iter().any(|it| url.is(it)) {
        components.usable.push(serve::chosen(url.component(), &components.usable)?);
    }
    Ok(components)
}

/// A sidecar that is about to run, and what it takes to do so.
struct Job {
    launched: Launched,
    console: Console,
    started: Instant,
    signals: Signals,
    /// The API token that was made for this run.
    token: Option<String>,
    log_file: Option<PathBuf>,
}

impl Job {
    async fn run_alone(mut self) -> anyhow::Result<ExitCode> {
        let (console, places) = (self.console, self.launched.places.clone());
        let sidecar = self.launched.sidecar.clone();
        let ready = || {
            let up = "You're up and running! Steadfast logs will appear here.";
            let is_up = say_whether_up(console, &sidecar, up);
            // One that was passed over is among the components, too.
            let components = sidecar.service.components();
            let usable = components.iter().find(|it| it.status() == Status::Ready);
            if let Some(store) = usable.filter(|_| is_up && !console.json) {
                anstream::println!("{}", curl_lines(&places, &store.name));
            }
        };
        self.tell(None, &[]);
        let code = serve::alone(&mut self.launched, &mut self.signals, self.started, ready).await?;
        console.say(Mark::Success, "Exited Steadfast successfully");
        Ok(code)
    }

    async fn run_beside(mut self, app_id: &str, command: &[String]) -> anyhow::Result<ExitCode> {
        let server = tokio::spawn(self.launched.serve()?);
        self.launched.open().await?;
        serve::say_initialized(self.started);
        let variables = variables(&self.launched, app_id, self.token.take());
        let lines = Lines::of_app(app_id);
        let mut app = App::start(command, &variables, app::own_input(), &lines)?;
        self.tell(Some(&app), command);
        let up = "You're up and running! Both Steadfast and your app logs will appear here.";
        say_whether_up(self.console, &self.launched.sidecar, up);
        let status = self.wait(&mut app).await?;
        app.clean_up(PATIENCE).await;
        let code = app::exit_code(status);
        match code {
            0 => self.console.say(Mark::Success, "Exited App successfully"),
            _ => {
                let failed = format!("The App process exited with error code: {code}");
                self.console.say(Mark::Failure, &failed);
            }
        }
        let stopped = self.stop(server).await;
        Ok(ExitCode::from(if code == 0 && !stopped { FAILURE } else { code }))
    }

    /// Passes signals on until the application has ended.
    async fn wait(&mut self, app: &mut App) -> anyhow::Result<std::process::ExitStatus> {
        let sidecar = self.launched.sidecar.clone();
        let mut deadline: Option<tokio::time::Instant> = None;
        loop {
            let ending = deadline.is_some();
            let late = async {
                match deadline {
                    Some(it) => tokio::time::sleep_until(it).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                status = app.ended() => return status.context("cannot wait for the application"),
                signal = self.signals.next() => {
                    if signal.ends && ending {
                        app.signal(KILL);
                        continue;
                    }
                    app.signal(signal.kind.as_raw_value());
                    if signal.ends {
                        let message = "terminated signal received: shutting down";
                        self.console.say(Mark::Info, message);
                        deadline = Some(tokio::time::Instant::now() + PATIENCE);
                    }
                }
                stop = sidecar.stopped(), if !ending => {
                    if stop == Stop::AtOnce {
                        app.signal(KILL);
                        return app.ended().await.context("cannot wait for the application");
                    }
                    self.console.say(Mark::Info, "the sidecar was asked to shut down");
                    app.signal(SignalKind::terminate().as_raw_value());
                    deadline = Some(tokio::time::Instant::now() + PATIENCE);
                }
                () = late => {
                    let message = format!("the app did not end within {PATIENCE:?}: killing it");
                    self.console.say(Mark::Warning, &message);
                    app.signal(KILL);
                    deadline = Some(tokio::time::Instant::now() + PATIENCE);
                }
            }
        }
    }

    /// Ends the sidecar after its application; returns whether it went well.
    async fn stop(self, server: JoinHandle<bool>) -> bool {
        self.launched.sidecar.stop(Stop::Gracefully);
        let finished = server.await.unwrap_or(false);
        self.launched.close().await;
        match finished {
            true => self.console.say(Mark::Success, "Exited Steadfast successfully"),
            false => {
                let failed = "Steadfast could not finish the requests under way";
                self.console.say(Mark::Failure, failed);
            }
        }
        finished
    }

    /// Tells tools which processes belong together. Source: Dapr's CLI.
    fn tell(&mut self, app: Option<&App>, command: &[String]) {
        let facts = Facts {
            command: command.join(" "),
            cli_pid: Some(std::process::id().cast_signed()),
            app_pid: app.map(App::pid),
            daprd_log_path: self.log_file.as_deref().and_then(|it| std::path::absolute(it).ok()),
            ..Facts::default()
        };
        self.launched.registered.tell(facts, &self.launched.sidecar);
    }
}

/// What SDKs look for, and a little help. Source: Dapr's CLI.
pub(crate) fn variables(
    launched: &Launched,
    app_id: &str,
    token: Option<String>,
) -> Vec<(String, String)> {
    let app = &launched.sidecar.identity.app;
    let mut variables = vec![
        ("APP_ID", app_id.to_owned()),
        ("APP_PROTOCOL", app.protocol.clone()),
        ("APP_CHANNEL_ADDRESS", app.address.clone()),
        ("DAPR_METRICS_PORT", launched.metrics_port.port.to_string()),
    ];
    match &launched.places {
        Places::Ports { http, grpc, tls } => {
            variables.push(("DAPR_HTTP_PORT", http.to_string()));
            variables.push(("DAPR_GRPC_PORT", grpc.to_string()));
            if *tls {
                // By the ports alone, SDKs would speak without TLS.
                variables.push(("DAPR_HTTP_ENDPOINT", format!("https://localhost:{http}")));
                variables.push(("DAPR_GRPC_ENDPOINT", format!("https://localhost:{grpc}")));
            }
        }
        // The address as gRPC writes it. For HTTP there is no such form.
        Places::Sockets { grpc, .. } => {
            variables.push(("DAPR_GRPC_ENDPOINT", format!("unix://{}", grpc.display())));
        }
    }
    variables.extend(token.map(|it| (API_TOKEN, it)));
    if let Some(port) = app.port {
        variables.push(("APP_PORT", port.to_string()));
    }
    if env::var_os("PYTHONUNBUFFERED").is_none() {
        // Python holds back what it prints when it does not print to a terminal.
        variables.push(("PYTHONUNBUFFERED", "1".to_owned()));
    }
    variables.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
}

/// Says that all is well, or which stores are not, and returns whether it is.
fn say_whether_up(console: Console, sidecar: &Sidecar, up: &str) -> bool {
    let waiting = sidecar.outbound_not_ready();
    if waiting.is_empty() {
        console.say(Mark::Success, up);
        return true;
    }
    let message = format!(
        "Running, but not ready: {}. Requests to it get 503 until it can be opened; see the log.",
        waiting.join(", ")
    );
    console.say(Mark::Warning, &message);
    false
}

/// SIGKILL, which tokio has no name for.
pub(crate) const KILL: i32 = 9;

fn curl_lines(places: &Places, store: &str) -> String {
    let (socket, origin) = match places {
        Places::Ports { http, tls: true, .. } => {
            (String::new(), format!("https://localhost:{http}"))
        }
        Places::Ports { http, .. } => (String::new(), format!("http://localhost:{http}")),
        Places::Sockets { http, .. } => {
            (format!(" --unix-socket {}", http.display()), "http://localhost".to_owned())
        }
    };
    let url = format!("{origin}/v1.0/state/{store}");
    let token = match env::var_os(API_TOKEN).is_some_and(|it| !it.is_empty()) {
        true => " -H \"dapr-api-token: $DAPR_API_TOKEN\"",
        false => "",
    };
    format!(
        "
Try it:
  curl -i{socket}{token} {url} -d '[{{\"key\": \"k1\", \"value\": \"Some Data\"}}]'
  curl -i{socket}{token} {url}/k1
  curl -i{socket}{token} -X DELETE {url}/k1
Stop it with Ctrl-C.
"
    )
}
