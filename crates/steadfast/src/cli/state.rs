//! The arguments of `state`.

use std::{io::Read, path::PathBuf, str::FromStr, time::Duration};

use anyhow::Context;
use clap::{Args, Subcommand, ValueEnum};

use super::ScopeArgs;

#[derive(Debug, Args)]
#[command(after_help = "\
These commands open the store of the component files themselves, as a sidecar of the application
would, and may run beside sidecars.

Exit codes: 0 if all was done; 1 after a failure, or if something was not done; 2 if a flag is wrong;
3 if there is no such key; 4 if a condition did not hold, and nothing changed.")]
pub(crate) struct StateArgs {
    #[command(subcommand)]
    pub(crate) command: StateCommand,
}

#[derive(Debug, Subcommand)]
pub(crate) enum StateCommand {
    /// Print a value: its exact bytes, and nothing else
    Get(GetArgs),
    /// Save a value
    Set(SetArgs),
    /// Delete a value; that there is none is no failure
    Delete(DeleteArgs),
    /// Print keys, in the order of their bytes
    List(ListArgs),
    /// Write keys, values and expiry times as lines of JSON
    Export(ExportArgs),
    /// Save what was exported
    Import(ImportArgs),
    /// Copy values from one component to another, which may be of another type
    Copy(CopyArgs),
}

/// Which store, and as whom.
#[derive(Clone, Debug, Args)]
pub(crate) struct StoreArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    /// The name of the component
    #[arg(long, value_name = "NAME", default_value = "statestore")]
    pub(crate) store: String,

    #[command(flatten)]
    pub(crate) form: FormArgs,
}

#[derive(Clone, Debug, Args)]
pub(crate) struct FormArgs {
    /// Use keys as they are stored, those of every application, with what is before `||`
    #[arg(long)]
    pub(crate) raw_keys: bool,

    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
}

#[derive(Debug, Args)]
pub(crate) struct GetArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    pub(crate) key: String,
}

#[derive(Debug, Args)]
pub(crate) struct SetArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    pub(crate) key: String,

    /// The value; `-` to read it from standard input, `@file` to read it from a file
    #[arg(allow_negative_numbers = true)]
    pub(crate) value: Value,

    /// How long it lives, such as 90, 90s, 15m or 2h [default: for ever, unless the component says otherwise]
    #[arg(long, value_parser = ttl)]
    pub(crate) ttl: Option<Duration>,

    /// Only if the key is at this version
    #[arg(long, conflicts_with = "create", value_parser = etag)]
    pub(crate) etag: Option<state::ETag>,

    /// Only if there is no such key
    #[arg(long)]
    pub(crate) create: bool,
}

#[derive(Debug, Args)]
pub(crate) struct DeleteArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    pub(crate) key: String,

    /// Only if the key is at this version
    #[arg(long, value_parser = etag)]
    pub(crate) etag: Option<state::ETag>,
}

#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// Only keys that begin with this
    #[arg(default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// How many keys at most; whether more follow is said on standard error
    #[arg(long, default_value = "1000", value_parser = clap::value_parser!(u64).range(1..=1_000_000))]
    pub(crate) limit: u64,

    /// Only keys after this one
    #[arg(long, value_name = "KEY")]
    pub(crate) after: Option<String>,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A file is complete if its last line says so; then the exit code is 0. What is written while the export
runs may be in it or not. Keep the file as safe as the store: it has all the values, unencrypted.

Exit codes: 0 if the export is complete, else 1.")]
pub(crate) struct ExportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// The file to write [default: standard output]
    pub(crate) file: Option<PathBuf>,

    /// Only keys that begin with this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// Only keys after this one
    #[arg(long, value_name = "KEY", conflicts_with = "continue_file")]
    pub(crate) after: Option<String>,

    /// Go on with the file where an interrupted export has left it
    #[arg(long = "continue", requires = "file")]
    pub(crate) continue_file: bool,
}

/// What to do about a key that is there already, with another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum IfExists {
    /// Leave it, and exit with 1 at the end
    Fail,
    /// Leave it
    Skip,
    /// Replace it, unless it changes at that moment
    Overwrite,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A value that is there already, with the same bytes and expiry, is left as it is: after an interruption,
