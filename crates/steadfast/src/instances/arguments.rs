//! The flags of `list`, `stop` and `logs`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// The form of the answer
    #[arg(short = 'o', long, value_enum, default_value = "table")]
    pub(crate) output: Output,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Output {
    Table,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// The ids of applications to stop
    #[arg(value_name = "ID", required_unless_present_any = ["app_id", "run_file"])]
    pub(crate) ids: Vec<String>,

    /// The id of an application to stop; may be given several times
    #[arg(short = 'a', long, value_name = "ID")]
    pub(crate) app_id: Vec<String>,

    /// Stop everything that this run template has started: a file, or a folder with a dapr.yaml
    #[arg(short = 'f', long, value_name = "FILE", conflicts_with_all = ["ids", "app_id"])]
    pub(crate) run_file: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct LogsArgs {
    /// The application's id
    #[arg(short = 'a', long, value_name = "ID")]
    pub(crate) app_id: String,

    /// Go on with what is written from now on, until the sidecar ends
    #[arg(long)]
    pub(crate) follow: bool,

    /// Begin with the last lines, so many of them [default: all]
    #[arg(long, value_name = "N")]
    pub(crate) tail: Option<usize>,

    /// Whose log
    #[arg(long, value_enum, default_value = "app")]
    pub(crate) kind: Kind,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
pub(crate) enum Kind {
    /// What the application prints
    App,
    /// The log of its sidecar
    #[value(alias = "sidecar")]
    Daprd,
}
