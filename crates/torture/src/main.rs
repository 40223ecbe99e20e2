//! `torture`: real sidecars and real stores under faults.

mod cell;
mod cells;
mod cli;
mod crash;
mod disk;
mod excuse;
mod fault;
mod run;
mod session;
mod sidecar;

fn main() -> anyhow::Result<std::process::ExitCode> {
    match <cli::Cli as clap::Parser>::parse().command {
        cli::Command::Crash(args) => crash::main(&args),
        cli::Command::Run(args) => run::main(&args),
        cli::Command::Replay(args) => run::replay(&args),
    }
}
