//! `steadfast`: a state sidecar.
//!
//! `main` parses, dispatches and chooses the exit code. `launch` turns flags and `components` into
//! a sidecar that listens, and `opening` opens its stores; `serve` runs it alone, `run` beside an
//! application. `verify` finds out what a store is worth.

use std::{process::ExitCode, time::Instant};

use crate::cli::{Cli, Command};

mod accepted;
mod access;
mod api_log;
mod app;
mod cli;
mod components;
mod console;
mod launch;
mod logging;
mod metrics;
mod opening;
mod ports;
mod provision;
mod run;
mod serve;
mod signals;
mod sockets;
mod spans;
mod telemetry;
mod verify;

/// The exit code of a failure of our own; what applications exit with is passed on as it is.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let started = Instant::now();
    let result = match Cli::from_process().command {
        Command::Run(args) => run::main(args, started),
        Command::Serve(args) => serve::main(&args, started),
        Command::Verify(args) => Ok(verify::main(&args)),
        Command::LaunchApp(args) => app::launch(&args),
    };
    result.unwrap_or_else(|e| {
        anstream::eprintln!("{}error:{:#} {e:#}", console::ERROR, console::ERROR);
        ExitCode::from(FAILURE)
    })
}

/// The runtime of the whole process.
fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    /// A sidecar serves one application: more workers cost memory and wake-ups, and gain nothing.
    const WORKERS_MAX: usize = 4;
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(cores.min(WORKERS_MAX))
        .enable_all()
        .build()?;
    Ok(runtime)
}
