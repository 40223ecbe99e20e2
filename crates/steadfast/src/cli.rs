//! Every flag, its help, and what of it is checked before anything starts.

use std::{
    ffi::{OsStr, OsString},
    net::IpAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use clap::{
    Arg, ArgAction, Args, CommandFactory, Parser, Subcommand, ValueEnum,
    builder::{BoolishValueParser, OsStringValueParser},
};

use sidecar_api::IN_FLIGHT_MAX;
use state_config::GoDuration;

use crate::{
    accepted::Accepted,
    init::{InitArgs, UninstallArgs},
    instances::{ListArgs as InstancesArgs, LogsArgs, StopArgs},
    manual::{CompletionArgs, ManArgs},
    provision::{StoreUrl, StoreUrlParser},
    rekey::RekeyArgs,
    template::RunFile,
};

mod daprd;
mod state;
mod tools;
mod verify;

pub(crate) use daprd::{DaprdArgs, Mode};
pub(crate) use state::{
    CopyArgs, DeleteArgs, ExportArgs, GetArgs, IfExists, ImportArgs, ListArgs, Place, SetArgs,
    StateArgs, StateCommand, StoreArgs,
};
pub(crate) use tools::{
    ComponentsArgs, DoctorArgs, ExplainArgs, ExplainCommand, ExplainKeyArgs, Output, ScopeArgs,
};
pub(crate) use verify::VerifyArgs;

#[derive(Debug, Parser)]
#[command(
    name = "steadfast",
    version,
    about = "A state sidecar: key/value state over HTTP and gRPC for any application, with options that do what they say",
    after_help = "\
Examples:
  steadfast run -- python3 app.py          an application and its sidecar, on the default store
  steadfast run -f .                       the applications of ./dapr.yaml, each with a sidecar
  steadfast run --state-store memory       a sidecar alone, nothing kept on disk
  steadfast serve --app-id cart --resources-path ./components

Exit codes: that of the application under `run`; otherwise 0 after a graceful end, 1 after a
failure, 2 if a flag is wrong. `verify`, `state` and `rekey` have their own: see their `--help`.",
    max_term_width = 100,
    args_override_self = true
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run an application with a sidecar beside it
    ///
    /// The application finds its sidecar through DAPR_HTTP_PORT, DAPR_GRPC_PORT and DAPR_API_TOKEN,
    /// as every Dapr SDK does. Without a command, the sidecar runs alone. Several runs with one --app-id are replicas of one
    /// application: they share its data.
    #[command(after_help = "\
Examples:
  steadfast run -- python3 app.py
  steadfast run --app-id cart --app-port 8080 -- node server.js
  steadfast run --state-store sqlite:///var/lib/cart/state.db -- ./cart
  steadfast run --state-store redis://localhost:6379/0 -- ./cart

Without a state store among the component files, `run` writes statestore.yaml for a SQLite
database into the components folder. Replace that file to switch the store.")]
    Run(RunArgs),
    /// Run the bare sidecar, configured by component files alone
    ///
    /// As `daprd` it is the same, and so it is if the program itself is called by that name.
    #[command(
        visible_alias = "daprd",
        version,
        after_help = "\
Examples:
  steadfast serve --app-id cart --resources-path ./components
  steadfast serve --app-id cart --state-store memory --dapr-http-port 3501"
    )]
    Serve(SidecarArgs),
    /// Find out which guarantees a store keeps, by contending for keys of its own
    Verify(VerifyArgs),
    /// Read, change and move what applications have stored, without a sidecar
    State(StateArgs),
    /// Say how something is stored, and why
    Explain(ExplainArgs),
    /// List the components of the component files, and what is wrong with them
    Components(ComponentsArgs),
    /// Find out what would keep a sidecar from working here, and what to do about it
    Doctor(DoctorArgs),
    /// Encrypt the stored values of an application anew, with its store's primary key
    Rekey(RekeyArgs),
    /// Show the sidecars of this user that run
    List(InstancesArgs),
    /// End applications with their sidecars, gracefully
    Stop(StopArgs),
    /// Show what an application, or its sidecar, has written to its log file
    Logs(LogsArgs),
    /// Write a component file for a state store into ~/.dapr; nothing has to be installed
    Init(InitArgs),
    /// Undo what `init` has made
    Uninstall(UninstallArgs),
    /// Print what completes this program's commands in a shell
    Completion(CompletionArgs),
    /// Print the manual page, or write all of them into a folder
    Man(ManArgs),
    /// Become the application; used by `run`
    #[command(hide = true)]
    LaunchApp(LaunchArgs),
}

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// Before all others: reading them takes them away, and this says which there were.
    #[command(flatten)]
    pub(crate) run_file: RunFile,
    #[command(flatten)]
    pub(crate) sidecar: SidecarArgs,
    /// Make no API token for this run. One that DAPR_API_TOKEN has is used in any case
    #[arg(long)]
    pub(crate) no_api_token: bool,
    /// The application's command line
    #[arg(last = true, value_name = "COMMAND")]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct LaunchArgs {
    /// The process that must still be the parent
    #[arg(long)]
    pub(crate) parent: i32,
    /// How many files it may open, if not as many as the sidecar
    #[arg(long)]
    pub(crate) files: Option<u64>,
    #[arg(last = true, required = true)]
    pub(crate) command: Vec<String>,
}

