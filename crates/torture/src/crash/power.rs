//! Power cuts, emulated: the files as they could be on the disk after any system call of a recorded
//! workload, opened by the store.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    fs,
    ops::Range,
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::{Context, Result};
use clap::Args;
use rusqlite::{Connection, OpenFlags};
use state::{Key, Read, Store};
use state_config::Properties;
use tempfile::TempDir;
use tokio::task::JoinSet;

use self::record::Recording;
use super::{
    Verdict,
    chance::Chance,
    disk::{Disk, Event, Luck},
    history::{State, Step, Version, Versions, check},
    lab::{Journal, damage, scratch},
    strace,
};

mod record;

const JOBS: usize = 2;

/// So many states are judged once more as if flushing did nothing, and some must be found wrong.
const SELF_TEST_STATES: usize = 100;

#[derive(Clone, Debug, Args)]
pub(crate) struct PowerArgs {
    /// How many crash states to judge
    #[arg(long, default_value = "10000")]
    pub(crate) states: usize,
    /// Judge as if flushing did nothing, to see that this is noticed
    #[arg(long)]
    pub(crate) ignore_sync: bool,
}

/// A recording and how it is judged.
#[derive(Debug)]
struct Trial {
    recording: Recording,
    journal: Journal,
    versions: Versions,
    ignore_flushes: bool,
    seed: u64,
}

/// What judging has come to.
#[derive(Debug, Default)]
struct Judged {
    states: usize,
    repeated: usize,
    lossy: usize,
    wrong: Vec<String>,
}

pub(crate) async fn run(program: &Path, args: &PowerArgs, seed: u64) -> Result<Verdict> {
    let mut verdict = Verdict::new("power");
    if let Some(why) = strace::missing() {
        verdict.void(why);
        return Ok(verdict);
    }
    let mut summaries = Vec::new();
    // The log is the default and has more to go wrong.
    let share = [(Journal::Wal, args.states * 7 / 10), (Journal::Rollback, args.states * 3 / 10)];
    for (journal, states) in share {
        let recording = Recording::make(program, journal, seed).await?;
        let all: Vec<Vec<Step>> =
            recording.sessions.iter().flatten().map(|(_, steps)| steps.clone()).collect();
        let mut versions = Versions::default();
        verdict.wrong(versions.learn(&all));
        let requests: usize = all.iter().map(Vec::len).sum();
        let flushes = |it: &&Event| matches!(it, Event::FlushEnds { .. });
        let flushes = recording.events.iter().filter(flushes).count();
        let writes = recording.writes_under_load("state.db");
        if writes == 0 {
            verdict.void("there was no checkpoint");
        }
        println!(
            "  {journal:?}: {requests} requests, {} events, {flushes} flushes, {writes} writes to \
             the database itself under load",
            recording.events.len()
        );
        let ignore_flushes = args.ignore_sync;
        let trial = Arc::new(Trial { recording, journal, versions, ignore_flushes, seed });
        let judged = judge_all(&trial, states).await?;
        verdict.wrong(judged.wrong);
        if judged.lossy == 0 {
            verdict.void("no state had anything to lose");
        }
        let mut trial = Arc::into_inner(trial).context("all tasks have ended")?;
        trial.ignore_flushes = true;
        let careless = judge_all(&Arc::new(trial), SELF_TEST_STATES).await?;
        if careless.wrong.is_empty() {
            verdict.void("flushes that do nothing were not noticed");
        }
        summaries.push(format!(
            "{journal:?}: {} crash states, of which {} had lost something; as if flushing did \
             nothing, {} things wrong in {} states",
            judged.states,
            judged.lossy,
            careless.wrong.len(),
            careless.states
        ));
    }
    Ok(verdict.done(summaries.join("; ")))
}

