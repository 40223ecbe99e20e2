//! Where the log goes and in which form.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal},
    sync::Mutex,
};

use anyhow::Context;
use tracing::{info, level_filters::LevelFilter};
use tracing_subscriber::{
    Layer, Registry,
    filter::filter_fn,
    fmt::{self, MakeWriter},
    layer::SubscriberExt,
};

use self::form::Lines;
use crate::{
    api_log,
    cli::{LogLevel, SidecarArgs},
    console::PrefixedStdout,
    lines,
};

mod form;

/// Starts the log of the sidecar of `app_id`. Under `run` each record says that it is the sidecar's, and people who look at a
/// terminal get a form that is made for them.
pub(crate) fn start(args: &SidecarArgs, app_id: &str, under_run: bool) -> anyhow::Result<()> {
    let (level, _) = level(args);
    let json = args.log_as_json;
    let lines = Lines::new(app_id, json);
    if let Some(path) = &args.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the log file {}", path.display()))?;
        install(level, lines, Mutex::new(file))?;
    } else if under_run && !json && io::stdout().is_terminal() {
        let colours = std::env::var_os("NO_COLOR").is_none();
        let layer = fmt::layer().with_target(false).with_ansi(colours);
        finish(level, layer.log_internal_errors(false).with_writer(|| PrefixedStdout))?;
    } else if under_run && !json {
        install(level, lines, || PrefixedStdout)?;
    } else {
        install(level, lines, io::stdout)?;
    }
    say_who(args, app_id);
    Ok(())
}

/// Starts the log of one sidecar among several.
pub(crate) fn start_to(
    args: &SidecarArgs,
    app_id: &str,
    lines: lines::Lines,
) -> anyhow::Result<()> {
    let (level, _) = level(args);
    install(level, Lines::new(app_id, args.log_as_json), Mutex::new(lines))?;
    say_who(args, app_id);
    Ok(())
}

/// Starts the log of a command that prints results: on standard error, and errors alone, because the command says
/// itself what went wrong.
pub(crate) fn start_quietly() -> anyhow::Result<()> {
    start_for_people(LevelFilter::ERROR)
}

/// Starts the log of a command that is no sidecar: warnings and errors, on standard error.
pub(crate) fn start_for_command() -> anyhow::Result<()> {
    start_for_people(LevelFilter::WARN)
}

fn start_for_people(level: LevelFilter) -> anyhow::Result<()> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    let layer = fmt::layer().with_target(false).with_ansi(colours);
    finish(level, layer.log_internal_errors(false).with_writer(io::stderr))
}

/// The level, and Dapr's name of it.
fn level(args: &SidecarArgs) -> (LevelFilter, &'static str) {
    match args.log_level {
        LogLevel::Debug => (LevelFilter::DEBUG, "debug"),
        LogLevel::Info => (LevelFilter::INFO, "info"),
        LogLevel::Warn => (LevelFilter::WARN, "warning"),
        LogLevel::Error => (LevelFilter::ERROR, "error"),
        LogLevel::Fatal => (LevelFilter::ERROR, "fatal"),
    }
}

/// What tools look for at the beginning of a log.
fn say_who(args: &SidecarArgs, app_id: &str) {
    let commit = option_env!("STEADFAST_COMMIT").unwrap_or("unknown");
    info!("Starting Dapr Runtime -- version {} -- commit {commit}", env!("CARGO_PKG_VERSION"));
    info!("Log level set to: {}", level(args).1);
    info!("app id: {app_id}");
}

fn install<W>(level: LevelFilter, lines: Lines, writer: W) -> anyhow::Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let layer = fmt::layer().with_ansi(false).event_format(lines);
    // Who pipes the log into `head` is not told of every record that nobody read.
    finish(level, layer.log_internal_errors(false).with_writer(writer))
}

/// The log of the API is shown at every level. Source: Dapr.
fn finish(level: LevelFilter, layer: impl Layer<Registry> + Send + Sync) -> anyhow::Result<()> {
    let shown = filter_fn(move |it| *it.level() <= level || it.target() == api_log::TARGET)
        .with_max_level_hint(level.max(LevelFilter::INFO));
    let subscriber = Registry::default().with(layer.with_filter(shown));
    tracing::subscriber::set_global_default(subscriber).context("cannot start the log")
}
