//! The N-th system call on the database's files fails, or is the last one.
//!
//! strace counts for each thread on its own: a run hits the N-th call of every thread that gets so
//! far. A series ends with the first N that no thread reaches.

use std::{ffi::OsString, fs, path::Path, sync::Arc, time::Instant};

use anyhow::{Context, Result};
use clap::Args;
use tokio::task::JoinSet;

use super::{
    Verdict,
    chance::Chance,
    client::Client,
    history::{State, Step, Told, Versions, check},
    lab::{Journal, Lab, RECOVERY_MAX},
    strace,
    writer::{Sizes, Writer},
};
use crate::sidecar::Sidecar;

const SMALL: Sizes = Sizes { large_one_in: 1000, large_bytes: 4000 };

/// At the end of a workload, so much is written that a checkpoint comes: 4 MiB make one.
const LARGE: Sizes = Sizes { large_one_in: 2, large_bytes: 900_000 };

const OPERATIONS: usize = 40;
const LARGE_FROM: usize = 30;

/// Runs at the same time. Many of them wait.
const JOBS: usize = 4;

/// After an error, every so many-th run waits until the store can be used again; after EIO of one
/// of the rare calls, every run.
const WAITING_ONE_IN: usize = 6;

/// What a sidecar says of a store that it could open.
const LOADED: &str = "Component loaded";

/// The first calls are those of opening: a sample of the others has all of these.
const ALWAYS_TO: usize = 12;

const ERROR: &str = "error=EIO";
const FULL: &str = "error=ENOSPC";
const KILL: &str = "signal=SIGKILL";

/// What is injected where. SQLite is built to flush with fdatasync; fsync is here in case that
/// changes.
const SERIES: &[(&str, &[&str])] = &[
    ("pwrite64", &[ERROR, FULL, KILL]),
    ("fdatasync", &[ERROR, FULL, KILL]),
    ("fsync", &[ERROR, KILL]),
    ("ftruncate", &[ERROR, KILL]),
    ("unlink", &[ERROR, KILL]),
    ("openat", &[ERROR, FULL, KILL]),
    ("pread64", &[ERROR]),
];

#[derive(Clone, Debug, Args)]
pub(crate) struct SyscallsArgs {
    /// The last N
    #[arg(long, default_value = "300")]
    pub(crate) to: usize,
    /// Only every so many-th N after the first twelve
    #[arg(long, default_value = "1")]
    pub(crate) every: usize,
    /// Only this call, such as openat
    #[arg(long)]
    pub(crate) call: Option<String>,
    /// With a rollback journal instead of a write-ahead log
    #[arg(long)]
    pub(crate) disable_wal: bool,
}

/// What all runs have in common.
#[derive(Debug)]
struct Setting {
    program: std::path::PathBuf,
    seed: u64,
    journal: Journal,
    /// A database that was in use when its sidecar was killed, and what is in it.
    used: (Lab, State),
}

/// Which call fails how.
#[derive(Clone, Copy, Debug)]
struct Injection {
    call: &'static str,
    fault: &'static str,
    n: usize,
    /// Whether to wait afterwards until the store can be used again.
    waiting: bool,
    /// Whether the sidecar is killed after the first request that fails: no later write may cover
    /// up what the failed one has left.
    stopping: bool,
    /// Whether the sidecar is killed in the end, or asked to end.
    killed: bool,
    /// On a database that is there already.
    on_used: bool,
}

/// What one run has come to.
#[derive(Debug, Default)]
struct Outcome {
    bites: usize,
    acknowledged: usize,
    refused: usize,
    unknown: usize,
    waited: bool,
    wrong: Vec<String>,
}