#[derive(Debug, Args)]
pub(crate) struct SidecarArgs {
    /// The application's id: its keys are kept apart from other applications' by it
    /// [default for `run`: the name of the current folder]
    #[arg(short = 'a', long)]
    pub(crate) app_id: Option<String>,

    /// A folder of component files; may be given several times
    /// [default for `run`: ./components if it exists, else ~/.dapr/components]
    #[arg(
        short = 'd',
        long,
        visible_alias = "components-path",
        value_name = "DIR",
        value_delimiter = ','
    )]
    pub(crate) resources_path: Vec<PathBuf>,

    /// A file with a Configuration; may be given several times, later files lie on top of earlier ones
    /// [default for `run`: ~/.dapr/config.yaml if it exists]
    #[arg(short = 'c', long, value_name = "FILE", value_delimiter = ',', value_parser = not_empty)]
    pub(crate) config: Vec<Option<PathBuf>>,

    /// How often files are read again though nothing told of a change [default: 60s]
    #[arg(long, value_name = "DURATION", value_parser = go_duration, hide = true)]
    pub(crate) hot_reload_reconcile_interval: Option<Duration>,

    /// Use this store, under the name statestore: memory, sqlite:///path, sqlite://relative/path,
    /// redis://user:password@host:port/db (rediss:// for TLS), postgres://user:password@host/database,
    /// mysql://user:password@host/schema or etcd://host1,host2,host3. For a server, `run` writes a component file
    #[arg(long, value_name = "URL", value_parser = StoreUrlParser)]
    pub(crate) state_store: Option<StoreUrl>,

    /// The port of the HTTP API, 0 for any [default: 3500, or the next free one]
    #[arg(short = 'H', long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) dapr_http_port: Option<Port>,

    /// The port of the gRPC API, 0 for any [default: 50001, or the next free one]
    #[arg(short = 'G', long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) dapr_grpc_port: Option<Port>,

    /// The port of the metrics, for Prometheus [default: 9090, or the next free one]
    #[arg(short = 'M', long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) metrics_port: Option<Port>,

    /// Addresses to listen on for those who read metrics
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = address, default_value = "127.0.0.1,[::1]")]
    pub(crate) metrics_listen_address: Vec<Address>,

    /// Whether there are metrics
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "true", default_missing_value = "true",
          value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) enable_metrics: bool,

    /// The port the application listens on; /v1.0/healthz waits for it
    #[arg(short = 'p', long, value_name = "PORT", value_parser = port, allow_negative_numbers = true)]
    pub(crate) app_port: Option<Port>,

    /// How the application is spoken to: http, https, h2c, grpc or grpcs
    #[arg(short = 'P', long, default_value = "http", value_parser = ["http", "https", "h2c", "grpc", "grpcs", ""], ignore_case = true)]
    pub(crate) app_protocol: String,

    /// Where the application listens
    #[arg(long, default_value = "127.0.0.1", value_name = "HOST")]
    pub(crate) app_channel_address: String,

    /// How many requests the application takes at once; shown in the metadata
    #[arg(
        long,
        value_name = "N",
        allow_negative_numbers = true,
        default_value = "-1",
        hide = true
    )]
    pub(crate) app_max_concurrency: i64,

    /// Listen on sockets in this folder instead of ports: dapr-ID-http.socket and
    /// dapr-ID-grpc.socket, for this user alone. The folder is made if it is not there
    #[arg(short = 'u', long, value_name = "DIR", value_parser = OsStringValueParser::new())]
    pub(crate) unix_domain_socket: Option<OsString>,

    /// Addresses to listen on
    #[arg(long, value_name = "ADDRESSES", value_delimiter = ',', value_parser = address, default_value = "127.0.0.1,[::1]")]
    pub(crate) dapr_listen_addresses: Vec<Address>,

    /// Allow --dapr-listen-addresses that other machines can reach; anyone there can then read and
    /// write everything
    #[arg(long)]
    pub(crate) insecure_listen: bool,

    /// Speak TLS on both ports with the certificate in this file, PEM, its own first. It is read again when it changes
    #[arg(long, value_name = "FILE", requires = "tls_key")]
    pub(crate) tls_cert: Option<PathBuf>,

    /// The private key of --tls-cert, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_key: Option<PathBuf>,

    /// Serve only clients that show a certificate of one of these authorities, PEM
    #[arg(long, value_name = "FILE", requires = "tls_cert")]
    pub(crate) tls_client_ca: Option<PathBuf>,

    /// Host names that the sidecar answers to besides localhost
    #[arg(long, value_name = "HOSTS", value_delimiter = ',')]
    pub(crate) allowed_hosts: Vec<String>,

    /// Origins of web pages that may call the API, or * for any [default: none]
    #[arg(long, value_name = "ORIGINS", value_delimiter = ',', value_parser = origin)]
    pub(crate) allowed_origins: Vec<String>,

    /// The largest request body, such as 4Mi, 100k or 65536; 0 for any [default: 4Mi]
    #[arg(long, value_name = "SIZE", value_parser = body_size, allow_hyphen_values = true)]
    pub(crate) max_body_size: Option<BodySize>,

    /// The largest request head, line and headers [default: 16Ki]
    #[arg(long, value_name = "SIZE", value_parser = head_size)]
    pub(crate) read_buffer_size: Option<usize>,

    /// How many connections may be open at the same time, on each of the two ports; one more waits
    #[arg(long, value_name = "N", default_value = "4096", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_connections: u32,

    /// How many requests each store may have under way; one more is refused at once, with 503
    #[arg(long, value_name = "N", default_value_t = IN_FLIGHT_MAX as u32, value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) max_in_flight_requests: u32,

    /// How much the bodies of all requests under way may take; one for which there is no room is refused at once, with 503
    #[arg(long, value_name = "SIZE", value_parser = quantity, default_value = "64Mi")]
    pub(crate) max_in_flight_bytes: usize,

    /// How long requests under way may take to finish when the sidecar ends; 0 for any time
    #[arg(long, value_name = "SECONDS", default_value = "5", allow_negative_numbers = true)]
    pub(crate) dapr_graceful_shutdown_seconds: i64,

    /// How much to log
    #[arg(long, value_enum, default_value = "info", ignore_case = true)]
    pub(crate) log_level: LogLevel,

    /// Log as JSON, one object a line
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true",
          value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) log_as_json: bool,

    /// Log each request, at every level of the log
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_missing_value = "true", value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) enable_api_logging: Option<bool>,

    /// Show keys where requests are logged
    #[arg(long)]
    pub(crate) log_keys: bool,

    /// Append the sidecar's log to this file
    #[arg(long, value_name = "FILE")]
    pub(crate) log_file: Option<PathBuf>,

    /// In Kubernetes, do not have the secret store `kubernetes` without a component file for it
    #[arg(long, action = ArgAction::Set, num_args = 0..=1, require_equals = true,
          default_value = "false", default_missing_value = "true",
          value_parser = BoolishValueParser::new(), value_name = "BOOL")]
    pub(crate) disable_builtin_k8s_secret_store: bool,

    #[command(flatten)]
    pub(crate) daprd: DaprdArgs,

    #[command(flatten)]
    pub(crate) accepted: Accepted,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum LogLevel {
    Debug,
    Info,
    #[value(alias = "warning")]
    Warn,
    Error,
    #[value(alias = "panic")]
    Fatal,
}

