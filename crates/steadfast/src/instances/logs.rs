//! `steadfast logs`: what applications and sidecars have written to their log files.

use std::{
    env,
    fs::{self, File},
    io::{self, Read, Seek, SeekFrom, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    thread,
    time::Duration,
};

use anyhow::{Context, bail};

use super::{
    Instance,
    arguments::{Kind, LogsArgs},
    running,
};

/// How often a file that is followed is looked at.
const PAUSE: Duration = Duration::from_millis(100);

/// How much of a file is read at once.
const PIECE_BYTES: u64 = 64 << 10;

pub(crate) fn main(args: &LogsArgs) -> anyhow::Result<ExitCode> {
    let mut instances = running();
    instances.retain(|it| it.app_id == args.app_id);
    // Of replicas, the one that was started last.
    let instance = instances.pop();
    let path = match &instance {
        Some(it) => of_running(it, args)?,
        None => of_folder(args)?,
    };
    let mut file =
        File::open(&path).with_context(|| format!("cannot open the log {}", path.display()))?;
    if let Some(lines) = args.tail {
        let start = start_of_tail(&mut file, lines).context("cannot read the log")?;
        file.seek(SeekFrom::Start(start)).context("cannot read the log")?;
    }
    let follows = instance.filter(|_| args.follow);
    match print(&mut file, follows.as_ref()) {
        // Who reads us has seen enough.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {}
        printed => printed.with_context(|| format!("cannot show {}", path.display()))?,
    }
    Ok(ExitCode::SUCCESS)
}

fn of_running(instance: &Instance, args: &LogsArgs) -> anyhow::Result<PathBuf> {
    let (path, advice) = match args.kind {
        Kind::App => (
            &instance.facts.app_log_path,
            "run it from a dapr.yaml with appLogDestination file or fileAndConsole, or send what it prints to a file",
        ),
        Kind::Daprd => (
            &instance.facts.daprd_log_path,
            "start it with --log-file FILE, or from a dapr.yaml with daprdLogDestination file or fileAndConsole",
        ),
    };
    path.clone().with_context(|| {
        let id = &args.app_id;
        match args.kind {
            Kind::App => format!("what {id} prints is in no file: {advice}"),
            Kind::Daprd => format!("the log of the sidecar of {id} is in no file: {advice}"),
        }
    })
}

/// The newest file of an application that has ended, in the current folder or in a folder of the same name below it.
fn of_folder(args: &LogsArgs) -> anyhow::Result<PathBuf> {
    let kind = match args.kind {
        Kind::App => "app",
        Kind::Daprd => "daprd",
    };
    let here = env::current_dir().context("there is no current folder")?;
    let folders = [here.clone(), here.join(&args.app_id)].map(|it| it.join(".dapr").join("logs"));
    let newest = folders.iter().find_map(|it| newest(it, &format!("{}_{kind}_", args.app_id)));
    let Some(path) = newest else {
        bail!(
            "couldn't find app id {} among those that run, and {} has no log of it: go to the folder of the application \
             to see the logs of an earlier run",
            args.app_id,
            folders[0].display()
        );
    };
    Ok(path)
}

/// The file of this beginning whose name, and so whose time, is the last.
fn newest(folder: &Path, beginning: &str) -> Option<PathBuf> {
    let names =
        fs::read_dir(folder).ok()?.flatten().filter_map(|it| it.file_name().into_string().ok());
    let newest = names.filter(|it| it.starts_with(beginning) && it.ends_with(".log")).max()?;
    Some(folder.join(newest))
}

/// Where the last `lines` lines begin. Reads from the end, however long the file is.
fn start_of_tail(file: &mut (impl Read + Seek), lines: usize) -> io::Result<u64> {
    let end = file.seek(SeekFrom::End(0))?;
    if lines == 0 {
        return Ok(end);
    }
    let mut from = end;
    let mut seen = 0;
    while from > 0 {
        let piece_from = from.saturating_sub(PIECE_BYTES);
        let mut piece = vec![0; usize::try_from(from - piece_from).unwrap_or_default()];
        file.seek(SeekFrom::Start(piece_from))?;
        file.read_exact(&mut piece)?;
        for (at, _) in piece.iter().enumerate().rev().filter(|(_, it)| **it == b'\n') {
            let next = piece_from + at as u64 + 1;
            // The break at the very end ends a line and begins none.
            if next == end {
                continue;
            }
            seen += 1;
            if seen == lines {
                return Ok(next);
            }
        }
        from = piece_from;
    }
    Ok(0)
}

/// Prints what is left of the file, and what is added to it as long as the instance lives.
#[expect(clippy::disallowed_methods, reason = "a blocking thread that looks again")]
fn print(file: &mut File, follows: Option<&Instance>) -> io::Result<()> {
    let mut out = io::stdout().lock();
    loop {
        // Before the file is read: what was written until then is shown.
        let lives = follows.is_some_and(Instance::lives);
        io::copy(file, &mut out)?;
        out.flush()?;
        if !lives {
            return Ok(());
        }
        thread::sleep(PAUSE);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tail_has_whole_lines() {
        let check = |text: &str, lines| {
            let mut file = io::Cursor::new(text.as_bytes().to_vec());
            let start = start_of_tail(&mut file, lines).unwrap();
            text[usize::try_from(start).unwrap()..].to_owned()
        };
        assert_eq!(check("a\nb\nc\n", 2), "b\nc\n");
        assert_eq!(check("a\nb\nc", 2), "b\nc");
        assert_eq!(check("a\nb\nc\n", 9), "a\nb\nc\n");
        assert_eq!(check("a\nb\nc\n", 0), "");
        assert_eq!(check("", 3), "");
        assert_eq!(check("\n\n\n", 2), "\n\n");
        let long = format!("{}\n{}\nend\n", "x".repeat(100_000), "y".repeat(100_000));
        assert_eq!(check(&long, 2).len(), 100_005);
    }

    #[test]
    fn the_newest_log_is_the_one_of_the_last_run() {
        let folder = tempfile::tempdir().unwrap();
        for name in [
            "cart_app_20261128160000.log",
            "cart_app_20261128170000.log",
            "cart_daprd_20261128180000.log",
        ] {
            fs::write(folder.path().join(name), "").unwrap();
        }
        let found = newest(folder.path(), "cart_app_").unwrap();
        assert_eq!(found.file_name().unwrap(), "cart_app_20261128170000.log");
        assert_eq!(newest(folder.path(), "orders_app_"), None);
    }
}