pub(crate) async fn run(program: &Path, args: &SyscallsArgs, seed: u64) -> Result<Verdict> {
    let mut verdict = Verdict::new("syscalls");
    if let Some(why) = strace::missing() {
        verdict.void(why);
        return Ok(verdict);
    }
    let journal = if args.disable_wal { Journal::Rollback } else { Journal::Wal };
    let used = used(program, journal, seed).await?;
    let setting = Arc::new(Setting { program: program.to_owned(), seed, journal, used });
    let (mut runs, mut bitten, mut total) = (0, 0, Outcome::default());
    let wanted = |call: &str| args.call.as_deref().is_none_or(|it| it == call);
    for (call, faults) in SERIES.iter().filter(|it| wanted(it.0)) {
        for (fault, on_used) in faults.iter().flat_map(|it| [(*it, false), (*it, true)]) {
            let mut series = series(&setting, args, call, fault, on_used).await?;
            let bites = series.iter().filter(|it| it.bites > 0).count();
            let place = if on_used { "used" } else { "new" };
            println!("  {call} {fault} on a {place} database: {bites} of {} bit", series.len());
            runs += series.len();
            bitten += bites;
            for outcome in &mut series {
                verdict.wrong(outcome.wrong.drain(..));
                total.acknowledged += outcome.acknowledged;
                total.refused += outcome.refused;
                total.unknown += outcome.unknown;
                total.bites += usize::from(outcome.waited);
            }
        }
    }
    if bitten == 0 {
        verdict.void("no injection had an effect");
    }
    Ok(verdict.done(format!(
        "{runs} runs, {bitten} injections bit; {} requests acknowledged, {} refused, {} unknown; \
         {} times waited until writes worked again",
        total.acknowledged, total.refused, total.unknown, total.bites
    )))
}

/// A database with something in it and a log or journal that nobody has tidied.
async fn used(program: &Path, journal: Journal, seed: u64) -> Result<(Lab, State)> {
    let lab = Lab::new(journal)?;
    let mut writer = writer(0, seed);
    let mut sidecar = Sidecar::start(&lab.plan(program)).await?;
    let mut client = Client::connect(sidecar.port()).await?;
    for _ in 0..OPERATIONS {
        writer.step(&mut client).await?;
    }
    sidecar.kill();
    sidecar.wait().await?;
    let state = lab.copy()?.reopened(program, &writer.keys()).await?;
    Ok((lab, state))
}

/// Writers with different numbers have different values.
fn writer(id: u64, seed: u64) -> Writer {
    let mut writer = Writer::new(0, Chance::new(seed).branch(id), SMALL);
    writer.start_at(id * 1_000_000);
    writer
}

