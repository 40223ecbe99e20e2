//! `torture`: real sidecars and real stores under faults.

mod cli;
mod crash;

fn main() -> anyhow::Result<std::process::ExitCode> {
    match <cli::Cli as clap::Parser>::parse().command {
        cli::Command::Crash(args) => crash::main(&args),
    }
}
