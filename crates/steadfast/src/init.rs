//! `steadfast init` and `steadfast uninstall`: what Dapr's tools expect in `~/.dapr`, and its end.
//!
//! What was made is written down in `~/.dapr/steadfast-init.json`, so that exactly that can be removed again.

use std::{
    env, fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::ExitCode,
};

use anyhow::{Context, bail};
use clap::Args;
use serde::{Deserialize, Serialize};

use crate::{
    console::{Console, Mark},
    instances,
    provision::{self, StoreUrl, StoreUrlParser},
};

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  steadfast init                                           SQLite, in ~/.dapr/data
  steadfast init --state-store redis://localhost:6379/0    a server
  steadfast init --link-daprd                              the stock `dapr run` starts this program")]
pub(crate) struct InitArgs {
    /// The store to configure, as for `run` [default: a SQLite database in ~/.dapr/data]
    #[arg(long, value_name = "URL", value_parser = StoreUrlParser)]
    state_store: Option<StoreUrl>,

    /// Make ~/.dapr/bin/daprd a link to this program: Dapr's own CLI starts it then
    #[arg(long)]
    link_daprd: bool,

    /// Replace a daprd that is there already
    #[arg(long, requires = "link_daprd")]
    force: bool,
}

#[derive(Debug, Args)]
pub(crate) struct UninstallArgs {
    /// Remove the data that was kept by default as well, and files of `init` that were changed since
    #[arg(long)]
    all: bool,
}

/// What `init` has made.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Made {
    files: Vec<MadeFile>,
    links: Vec<PathBuf>,
}

#[derive(Debug, Serialize, Deserialize)]
struct MadeFile {
    path: PathBuf,
    /// Whether it is still what was written. The text itself may have a password in it.
    fingerprint: u64,
}

const CONFIGURATION: &str = "\
# Settings of all sidecars of this user, written by `steadfast init`.
apiVersion: dapr.io/v1alpha1
kind: Configuration
metadata:
  name: daprConfig
spec: {}
";

pub(crate) fn init(args: &InitArgs) -> anyhow::Result<ExitCode> {
    let console = Console { json: false };
    let home = home()?;
    let mut made = Made::read(&home)?;
    // First, because it is what may be refused.
    if args.link_daprd {
        link(&home.join("bin").join("daprd"), args.force, &mut made, console)?;
    }
    let components = home.join("components");
    let store = match &args.state_store {
        Some(url) => provision::write_component(&components, url)?,
        None => provision::write_default(&components)?.map(|(file, _)| file),
    };
    let known = components.join("statestore.yaml");
    keep(store, &known, "the state store", &mut made, console)?;
    let configuration = home.join("config.yaml");
    let written = written_anew(&configuration)?;
    keep(written, &configuration, "the configuration", &mut made, console)?;
    made.write(&home)?;
    let next = match args.link_daprd {
        true => {
            "Next: steadfast run -- python3 app.py, or: dapr run --app-id app -- python3 app.py"
        }
        false => "Next: steadfast run -- python3 app.py",
    };
    console.say(Mark::Success, &format!("Nothing else has to be installed. {next}"));
    Ok(ExitCode::SUCCESS)
}

/// The folder of Dapr's tools.
fn home() -> anyhow::Result<PathBuf> {
    let home = env::home_dir().filter(|it| !it.as_os_str().is_empty());
    Ok(home.context("this user has no home folder: set HOME")?.join(".dapr"))
}