/// All runs with one kind of fault, until it has no effect any more.
async fn series(
    setting: &Arc<Setting>,
    args: &SyscallsArgs,
    call: &'static str,
    fault: &'static str,
    on_used: bool,
) -> Result<Vec<Outcome>> {
    let every = args.every.max(1);
    let numbers = (1..=args.to).filter(|it| *it <= ALWAYS_TO || it % every == 0);
    let mut numbers = numbers.enumerate();
    let (mut outcomes, mut tasks, mut over) = (Vec::new(), JoinSet::new(), false);
    loop {
        while tasks.len() < JOBS && !over {
            let Some((turn, n)) = numbers.next() else { break };
            let rare = fault == ERROR && matches!(call, "openat" | "unlink" | "ftruncate");
            let waiting = fault != KILL && (rare || turn.is_multiple_of(WAITING_ONE_IN));
            let stopping = !waiting && turn % 3 == 1;
            let killed = stopping || turn.is_multiple_of(2);
            let injection = Injection { call, fault, n, waiting, stopping, killed, on_used };
            let setting = setting.clone();
            tasks.spawn(async move {
                one(&setting, injection).await.with_context(|| format!("{injection:?}"))
            });
        }
        let Some(outcome) = tasks.join_next().await else { break };
        let outcome = outcome??;
        over |= outcome.bites == 0;
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn one(setting: &Setting, injection: Injection) -> Result<Outcome> {
    let (lab, before) = match injection.on_used {
        false => (Lab::new(setting.journal)?, State::new()),
        true => (setting.used.0.copy()?, setting.used.1.clone()),
    };
    let mut writer = writer(1, setting.seed);
    writer.learn(&before);
    let mut outcome = Outcome::default();
    let trace = lab.path("trace");
    let plan = lab.plan(&setting.program).under(wrapper(&lab, &trace, injection));
    let mut sidecar = Sidecar::spawn(&plan)?;
    // It may be killed, or refuse to start: what it left behind is looked at in any case.
    let mut client = match sidecar.ready().await {
        Ok(()) => Client::connect(sidecar.port()).await.ok(),
        Err(_) => None,
    };
    if setting.journal == Journal::Wal && sidecar.log().contains(LOADED) && !lab.has_log()? {
        outcome.wrong.push("a write-ahead log was asked for, and there is none".to_owned());
    }
    if let Some(client) = &mut client {
        work(&mut writer, client, injection, &mut outcome).await;
    }
    let until_now = fs::read_to_string(&trace).unwrap_or_default();
    end(&mut sidecar, injection).await?;
    let journals = [writer.take_journal()];
    count(&journals[0], &mut outcome);
    // Who is killed in a call never returns from it.
    let bitten = |it: &strace::Call<'_>| match injection.fault {
        KILL => it.result() == Some("?"),
        _ => it.was_injected(),
    };
    outcome.bites = strace::calls(&fs::read_to_string(&trace)?).filter(bitten).count();
    if failed_in_writing(&until_now) && outcome.refused + outcome.unknown == 0 {
        outcome.wrong.push("a write or a flush failed, and all was acknowledged".to_owned());
    }
    let keys = writer.keys();
    let found = lab.reopened(&setting.program, &keys).await?;
    let mut versions = Versions::default();
    outcome.wrong.extend(versions.learn_state(&before));
    outcome.wrong.extend(versions.learn(&journals));
    outcome.wrong.extend(versions.learn_state(&found));
    outcome.wrong.extend(check(&before, &journals, &found));
    if lab.reopened(&setting.program, &keys).await? != found {
        outcome.wrong.push("another start finds something else".to_owned());
    }
    outcome.wrong.extend(lab.damage()?.map(|it| format!("the database is damaged: {it}")));
    let Injection { call, fault, n, on_used, .. } = injection;
    let place = if on_used { "used" } else { "new" };
    for it in &mut outcome.wrong {
        *it = format!("{call} {fault} N={n} on a {place} database: {it}");
    }
    Ok(outcome)
}

/// The operations, and a look at what they have come to.
async fn work(
    writer: &mut Writer,
    client: &mut Client,
    injection: Injection,
    outcome: &mut Outcome,
) {
    for i in 0..OPERATIONS {
        writer.sizes = if i < LARGE_FROM { SMALL } else { LARGE };
        if writer.step(client).await.is_err() || injection.stopping && writer.has_failed() {
            return;
        }
    }
    writer.sizes = SMALL;
    if writer.look(client).await.is_err() {
        return;
    }
    if injection.waiting {
        outcome.waited = true;
        let started = Instant::now();
        loop {
            match writer.probe(client).await {
                Ok(Told::Done(_)) => break,
                Err(_) => return,
                Ok(told) if started.elapsed() > RECOVERY_MAX => {
                    outcome.wrong.push(format!(
                        "writes do not work {RECOVERY_MAX:?} after the fault: {told:?}"
                    ));
                    return;
                }
                Ok(_) => tokio::time::sleep(RECOVERY_MAX / 50).await,
            }
        }
        for _ in 0..5 {
            if writer.step(client).await.is_err() {
                return;
            }
        }
        let _ = writer.look(client).await;
    }
}

/// Ends the sidecar, gracefully or not, unless the injection has.
async fn end(sidecar: &mut Sidecar, injection: Injection) -> Result<()> {
    if injection.killed {
        sidecar.kill();
        sidecar.wait().await?;
    } else {
        sidecar.end().await?;
    }
    Ok(())
}

fn wrapper(lab: &Lab, trace: &Path, injection: Injection) -> Vec<OsString> {
    let Injection { call, fault, n, .. } = injection;
    let mut words: Vec<OsString> = vec!["strace".into()];
    let mut add = |word: &str| words.push(word.into());
    "-f -qq -y --decode-pids=comm".split(' ').for_each(&mut add);
    if fault != KILL {
        // Faster, but strace 6.1 then injects no signals.
        add("--seccomp-bpf");
    }
    add("-e");
    add(&format!("trace={call}"));
    add("-e");
    add(&format!("inject={call}:{fault}:when={n}"));
    let database = lab.database();
    for suffix in ["", "-wal", "-shm", "-journal"] {
        add("-P");
        add(&format!("{}{suffix}", database.display()));
    }
    // For flushes of the folder.
    add("-P");
    add(&lab.data().to_string_lossy());
    words.push("-o".into());
    words.push(trace.into());
    words
}

/// Whether the thread that writes has met an error on the log or the journal.
fn failed_in_writing(trace: &str) -> bool {
    strace::calls(trace).any(|it| {
        let file = it.file().unwrap_or_default();
        it.was_injected()
            && it.thread.contains("<sqlite-writer>")
            && matches!(it.name, "pwrite64" | "fdatasync" | "fsync")
            && (file.ends_with("-wal") || file.ends_with("-journal"))
    })
}

fn count(journal: &[Step], outcome: &mut Outcome) {
    for step in journal {
        let Step::Write { told, .. } = step else { continue };
        match told {
            Told::Done(_) => outcome.acknowledged += 1,
            Told::NotApplied => outcome.refused += 1,
            Told::Unknown => outcome.unknown += 1,
            Told::Conflict => {}
        }
    }
}
