//! The arguments of `verify`.

use std::{path::PathBuf, time::Duration};

use clap::Args;
use sidecar_verify::Guarantee;

/// The arguments of `verify`. Its exit codes are its own; see `verify`.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  steadfast verify --resources-path ./components --store statestore
  steadfast verify --endpoint http://127.0.0.1:3500 --endpoint http://127.0.0.1:3501
  steadfast verify --hook 'pg_ctl promote -D /var/lib/replica' --require first-write,strong,durability
  steadfast verify --replay history.jsonl

Exit codes: 0 if everything that is required holds, 1 if some of it is violated, 2 if some of it
could not be tested or is not offered, 3 if something is wrong with the command line or the
configuration. Required is what --require names; without it, whatever was tested.")]
pub(crate) struct VerifyArgs {
    /// A folder of component files: sidecars of our own are started for the component --store
    /// [default: ./components if it exists, else ~/.dapr/components]
    #[arg(short = 'd', long, value_name = "DIR", value_delimiter = ',')]
    pub(crate) resources_path: Vec<PathBuf>,

    /// The name of the component to verify
    #[arg(long, value_name = "NAME", default_value = "statestore")]
    pub(crate) store: String,

    /// The id under which our own sidecars use the store
    #[arg(short = 'a', long, default_value = "steadfast-verify")]
    pub(crate) app_id: String,

    /// A running sidecar to verify instead, ours or Dapr's, such as http://127.0.0.1:3500 or
    /// grpc://127.0.0.1:50001; give one for each replica of one application
    #[arg(long, value_name = "URL", conflicts_with_all = ["resources_path", "processes"])]
    pub(crate) endpoint: Vec<String>,

    /// For how long clients contend; the whole takes some seconds more
    #[arg(long, default_value = "30s", value_parser = humantime::parse_duration)]
    pub(crate) duration: Duration,

    /// How many sidecars of our own use the store at once
    #[arg(long, value_name = "N", default_value = "3", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) processes: u8,

    /// How many clients contend for each group of keys
    #[arg(long, value_name = "N", default_value = "4", value_parser = clap::value_parser!(u8).range(1..=16))]
    pub(crate) clients: u8,

    /// How many requests a second contend at most; the cases of the contract have as many again, and
    /// 100 at least
    #[arg(long, value_name = "N", default_value = "1000", value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) rate: u32,

    /// Disturb nothing: no cut connections, no killed sidecars
    #[arg(long)]
    pub(crate) no_faults: bool,

    /// A command that does something to the store itself while clients contend, such as a failover
    #[arg(long, value_name = "COMMAND")]
    pub(crate) hook: Option<String>,

    /// What must hold: first-write, strong, tx, ttl, bulk, values, durability, recovery
    #[arg(long, value_name = "GUARANTEES", value_delimiter = ',', value_parser = guarantee)]
    pub(crate) require: Vec<Guarantee>,

    /// The seed of all choices, as an earlier report has it [default: another one each time]
    #[arg(long)]
    pub(crate) seed: Option<u64>,

    /// Print the report as JSON, or write it to a file
    #[arg(long, value_name = "FILE", num_args = 0..=1, default_missing_value = "-")]
    pub(crate) json: Option<PathBuf>,

    /// Write the report as a page for browsers
    #[arg(long, value_name = "FILE")]
    pub(crate) html: Option<PathBuf>,

    /// Write everything that clients saw, as lines of JSON for --replay
    #[arg(long, value_name = "FILE")]
    pub(crate) history: Option<PathBuf>,

    /// Judge a history that was written before, and verify nothing
    #[arg(long, value_name = "FILE")]
    pub(crate) replay: Option<PathBuf>,

    /// First find out whether the checker finds known bugs
    #[arg(long)]
    pub(crate) self_test: bool,
}

fn guarantee(text: &str) -> Result<Guarantee, String> {
    let named = Guarantee::ALL.into_iter().find(|it| it.name() == text);
    named.ok_or_else(|| {
        let names = Guarantee::ALL.map(Guarantee::name).join(", ");
        format!("there are {names}")
    })
}
