//! `cargo bench-sidecar`: what the sidecar costs, each figure next to its physical limit and taken
//! in the same run.
//!
//! Each command is a module of its name that ends in a [`report::Report`]. `server` runs what is
//! measured as a process of its own, `load` sends requests to it, `process` reads what it used.

use std::process::ExitCode;

use clap::Parser;

use crate::{
    cli::{Cli, Command},
    client::Wire,
    report::Report,
};

mod all;
mod callgrind;
mod cli;
mod client;
mod compare;
mod contender;
mod contest;
mod curves;
mod database;
mod durable;
mod echo;
mod load;
mod memory;
mod operation;
mod pace;
mod page;
mod plot;
mod process;
mod report;
mod server;
mod setup;
mod soak;
mod start;
mod statistics;
mod traffic;

fn main() -> ExitCode {
    let cli = Cli::parse();
    match run(&cli) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(e) => {
            eprintln!("error: {e:#}");
            ExitCode::FAILURE
        }
    }
}

/// Returns whether nothing was found that must not be.
fn run(cli: &Cli) -> anyhow::Result<bool> {
    let Cli { command, setup } = cli;
    let print = |report: anyhow::Result<Report>| {
        let report = report?;
        report.print(setup.json)?;
        anyhow::Ok(report.problems.is_empty())
    };
    match command {
        Command::Compare(args) => print(compare::run(args, setup)),
        Command::Curves(args) => print(curves::run(args, setup)),
        Command::Start(args) => print(start::run(args, setup)),
        Command::Memory(args) => print(memory::run(args, setup)),
        Command::Http(extent) => print(compare::wire(Wire::Http, extent, setup)),
        Command::Grpc(extent) => print(compare::wire(Wire::Grpc, extent, setup)),
        Command::Durable(args) => print(durable::run(args, setup)),
        Command::Redis(extent) => print(compare::redis(extent, setup)),
        Command::Soak(args) => print(soak::run(args, setup)),
        Command::All(args) => all::run(args, setup),
        Command::Echo(args) => echo::run(args).map(|()| true),
    }
}