/// A port; none for less than zero and for nothing, which Dapr's CLI sends for "no port".
#[derive(Clone, Copy, Debug)]
pub(crate) struct Port(pub(crate) Option<u16>);

/// An address to listen on.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Address(pub(crate) IpAddr);

/// Bytes of a body; `None` for no limit but that of memory.
#[derive(Clone, Copy, Debug)]
pub(crate) struct BodySize(pub(crate) usize);

impl Cli {
    /// Reads the command line of this process.
    pub(crate) fn from_process() -> Cli {
        let arguments = Cli::with_command(std::env::args_os().collect());
        let arguments: Vec<_> = Cli::with_two_dashes(arguments.into_iter());
        let has_own_codes = arguments.get(1).is_some_and(|it| it == "verify" || it == "rekey");
        Cli::try_parse_from(arguments).unwrap_or_else(|e| match e.use_stderr() && has_own_codes {
            true => {
                // Nobody is left to tell if standard error is closed.
                let _ = e.print();
                std::process::exit(crate::verify::WRONG_CONFIGURATION.into());
            }
            false => e.exit(),
        })
    }

    /// The same arguments; those of `daprd`, which has no commands, with the command that it stands for.
    fn with_command(mut arguments: Vec<OsString>) -> Vec<OsString> {
        let name = arguments.first().map(Path::new).and_then(Path::file_stem);
        // Dapr's CLI asks its daprd for the version.
        let is_version = arguments.get(1).is_some_and(|it| it == "--version");
        if name.is_some_and(|it| it == "daprd") && !is_version {
            arguments.insert(1, "serve".into());
        }
        arguments
    }