/// Judges about `states` crash states, more where more could be lost.
async fn judge_all(trial: &Arc<Trial>, states: usize) -> Result<Judged> {
    // About one state in ten is found twice and not judged again.
    let counts = Arc::new(trial.counts(states + states / 8));
    let mut tasks = JoinSet::new();
    for range in shares(&counts) {
        let (trial, counts) = (trial.clone(), counts.clone());
        tasks.spawn(async move { trial.judge(range, &counts).await });
    }
    let mut all = Judged::default();
    while let Some(judged) = tasks.join_next().await {
        let judged = judged??;
        all.states += judged.states;
        all.lossy += judged.lossy;
        all.repeated += judged.repeated;
        all.wrong.extend(judged.wrong);
    }
    Ok(all)
}

/// Divides the cuts into as many parts as there are jobs, with about as many states each.
fn shares(counts: &[usize]) -> Vec<Range<usize>> {
    let total: usize = counts.iter().sum();
    let (mut shares, mut begin, mut sum) = (Vec::new(), 0, 0);
    for (i, count) in counts.iter().enumerate() {
        sum += count;
        if sum * JOBS >= total * (shares.len() + 1) {
            shares.push(begin..i + 1);
            begin = i + 1;
        }
    }
    shares.push(begin..counts.len());
    shares
}

impl Trial {
    /// How many states to judge after each event.
    fn counts(&self, states: usize) -> Vec<usize> {
        let mut disk = Disk::default();
        let weights = self.recording.events.iter().map(|event| {
            disk.apply(event, self.ignore_flushes);
            let answers = matches!(event, Event::Answer { .. } | Event::FlushEnds { .. });
            match event {
                // Nothing is different on the disk, nor was anything promised.
                Event::Done { .. } | Event::FlushBegins { .. } | Event::Close { .. } => 0,
                _ if disk.has_pending_names() => 16,
                _ if disk.is_pending("state.db") => 8,
                _ if answers => 4,
                _ if disk.pending_len() > 0 => 3,
                _ => 1,
            }
        });
        let weights: Vec<usize> = weights.collect();
        let total: usize = weights.iter().sum::<usize>().max(1);
        let mut sum = 0;
        let count = |it: &usize| {
            let before = sum * states / total;
            sum += it;
            sum * states / total - before
        };
        weights.iter().map(count).collect()
    }

    async fn judge(&self, range: Range<usize>, counts: &[usize]) -> Result<Judged> {
        let folder = scratch()?;
        let (mut disk, mut answers, mut session) = (Disk::default(), HashMap::new(), 0);
        let (mut judged, mut seen) = (Judged::default(), HashSet::new());
        for (i, event) in self.recording.events.iter().enumerate().take(range.end) {
            disk.apply(event, self.ignore_flushes);
            match event {
                Event::Answer { port } => *answers.entry(*port).or_insert(0) += 1,
                Event::Restart => {
                    session += 1;
                    answers.clear();
                }
                _ => {}
            }
            if i < range.start || counts[i] == 0 {
                continue;
            }
            let journals = self.recording.journals(session, &answers);
            let mut chance = Chance::new(self.seed).branch(u64::try_from(i).unwrap_or(0));
            for attempt in 0..counts[i] {
                let one = chance.one_in(2).then(|| Luck::any(&mut chance));
                let files = disk.cut(&mut chance, |it| one.unwrap_or_else(|| Luck::any(it)));
                let promised: usize = answers.values().sum();
                if !seen.insert((fingerprint(&files), promised, session)) {
                    judged.repeated += 1;
                    continue;
                }
                judged.states += 1;
                judged.lossy += usize::from(disk.pending_len() > 0);
                let place = new_folder(&folder, judged.states)?;
                let wrong = self.judge_one(&place, &files, &journals, attempt % 2 == 0).await?;
                let _ = fs::remove_dir_all(&place);
                judged.wrong.extend(
                    wrong
                        .into_iter()
                        .map(|it| format!("power cut after event {i}, {:?}: {it}", self.journal)),
                );
            }
        }
        Ok(judged)
    }