run the same command again. Values that have expired since the export are left out.

Exit codes: 0 if everything in the file is in the store or was passed over as asked, else 1.")]
pub(crate) struct ImportArgs {
    #[command(flatten)]
    pub(crate) store: StoreArgs,

    /// The file to read; `-` for standard input
    pub(crate) file: PathBuf,

    /// What to do about a key that is there already, with another value
    #[arg(long, value_enum, default_value = "fail")]
    pub(crate) if_exists: IfExists,
}

/// A component, and the folder of its file if it is not the one of `--resources-path`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) folder: Option<PathBuf>,
    pub(crate) store: String,
}

#[derive(Debug, Args)]
#[command(after_help = "\
A value that is there already, with the same bytes and expiry, is left as it is: after an interruption,
run the same command again. What is written while the copy runs may be copied or not.

Exit codes: 0 if everything is in the other store or was passed over as asked, and with --verify is the
same there; else 1.")]
pub(crate) struct CopyArgs {
    #[command(flatten)]
    pub(crate) scope: ScopeArgs,

    /// The component to copy from: its name, or DIR:NAME if its file is in another folder
    #[arg(long, visible_alias = "from-store", value_name = "[DIR:]NAME")]
    pub(crate) from: Place,

    /// The component to copy to
    #[arg(long, visible_alias = "to-store", value_name = "[DIR:]NAME")]
    pub(crate) to: Place,

    #[command(flatten)]
    pub(crate) form: FormArgs,

    /// Only keys that begin with this
    #[arg(long, default_value = "", hide_default_value = true)]
    pub(crate) prefix: String,

    /// What to do about a key that is there already, with another value
    #[arg(long, value_enum, default_value = "fail")]
    pub(crate) if_exists: IfExists,

    /// Afterwards, read everything again from both, and compare
    #[arg(long)]
    pub(crate) verify: bool,
}

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Value {
    Text(String),
    StandardInput,
    File(PathBuf),
}

impl FromStr for Value {
    type Err = String;

    fn from_str(text: &str) -> Result<Value, String> {
        Ok(match (text, text.strip_prefix('@')) {
            ("-", _) => Value::StandardInput,
            (_, Some("")) => {
                return Err("after @ comes a file; use - for a value that begins with it".into());
            }
            (_, Some(file)) => Value::File(file.into()),
            (text, None) => Value::Text(text.to_owned()),
        })
    }
}

impl Value {
    /// Its exact bytes.
    pub(crate) fn read(&self) -> anyhow::Result<Vec<u8>> {
        match self {
            Value::Text(text) => Ok(text.as_bytes().to_vec()),
            Value::StandardInput => {
                let mut bytes = Vec::new();
                let read = std::io::stdin().lock().read_to_end(&mut bytes);
                read.context("cannot read the value from standard input; nothing was saved")?;
                Ok(bytes)
            }
            Value::File(file) => std::fs::read(file)
                .with_context(|| format!("cannot read {}; nothing was saved", file.display())),
        }
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Place, String> {
        let (folder, store) = match text.rsplit_once(':') {
            Some((folder, store)) => (Some(folder), store),
            None => (None, text),
        };
        if store.is_empty() || folder.is_some_and(str::is_empty) {
            return Err("write the name of a component, or DIR:NAME".to_owned());
        }
        Ok(Place { folder: folder.map(PathBuf::from), store: store.to_owned() })
    }
}

fn etag(text: &str) -> Result<state::ETag, String> {
    state::ETag::new(text)
        .ok_or_else(|| "an ETag is not empty; leave the flag out for no condition".into())
}

/// Seconds, or a duration; whole seconds, at least one, as everywhere in the API.
fn ttl(text: &str) -> Result<Duration, String> {
    let duration = match text.parse() {
        Ok(seconds) => Duration::from_secs(seconds),
        Err(_) => humantime::parse_duration(text).map_err(|e| e.to_string())?,
    };
    if duration.is_zero() || duration.subsec_nanos() != 0 {
        return Err("a time to live is whole seconds, and at least one".to_owned());
    }
    Ok(duration)
}

#[cfg(test)]
mod tests;
