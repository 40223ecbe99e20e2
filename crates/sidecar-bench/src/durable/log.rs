//! A file to which records are appended: all that durability costs, without a database.

use std::{
    fs::{File, OpenOptions},
    io::{self, Seek, Write},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, anyhow};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::{load::Outcome, traffic::VALUE};

/// More than there are writers.
const QUEUE_LEN: usize = 4096;

/// Commits together what gathered while the last commit was on its way to the disk.
#[derive(Debug)]
pub(super) struct Log(mpsc::Sender<Record>);

#[derive(Debug)]
struct Record {
    bytes: Bytes,
    done: oneshot::Sender<io::Result<()>>,
}

impl Log {
    pub(super) fn create(path: &Path) -> anyhow::Result<Log> {
        let file = OpenOptions::new().create_new(true).append(true).open(path)?;
        let (sender, records) = mpsc::channel(QUEUE_LEN);
        thread::Builder::new().spawn(move || commit(file, records))?;
        Ok(Log(sender))
    }

    /// Returns once the record is on the disk.
    pub(super) async fn append(&self, bytes: Bytes) -> anyhow::Result<()> {
        let (done, committed) = oneshot::channel();
        let ended = || anyhow!("the thread that writes has ended");
        self.0.send(Record { bytes, done }).await.map_err(|_| ended())?;
        committed.await.map_err(|_| ended())?.context("cannot append to the log")
    }
}

fn commit(mut file: File, mut records: mpsc::Receiver<Record>) {
    let mut buffer = Vec::new();
    while let Some(first) = records.blocking_recv() {
        let mut batch = vec![first];
        batch.extend(std::iter::from_fn(|| records.try_recv().ok()));
        buffer.clear();
        batch.iter().for_each(|it| buffer.extend_from_slice(&it.bytes));
        let written = file.write_all(&buffer).and_then(|()| file.sync_data());
        let failure = written.err().map(|it| it.kind());
        for record in batch {
            // A writer that gave up does not listen.
            let _ = record.done.send(failure.map_or(Ok(()), |it| Err(it.into())));
        }
    }
}

/// Appends one record for each of `writers` and waits for the disk, in a plain loop.
pub(super) fn bare(mut file: &File, writers: usize, time: Duration) -> anyhow::Result<Outcome> {
    let batch = VALUE.repeat(writers);
    file.set_len(0)?;
    file.rewind()?;
    let mut latencies = Vec::new();
    let started = Instant::now();
    while started.elapsed() < time {
        let began = Instant::now();
        file.write_all(&batch)?;
        file.sync_data()?;
        latencies.extend(std::iter::repeat_n(began.elapsed(), writers));
    }
    Ok(Outcome { elapsed: started.elapsed(), latencies: latencies.into_iter().collect() })
}