    /// Opens one state and compares it with what was acknowledged.
    async fn judge_one(
        &self,
        folder: &Path,
        files: &BTreeMap<Arc<str>, Vec<u8>>,
        journals: &[Vec<Step>],
        tidily: bool,
    ) -> Result<Vec<String>> {
        for (name, content) in files {
            fs::write(folder.join(&**name), content)?;
        }
        let database = folder.join("state.db");
        let found = match self.look(&database, tidily).await {
            Ok(found) => found,
            Err(e) => return Ok(vec![format!("the store cannot be used: {e}")]),
        };
        let mut wrong = check(&State::new(), journals, &found);
        wrong.extend(self.versions.check(&found));
        match look_again(&database) {
            Ok(again) if again == found => {}
            Ok(_) => wrong.push("another look finds something else".to_owned()),
            Err(e) => wrong.push(format!("the database cannot be opened again: {e}")),
        }
        wrong.extend(damage(&database)?.map(|it| format!("the database is damaged: {it}")));
        Ok(wrong)
    }

    /// What the store finds.
    async fn look(&self, database: &Path, tidily: bool) -> state::Result<State> {
        let disable_wal = (self.journal == Journal::Rollback).to_string();
        let properties: Properties = [
            ("connectionString", &*database.to_string_lossy()),
            ("disableWAL", &*disable_wal),
            ("cleanupInterval", "0s"),
        ]
        .into_iter()
        .collect();
        let driver = state_stores::DRIVERS.iter().find(|it| it.component == "state.sqlite");
        let driver = driver.expect("the feature is on");
        let store: Arc<dyn Store> = (driver.open)(properties).await?;
        let reads = self.recording.keys.iter();
        let reads: Vec<_> = reads.map(|it| Read::new(Key::stored(&format!("app||{it}")))).collect();
        let items = store.get_many(&reads).await;
        let mut state = State::new();
        for (key, item) in self.recording.keys.iter().zip(items) {
            if let Some(item) = item? {
                let value = String::from_utf8_lossy(&item.value).as_ref().into();
                let etag = item.etag.as_ref().map_or("", |it| it.as_str()).into();
                state.insert(key.clone(), Version { value, etag });
            }
        }
        if tidily {
            store.close().await;
        }
        Ok(state)
    }
}

/// What SQLite itself finds.
fn look_again(database: &Path) -> Result<State> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(database, flags)?;
    let mut statement = connection.prepare("SELECT key, value, etag FROM state")?;
    let rows = statement.query_map([], |row| {
        let text = |i| row.get::<_, String>(i);
        Ok((text(0)?, text(1)?, text(2)?))
    })?;
    let mut state = State::new();
    for row in rows {
        let (key, value, etag) = row?;
        let key = key.strip_prefix("app||").context("a key without its prefix")?.into();
        state.insert(key, Version { value: value.into(), etag: etag.into() });
    }
    Ok(state)
}

/// A number that tells states apart, nearly always.
fn fingerprint(files: &BTreeMap<Arc<str>, Vec<u8>>) -> u64 {
    let mut sum: u64 = 0;
    let mut add = |it: &[u8]| {
        let mut word = [0; 8];
        word[..it.len()].copy_from_slice(it);
        // The multiplier of FNV-1a. Source: draft-eastlake-fnv.
        sum = (sum ^ u64::from_le_bytes(word)).rotate_left(23).wrapping_mul(0x0000_0100_0000_01b3);
    };
    for (name, content) in files {
        name.as_bytes().chunks(8).chain(content.chunks(8)).for_each(&mut add);
        add(&content.len().to_le_bytes());
    }
    sum
}

/// A folder of its own for each state: the store before may still be closing its files.
fn new_folder(folder: &TempDir, number: usize) -> Result<PathBuf> {
    let path = folder.path().join(number.to_string());
    fs::create_dir(&path)?;
    Ok(path)
}
