//! `steadfast state export`: from a store to lines of JSON.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Seek, SeekFrom, Write},
    os::unix::fs::OpenOptionsExt,
    path::Path,
};

use anyhow::{Context, Result, bail};
use serde_json::json;

use self::continuation::{Continuation, continuation};
use super::{
    opened::Opened,
    progress::{self, Progress},
    reading::Walk,
    record::{Begin, End, Mark},
};
use crate::cli::ExportArgs;

mod continuation;

/// The form of the file.
pub(super) const FORM: u32 = 1;

pub(super) async fn main(args: &ExportArgs) -> Result<u8> {
    let opened = Opened::of(&args.store).await?;
    opened.check_lists()?;
    let component = opened.opening.component();
    let begin = Begin {
        form: FORM,
        component: component.name.clone(),
        component_type: component.component_type.to_lowercase(),
        app_id: (!opened.raw_keys).then(|| opened.app_id.clone()),
        raw_keys: opened.raw_keys,
        prefix: args.prefix.clone(),
        after: args.after.clone(),
    };
    let after = args.after.as_deref().map(|it| opened.key(it)).transpose()?;
    let exported = match &args.file {
        None => {
            let mut out = BufWriter::new(io::stdout().lock());
            out.write_all(&Mark::Begin(begin).line()).context("cannot write the export")?;
            let walk = Walk::new(&opened, &args.prefix, after);
            write(walk, 0, &mut out).await.map(drop).context("the export is not complete")
        }
        Some(path) => to_file(args, path, &opened, begin).await,
    };
    progress::clear();
    opened.close().await;
    exported.map(|()| 0)
}

async fn to_file(args: &ExportArgs, path: &Path, opened: &Opened, begin: Begin) -> Result<()> {
    let cannot_write = || format!("cannot write {}", path.display());
    let (file, start) = match args.continue_file {
        true => continued(path, &begin)?,
        false => (created(path)?, Continuation::Begin),
    };
    let mut out = BufWriter::with_capacity(1 << 18, &file);
    let (after, records) = match start {
        Continuation::Begin => {
            out.write_all(&Mark::Begin(begin).line()).with_context(cannot_write)?;
            (args.after.as_deref().map(|it| opened.key(it)).transpose()?, 0)
        }
        Continuation::After { key, records, .. } => (Some(key), records),
        Continuation::Complete { records } => {
            drop(out);
            return say(args, records, "was complete already");
        }
    };
    let walk = Walk::new(opened, &args.prefix, after);
    let total = write(walk, records, &mut out).await.with_context(|| {
        format!("{} has everything up to here: run it again with --continue", path.display())
    })?;
    drop(out);
    file.sync_all().with_context(cannot_write)?;
    say(args, total, "is complete")
}

/// Writes what is left, and that it is all. Returns how many records there are with those before.
async fn write(mut walk: Walk<'_>, before: u64, out: &mut impl Write) -> Result<u64> {
    let mut records = before;
    let mut progress = Progress::start();
    let mut written = async || {
        while let Some(batch) = walk.next().await? {
            let mut bytes = 0;
            for record in &batch {
                let line = record.line();
                out.write_all(&line).context("cannot write the export")?;
                bytes += line.len();
            }
            records += batch.len() as u64;
            progress.add(batch.len(), bytes);
        }
        out.write_all(&Mark::End(End { records }).line()).context("cannot write the export")
    };
    let result = written().await;
    // Also what was read before a failure, so that it need not be read again.
    out.flush().context("cannot write the export")?;
    result.map(|()| records)
}

fn say(args: &ExportArgs, records: u64, what: &str) -> Result<()> {
    progress::clear();
    let Some(file) = &args.file else { return Ok(()) };
    if args.store.form.json {
        let summary =
            json!({ "file": file.to_string_lossy(), "records": records, "complete": true });
        return super::single::print(format!("{summary}\n").as_bytes());
    }
    anstream::eprintln!("{} {what}: {records} values", file.display());
    Ok(())
}

/// A new file for this user alone, as it has everything.
fn created(path: &Path) -> Result<File> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path);
    match file {
        Ok(file) => locked(file, path),
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => bail!(
            "{} exists: name another file, or go on with this one with --continue",
            path.display()
        ),
        Err(e) => Err(e).with_context(|| format!("cannot write {}", path.display())),
    }
}

/// The file that an interrupted export has left, without the line that it was at.
fn continued(path: &Path, begin: &Begin) -> Result<(File, Continuation)> {
    let mut options = OpenOptions::new();
    let options = options.read(true).write(true).create(true).truncate(false).mode(0o600);
    let file = options.open(path).with_context(|| format!("cannot open {}", path.display()))?;
    let mut file = locked(file, path)?;
    let start = continuation(&file, begin)
        .with_context(|| format!("cannot go on with {}", path.display()))?;
    let len = match &start {
        Continuation::Begin => 0,
        Continuation::After { len, .. } => *len,
        Continuation::Complete { .. } => return Ok((file, start)),
    };
    let cut = file.set_len(len).and_then(|()| file.seek(SeekFrom::Start(len)));
    cut.with_context(|| format!("cannot write {}", path.display()))?;
    Ok((file, start))
}

/// The file, which nobody else writes at the same time.
fn locked(file: File, path: &Path) -> Result<File> {
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => {
            bail!("another export is writing {}", path.display())
        }
        // Some file systems have no locks.
        Err(std::fs::TryLockError::Error(_)) => Ok(file),
    }
}