fn written_anew(path: &Path) -> anyhow::Result<Option<PathBuf>> {
    match fs::File::create_new(path) {
        Ok(mut file) => {
            io::Write::write_all(&mut file, CONFIGURATION.as_bytes())
                .with_context(|| format!("cannot write {}", path.display()))?;
            Ok(Some(path.to_owned()))
        }
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(None),
        Err(e) => Err(e).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// Says what became of a file, and notes it if it is new.
fn keep(
    written: Option<PathBuf>,
    known: &Path,
    what: &str,
    made: &mut Made,
    console: Console,
) -> anyhow::Result<()> {
    let Some(path) = written else {
        let message = format!("{} is there already: left as it is", known.display());
        console.say(Mark::Info, &message);
        return Ok(());
    };
    let fingerprint = fingerprint(&fs::read(&path)?);
    console.say(Mark::Info, &format!("Wrote {}, {what}", path.display()));
    made.files.retain(|it| it.path != path);
    made.files.push(MadeFile { path, fingerprint });
    Ok(())
}

/// Puts a link to this program where Dapr's CLI looks for `daprd`.
fn link(path: &Path, force: bool, made: &mut Made, console: Console) -> anyhow::Result<()> {
    let own = env::current_exe().context("cannot find the program that is running")?;
    if fs::read_link(path).is_ok_and(|it| it == own) {
        console.say(Mark::Info, &format!("{} is a link to this program already", path.display()));
        return Ok(());
    }
    let is_there = fs::symlink_metadata(path).is_ok();
    let is_ours = made.links.iter().any(|it| it == path) && path.is_symlink();
    if is_there && !is_ours && !force {
        bail!(
            "{} is there, and is not a link of ours: nothing was changed; add --force to replace it (`dapr uninstall` and \
             `dapr init` bring Dapr's own back)",
            path.display()
        );
    }
    let folder = path.parent().unwrap_or(path);
    let draft = folder.join(format!(".daprd.{}", std::process::id()));
    let linked = fs::create_dir_all(folder)
        .and_then(|()| symlink(&own, &draft))
        // At once, so that there is a daprd at any time.
        .and_then(|()| fs::rename(&draft, path));
    linked.with_context(|| format!("cannot make the link {}", path.display()))?;
    console.say(Mark::Info, &format!("Linked {} to {}", path.display(), own.display()));
    made.links.retain(|it| it != path);
    made.links.push(path.to_owned());
    Ok(())
}

pub(crate) fn uninstall(args: &UninstallArgs) -> anyhow::Result<ExitCode> {
    let console = Console { json: false };
    let home = home()?;
    let made = Made::read(&home)?;
    let said = |path: &Path| console.say(Mark::Info, &format!("Removed {}", path.display()));
    let mut left = Made::default();
    for path in made.links {
        if !path.is_symlink() {
            let message = format!("{} is no link any more: left as it is", path.display());
            console.say(Mark::Info, &message);
        } else if removed(&path)? {
            said(&path);
        }
    }
    for file in made.files {
        let MadeFile { path, fingerprint: known } = &file;
        let is_same = fs::read(path).is_ok_and(|it| fingerprint(&it) == *known);
        if path.exists() && !is_same && !args.all {
            let message = format!(
                "{} was changed since it was written: left as it is; --all removes it",
                path.display()
            );
            console.say(Mark::Warning, &message);
            left.files.push(file);
        } else if removed(path)? {
            said(path);
        }
    }
    if args.all {
        for it in data(&home) {
            if removed(&it)? {
                said(&it);
            }
        }
    }
    left.write(&home)?;
    // Those that are empty now, the innermost first; others are somebody's.
    for it in ["components", "bin", "data", "run", ""] {
        let folder = home.join(it);
        if fs::remove_dir(&folder).is_ok() {
            said(&folder);
        }
    }
    console.say(Mark::Success, "Steadfast has been removed, but for this program itself");
    Ok(ExitCode::SUCCESS)
}

/// The database of those who have not chosen another, with the files that SQLite keeps beside it, and files of sidecars that
/// were killed.
fn data(home: &Path) -> Vec<PathBuf> {
    let database = home.join("data").join("statestore.db");
    let beside = ["", "-wal", "-shm", "-journal"];
    let mut all: Vec<_> =
        beside.iter().map(|it| PathBuf::from(format!("{}{it}", database.display()))).collect();
    let running = instances::running();
    let entries = instances::folder().and_then(|it| fs::read_dir(it).ok());
    if running.is_empty() {
        all.extend(entries.into_iter().flatten().flatten().map(|it| it.path()));
    }
    all
}

/// Removes a file; returns whether it was there.
fn removed(path: &Path) -> anyhow::Result<bool> {
    match fs::remove_file(path) {
        Ok(()) => Ok(true),
        Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(false),
        Err(e) => Err(e).with_context(|| format!("cannot remove {}", path.display())),
    }
}

impl Made {
    fn file(home: &Path) -> PathBuf {
        home.join("steadfast-init.json")
    }

    fn read(home: &Path) -> anyhow::Result<Made> {
        let path = Made::file(home);
        match fs::read(&path) {
            Ok(text) => serde_json::from_slice(&text).with_context(|| {
                format!("{} is damaged: remove it, and what init has made by hand", path.display())
            }),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(Made::default()),
            Err(e) => Err(e).with_context(|| format!("cannot read {}", path.display())),
        }
    }

    /// Without anything in it, there is no file.
    fn write(&self, home: &Path) -> anyhow::Result<()> {
        let path = Made::file(home);
        if self.files.is_empty() && self.links.is_empty() {
            removed(&path)?;
            return Ok(());
        }
        let text = serde_json::to_string_pretty(self)?;
        fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
    }
}

/// FNV-1a with 64 bits: enough to see that somebody has edited a file, and the same in every version of this program.
fn fingerprint(bytes: &[u8]) -> u64 {
    const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    bytes.iter().fold(BASIS, |hash, it| (hash ^ u64::from(*it)).wrapping_mul(PRIME))
}
