//! `steadfast state import`: from lines of JSON to a store.

use std::{
    collections::HashSet,
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use anyhow::{Context, Result, bail};

use super::{
    export::FORM,
    opened::Opened,
    placing::place,
    progress::{self, Progress},
    record::{Mark, Parsed, Raw, Record, parse},
    tally::Tally,
};
use crate::cli::{IfExists, ImportArgs};

/// How many records are saved at once, and what their values may have together.
const BATCH_LEN_MAX: usize = 500;
const BATCH_BYTES_MAX: usize = 8 << 20;

/// A longer line is none of ours: no store takes such a value, and the memory has an end.
const LINE_BYTES_MAX: u64 = 1 << 30;

pub(super) async fn main(args: &ImportArgs) -> Result<u8> {
    let from: Box<dyn BufRead> = match args.file.as_path() {
        it if it == Path::new("-") => Box::new(BufReader::new(io::stdin())),
        it => {
            let file = File::open(it).with_context(|| format!("cannot read {}", it.display()))?;
            Box::new(BufReader::with_capacity(1 << 18, file))
        }
    };
    let opened = Opened::of(&args.store).await?;
    let mut import = Import {
        opened: &opened,
        file: args.file.display().to_string(),
        if_exists: args.if_exists,
        tally: Tally::new(),
        progress: Progress::start(),
        batch: Batch::default(),
        unfinished: None,
    };
    let read = import.read(from).await;
    progress::clear();
    opened.close().await;
    let mut tally = import.tally;
    tally.complete = read.is_ok();
    if args.store.form.json {
        super::single::print(format!("{}\n", serde_json::json!(tally)).as_bytes())?;
    }
    anstream::eprintln!("{}", tally.summary());
    if let Err(e) = read {
        // The summary is out already, in either form.
        anstream::eprintln!("{e:#}");
        return Ok(crate::FAILURE);
    }
    Ok(tally.code())
}

struct Import<'a> {
    opened: &'a Opened,
    file: String,
    if_exists: IfExists,
    tally: Tally,
    progress: Progress,
    batch: Batch,
    /// The records since the beginning of an export whose end has not come.
    unfinished: Option<u64>,
}

/// Records with different keys, each with the number of its line.
#[derive(Default)]
struct Batch {
    lines: Vec<u64>,
    records: Vec<Record>,
    keys: HashSet<String>,
    bytes: usize,
}

impl Import<'_> {
    async fn read(&mut self, mut from: Box<dyn BufRead>) -> Result<()> {
        let mut line = Vec::new();
        for number in 1.. {
            line.clear();
            let read = from.by_ref().take(LINE_BYTES_MAX).read_until(b'\n', &mut line);
            let read = read.with_context(|| format!("cannot read {}", self.file))?;
            if read == 0 {
                break;
            }
            let place = format!("{}:{number}", self.file);
            if read as u64 == LINE_BYTES_MAX {
                self.flush().await?;
                bail!("{place}: the line is too long; nothing from there on was read");
            }
            match parse(&line) {
                Ok(Parsed::Record(raw)) => self.take(number, &place, raw).await?,
                Ok(Parsed::Mark(mark)) => self.mark(&place, mark)?,
                Ok(Parsed::Empty) => {}
                Err(e) => {
                    self.count_record();
                    self.tally.bad_line(&place, &format!("{e:#}"));
                }
            }
        }
        self.flush().await?;
        if self.unfinished.is_some() {
            bail!(
                "{} ends before its end: the export was interrupted, and has not everything; go on with it with \
                 `steadfast state export --continue`, then import it again",
                self.file
            );
        }
        Ok(())
    }

    async fn take(&mut self, number: u64, place: &str, raw: Raw) -> Result<()> {
        self.count_record();
        let key = match self.opened.key(&raw.key) {
            Ok(key) => key,
            Err(e) => {
                self.tally.bad_line(place, &e.to_string());
                return Ok(());
            }
        };
        let is_full = self.batch.records.len() >= BATCH_LEN_MAX
            || self.batch.bytes + raw.value.len() > BATCH_BYTES_MAX;
        if is_full || self.batch.keys.contains(&raw.key) {
            self.flush().await?;
        }
        self.batch.bytes += raw.value.len();
        self.batch.keys.insert(raw.key);
        self.batch.lines.push(number);
        self.batch.records.push(Record {
            key,
            value: raw.value,
            etag: raw.etag,
            expires_at: raw.expires_at,
        });
        Ok(())
    }

    fn count_record(&mut self) {
        if let Some(records) = &mut self.unfinished {
            *records += 1;
        }
    }

    fn mark(&mut self, place: &str, mark: Mark) -> Result<()> {
        match mark {
            Mark::Begin(it) if it.form != FORM => {
                bail!("{place}: the file was written by a newer version of this program")
            }
            Mark::Begin(it) if it.raw_keys && !self.opened.raw_keys => bail!(
                "{place}: the keys of this export are as they were stored, those of every application: import it \
                 with --raw-keys"
            ),
            Mark::Begin(it) if !it.raw_keys && self.opened.raw_keys => bail!(
                "{place}: the keys of this export are an application's own: import it without --raw-keys"
            ),
            Mark::Begin(_) if self.unfinished.is_some() => {
                bail!("{place}: another export begins before the one before it has ended")
            }
            Mark::Begin(_) => self.unfinished = Some(0),
            Mark::End(end) => match self.unfinished.take() {
                Some(records) if records != end.records => bail!(
                    "{place}: the export had {} values, and there are {records} here: the file is damaged",
                    end.records
                ),
                _ => {}
            },
        }
        Ok(())
    }

    /// Saves what has been gathered.
    async fn flush(&mut self) -> Result<()> {
        let Batch { lines, records, bytes, .. } = std::mem::take(&mut self.batch);
        let mut hopeless = None;
        let placed = place(&*self.opened.store, &records, self.if_exists).await;
        for ((line, record), placed) in lines.iter().zip(&records).zip(placed) {
            let place = format!("{}:{line}: {:?}", self.file, record.key.as_str());
            if let Some(e) = self.tally.count(&place, placed) {
                hopeless.get_or_insert(e);
            }
        }
        self.progress.add(records.len(), bytes);
        let Some(e) = hopeless else { return Ok(()) };
        let last = lines.last().copied().unwrap_or_default();
        Err(anyhow::Error::new(e).context(format!(
            "stopped after line {last}: nothing further was read; run the same command again when the store can be \
             used: what is there already is left as it is"
        )))
    }
}
