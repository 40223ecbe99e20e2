//! Every flag, and its help.

use clap::{Parser, Subcommand};

#[derive(Debug, Parser)]
#[command(
    name = "torture",
    about = "Real sidecars and real stores under faults",
    max_term_width = 100
)]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Command,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Kill, fail and cut the power of a sidecar on SQLite, and look for what it had acknowledged
    Crash(crate::crash::CrashArgs),
    /// Contend for keys through several sidecars under faults, and judge what was seen
    Run(crate::run::RunArgs),
    /// Judge a history that was written before
    Replay(crate::run::ReplayArgs),
}