    /// The same arguments, long flags with two dashes: `-app-id` is meant as `--app-id`, as in
    /// Dapr. What follows `--` is the application's and stays as it is.
    fn with_two_dashes(arguments: impl Iterator<Item = OsString>) -> Vec<OsString> {
        let command = Cli::command();
        let known: Vec<&str> = command
            .get_subcommands()
            .flat_map(|it| it.get_arguments())
            .filter_map(Arg::get_long)
            .collect();
        let mut is_own = true;
        let correct = |it: OsString| {
            is_own &= it != "--";
            let name =
                it.to_str().and_then(|it| it.strip_prefix('-')).map(|it| it.split('=').next());
            match name.flatten() {
                Some(name) if is_own && known.contains(&name) => {
                    [OsStr::new("-"), &it].join(OsStr::new(""))
                }
                _ => it,
            }
        };
        arguments.map(correct).collect()
    }
}

impl SidecarArgs {
    /// The folder for sockets, if there are to be any; an empty name is none, as for daprd.
    pub(crate) fn socket_folder(&self) -> Option<&Path> {
        self.unix_domain_socket.as_deref().filter(|it| !it.is_empty()).map(Path::new)
    }

    /// The largest request body, in bytes.
    pub(crate) fn body_bytes_max(&self) -> usize {
        let size = self.max_body_size.map(|it| it.0);
        size.or(self.daprd.older_sizes().body_bytes).unwrap_or(BODY_SIZE)
    }

