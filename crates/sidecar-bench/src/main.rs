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

mod cli;
mod client;
mod contest;
mod durable;
mod echo;
mod http;
mod load;
mod memory;
mod process;
mod redis;
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
        Command::Start(args) => print(start::run(args, setup)),
        Command::Memory(args) => print(memory::run(args, setup)),
        Command::Http(args) => print(http::run(Wire::Http, args, setup)),
        Command::Grpc(args) => print(http::run(Wire::Grpc, args, setup)),
        Command::Durable(args) => print(durable::run(args, setup)),
        Command::Redis(args) => print(redis::run(args, setup)),
        Command::Soak(args) => print(soak::run(args, setup)),
        Command::All => {
            let mut good = print(start::run(&start::Args::SHORT, setup))?;
            good &= print(http::run(Wire::Http, &http::SHORT, setup))?;
            good &= print(http::run(Wire::Grpc, &http::SHORT, setup))?;
            good &= print(durable::run(&durable::Args::SHORT, setup))?;
            good &= print(memory::run(&memory::Args::SHORT, setup))?;
            match redis::database::is_installed()? {
                true => good &= print(redis::run(&redis::SHORT, setup))?,
                false => eprintln!("redis: skipped: {}", redis::database::MISSING),
            }
            Ok(good)
        }
        Command::Echo(args) => echo::run(args).map(|()| true),
    }
}
