//! Crash consistency of the embedded store.

use std::process::ExitCode;

use clap::Args;

#[derive(Debug, Args)]
pub(crate) struct CrashArgs {}

pub(crate) fn main(_args: &CrashArgs) -> anyhow::Result<ExitCode> {
    anyhow::bail!("there is no crash test yet")
}