    /// The largest request head, in bytes.
    pub(crate) fn head_bytes_max(&self) -> usize {
        let size = self.read_buffer_size.or(self.daprd.older_sizes().head_bytes);
        size.unwrap_or(HEAD_SIZE).max(HEAD_SIZE_MIN)
    }

    /// The files of `--config`.
    pub(crate) fn config_files(&self) -> Vec<PathBuf> {
        self.config.iter().flatten().cloned().collect()
    }

    /// How long requests under way may take to finish. Source: Dapr's meaning of the flag.
    pub(crate) fn grace(&self) -> Duration {
        match self.dapr_graceful_shutdown_seconds {
            0 => Duration::MAX,
            seconds => Duration::from_secs(u64::try_from(seconds).unwrap_or(5)),
        }
    }
}

/// Dapr's CLI sends empty texts for flags that it was not given.
fn not_empty(text: &str) -> Result<Option<PathBuf>, String> {
    Ok((!text.is_empty()).then(|| PathBuf::from(text)))
}

/// A span of time in Go's notation, which is Dapr's: `10s`, `1m30s`, `500ms`.
fn go_duration(text: &str) -> Result<Duration, String> {
    let duration = GoDuration::parse(text).and_then(GoDuration::to_duration);
    duration.ok_or_else(|| "not a duration, such as 10s or 1m30s".to_owned())
}

fn port(text: &str) -> Result<Port, String> {
    if text.is_empty() || text.starts_with('-') {
        return Ok(Port(None));
    }
    text.parse().map(|it| Port(Some(it))).map_err(|_| "not a port, from 0 to 65535".to_owned())
}

fn address(text: &str) -> Result<Address, String> {
    let inner = text.trim().trim_start_matches('[').trim_end_matches(']');
    inner
        .parse()
        .map(Address)
        .map_err(|_| "not an IP address, such as 127.0.0.1 or [::1]".to_owned())
}

/// An origin as browsers send it; nothing for nothing.
fn origin(text: &str) -> Result<String, String> {
    let text = text.trim();
    let text = text.strip_suffix('/').unwrap_or(text);
    let host = text.split_once("://").map_or("", |(_, it)| it);
    let is_plain = !host.is_empty() && !host.contains(['/', '*', '?', '#', '@', ' ']);
    if text.is_empty() || text == "*" || is_plain {
        return Ok(text.to_owned());
    }
    Err("not an origin, such as http://localhost:8080".to_owned())
}

/// 4 MiB, Dapr's default; a negative size means it, and 0 means no limit.
const BODY_SIZE: usize = 4 << 20;

fn body_size(text: &str) -> Result<BodySize, String> {
    if text.trim_start().starts_with('-') {
        return Ok(BodySize(BODY_SIZE));
    }
    Ok(BodySize(match quantity(text)? {
        0 => usize::MAX,
        size => size,
    }))
}

/// Source: the project's security goals.
const HEAD_SIZE: usize = 16 << 10;
/// The smallest that HTTP libraries work with.
const HEAD_SIZE_MIN: usize = 4096;

fn head_size(text: &str) -> Result<usize, String> {
    quantity(text)
}

/// Reads a size in the notation of Kubernetes: `400`, `2Mi`, `1M`, `4k`.
fn quantity(text: &str) -> Result<usize, String> {
    let text = text.trim();
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let unit: usize = match unit {
        "" => 1,
        "k" => 1_000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        _ => return Err("not a size, such as 4Mi, 100k or 65536".to_owned()),
    };
    let number: Option<usize> = number.parse().ok();
    number
        .and_then(|it| it.checked_mul(unit))
        .ok_or_else(|| "not a size, such as 4Mi, 100k or 65536".to_owned())
}

#[cfg(test)]
mod tests;
