//! The arguments of commands that work on component files.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};

/// Which component files, and for which application: the same as for `run`.
#[derive(Clone, Debug, Default, Args)]
pub(crate) struct ScopeArgs {
    /// A folder of component files; may be given several times
    /// [default: ./components if it exists, else ~/.dapr/components]
    #[arg(
        short = 'd',
        long,
        visible_alias = "components-path",
        value_name = "DIR",
        value_delimiter = ','
    )]
    pub(crate) resources_path: Vec<PathBuf>,

    /// The application's id: its keys are kept apart from other applications' by it
    /// [default: the name of the current folder]
    #[arg(short = 'a', long)]
    pub(crate) app_id: Option<String>,
}

#[derive(Debug, Args)]
pub(crate) struct ExplainArgs {
    #[command(subcommand)]
    pub(crate) command: ExplainCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum ExplainCommand {
    /// Show the name under which each store keeps a key of an application, and why
    ///
    /// No store is opened. Exit codes: 0; 1 if this cannot be a key, or the component files are wrong.
    Key(ExplainKeyArgs),
}

#[derive(Debug, Args)]
pub(crate) struct ExplainKeyArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    /// Only this component [default: all that the application may use]
    #[arg(long, value_name = "NAME")]
    pub(crate) store: Option<String>,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,

    /// The key, as the application uses it
    pub(crate) key: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
No store is opened. Exit codes: 0; 1 if a file is wrong, which is said with the place and a remedy.")]
pub(crate) struct ComponentsArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    /// The form of what is printed
    #[arg(short = 'o', long, value_enum, default_value = "list")]
    pub(crate) output: Output,

    /// The same as --output json
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Output {
    List,
    Json,
    Yaml,
}

#[derive(Debug, Args)]
#[command(after_help = "\
Stores are opened as a sidecar opens them, which creates tables that are not there; a SQLite file that is
not there is not created. No value is read or written.

Exit codes: 0, also with warnings; 1 if something fails.")]
pub(crate) struct DoctorArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}
