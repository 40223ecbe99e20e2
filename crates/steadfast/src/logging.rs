//! Where the log goes and in which form.

use std::{
    fs::OpenOptions,
    io::{self, IsTerminal},
    sync::Mutex,
};

use anyhow::Context;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{FmtSubscriber, fmt::MakeWriter};

use crate::{
    cli::{LogLevel, SidecarArgs},
    console::PrefixedStdout,
    lines::Lines,
};

/// Starts the log. Under `run` each record says that it is the sidecar's.
pub(crate) fn start(args: &SidecarArgs, under_run: bool) -> anyhow::Result<()> {
    let level = level(args);
    if let Some(path) = &args.log_file {
        let file = OpenOptions::new().create(true).append(true).open(path);
        let file = file.with_context(|| format!("cannot open the log file {}", path.display()))?;
        return install(level, args.log_as_json, false, Mutex::new(file));
    }
    let colours = has_colours();
    if under_run && !args.log_as_json {
        return install(level, false, colours, || PrefixedStdout);
    }
    install(level, args.log_as_json, colours, io::stdout)
}

/// Starts the log of one sidecar among several.
pub(crate) fn start_to(args: &SidecarArgs, lines: Lines, on_console: bool) -> anyhow::Result<()> {
    install(level(args), args.log_as_json, on_console && has_colours(), Mutex::new(lines))
}

fn level(args: &SidecarArgs) -> LevelFilter {
    match args.log_level {
        LogLevel::Debug => LevelFilter::DEBUG,
        LogLevel::Info => LevelFilter::INFO,
        LogLevel::Warn => LevelFilter::WARN,
        LogLevel::Error | LogLevel::Fatal => LevelFilter::ERROR,
    }
}

fn has_colours() -> bool {
    io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

/// Starts the log of a command that prints results: on standard error, and errors alone, because the command says
/// itself what went wrong.
pub(crate) fn start_quietly() -> anyhow::Result<()> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    install(LevelFilter::ERROR, false, colours, io::stderr)
}

/// Starts the log of a command that is no sidecar: warnings and errors, on standard error.
pub(crate) fn start_for_command() -> anyhow::Result<()> {
    let colours = io::stderr().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    install(LevelFilter::WARN, false, colours, io::stderr)
}

fn install<W>(level: LevelFilter, json: bool, colours: bool, writer: W) -> anyhow::Result<()>
where
    W: for<'w> MakeWriter<'w> + Send + Sync + 'static,
{
    let builder =
        FmtSubscriber::builder().with_max_level(level).with_writer(writer).with_target(false);
    // Who pipes the log into `head` is not told of every record that nobody read.
    let builder = builder.log_internal_errors(false);
    let installed = match json {
        true => {
            tracing::subscriber::set_global_default(builder.json().flatten_event(true).finish())
        }
        false => tracing::subscriber::set_global_default(builder.with_ansi(colours).finish()),
    };
    installed.context("cannot start the log")
}
