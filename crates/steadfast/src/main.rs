//! `steadfast`: a state sidecar.
//!
//! `main` parses, dispatches and chooses the exit code. `launch` turns flags and `components` into
//! a sidecar that listens, `stores` and `opening` open its stores, and `reload` follows its files; `serve` runs it alone, `run` beside an
//! application, `template` beside each of several. `instances` finds what runs. `verify` finds out what a store is worth. `state_command`, `explain`, `component_list`
//! and `doctor` work on component files and stores without a sidecar, and `rekey` encrypts anew what one holds; `scope` finds
//! their component.

use std::{process::ExitCode, time::Instant};

use crate::cli::{Cli, Command};

mod accepted;
mod access;
mod api_log;
mod app;
mod app_health;
mod cli;
mod component_list;
mod components;
mod configuration;
mod console;
mod doctor;
mod encryption;
mod explain;
mod hardening;
mod init;
mod instances;
mod kubernetes;
mod launch;
mod lines;
mod logging;
mod manual;
mod metrics;
mod metrics_port;
mod opening;
mod other_ports;
mod ports;
mod provision;
mod rekey;
mod reload;
mod run;
mod scope;
mod serve;
mod signals;
mod sockets;
mod spans;
mod state_command;
mod stores;
mod telemetry;
mod template;
mod tls;
mod verify;
mod wait;

/// The exit code of a failure of our own; what applications exit with is passed on as it is.
const FAILURE: u8 = 1;

fn main() -> ExitCode {
    let started = Instant::now();
    let result = match Cli::from_process().command {
        Command::Run(args) => run::main(args, started),
        Command::Serve(args) => serve::main(&args, started),
        Command::List(args) => instances::list(&args),
        Command::Stop(args) => instances::stop(&args),
        Command::Logs(args) => instances::logs(&args),
        Command::Init(args) => init::init(&args),
        Command::Uninstall(args) => init::uninstall(&args),
        Command::Completion(args) => manual::completion(&args),
        Command::Man(args) => manual::pages(&args),
        Command::Verify(args) => Ok(verify::main(&args)),
        Command::State(args) => Ok(state_command::main(&args.command)),
        Command::Explain(args) => explain::main(&args),
        Command::Components(args) => component_list::main(&args),
        Command::Doctor(args) => doctor::main(&args),
        Command::Rekey(args) => Ok(rekey::main(&args)),
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
