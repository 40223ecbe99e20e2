//! Crash consistency of the embedded store.
//!
//! After each fault and restart: what was acknowledged is there or was replaced by something later,
//! what was refused is not there, no transaction is there by half, an ETag stands for one value,
//! and the database opens, twice with the same content.

use std::{
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, Instant},
};

use clap::{Args, Subcommand};

mod chance;
mod client;
mod disk;
mod full;
mod history;
mod kill;
mod lab;
mod power;
mod strace;
mod syscalls;
mod writer;

/// Violations that are shown; there may be thousands of one bug.
const SHOWN_MAX: usize = 20;

#[derive(Debug, Args)]
pub(crate) struct CrashArgs {
    #[command(subcommand)]
    command: Option<Command>,
    /// Repeats the choices of a run; the timing of processes stays their own
    #[arg(long, global = true)]
    seed: Option<u64>,
    /// The program to torture [default: steadfast next to this program]
    #[arg(long, global = true, value_name = "PATH")]
    steadfast: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// kill -9 at random moments under load, while starting and while recovering
    Kill(kill::KillArgs),
    /// Every one of the first system calls on the database's files fails, or is the last
    Syscalls(syscalls::SyscallsArgs),
    /// Power cuts after any system call of a recorded workload, emulated
    Power(power::PowerArgs),
    /// A disk that is full under load, and then is not
    Full(full::FullArgs),
    /// All of these; the default
    All(AllArgs),
}

#[derive(Clone, Copy, Debug, Default, Args)]
struct AllArgs {
    /// A sample of each, in about a minute
    #[arg(long)]
    quick: bool,
}

/// What a test has found.
#[derive(Debug)]
pub(crate) struct Verdict {
    name: &'static str,
    started: Instant,
    took: Duration,
    summary: String,
    wrong: Vec<String>,
    /// Why it proves nothing.
    void: Option<String>,
}

pub(crate) fn main(args: &CrashArgs) -> anyhow::Result<ExitCode> {
    let program = crate::sidecar::program(args.steadfast.as_deref())?;
    let seed = args.seed.unwrap_or_else(fresh_seed);
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    println!("seed {seed}");
    match &args.command {
        Some(Command::Kill(args)) => report(&[runtime.block_on(kill::run(&program, args, seed))?]),
        Some(Command::Syscalls(args)) => {
            report(&[runtime.block_on(syscalls::run(&program, args, seed))?])
        }
        Some(Command::Power(args)) => {
            report(&[runtime.block_on(power::run(&program, args, seed))?])
        }
        Some(Command::Full(args)) => match &args.disk {
            Some(disk) => report(&[runtime.block_on(full::run(&program, disk, args, seed))?]),
            None => Ok(ExitCode::from(full::inside(&program, args, seed)?)),
        },
        Some(Command::All(args)) => runtime.block_on(all(&program, seed, args.quick)),
        None => runtime.block_on(all(&program, seed, false)),
    }
}

/// Everything, with and without a log.
async fn all(program: &Path, seed: u64, quick: bool) -> anyhow::Result<ExitCode> {
    let (kills, to, every, states, times) =
        if quick { (50, 300, 60, 2500, 5) } else { (200, 300, 1, 10_000, 20) };
    let mut verdicts = Vec::new();
    let mut full_code = 0;
    for disable_wal in [false, true] {
        // A rollback journal is the rarer choice.
        let share = if disable_wal { 3 } else { 1 };
        let args = kill::KillArgs { kills: kills / share, disable_wal };
        verdicts.push(kill::run(program, &args, seed).await?);
        let every = every * share;
        let args = syscalls::SyscallsArgs { to, every, call: None, disable_wal };
        verdicts.push(syscalls::run(program, &args, seed).await?);
        let args = full::FullArgs { times, disable_wal, disk: None };
        let code = full::inside(program, &args, seed)?;
        full_code = if code == 1 || full_code == 1 { 1 } else { full_code.max(code) };
    }
    let args = power::PowerArgs { states, ignore_sync: false };
    verdicts.push(power::run(program, &args, seed).await?);
    println!("full: exit code {full_code}, see above");
    let rest = report(&verdicts)?;
    match (rest == ExitCode::SUCCESS, full_code) {
        (_, 1) => Ok(ExitCode::from(1)),
        (true, code) => Ok(ExitCode::from(code)),
        (false, _) => Ok(rest),
    }
}

fn fresh_seed() -> u64 {
    let since = std::time::UNIX_EPOCH.elapsed().unwrap_or_default();
    u64::from(since.subsec_nanos()) ^ since.as_secs()
}

fn report(verdicts: &[Verdict]) -> anyhow::Result<ExitCode> {
    verdicts.iter().for_each(Verdict::print);
    if verdicts.iter().any(|it| !it.wrong.is_empty()) {
        return Ok(ExitCode::from(1));
    }
    if verdicts.iter().any(|it| it.void.is_some()) {
        return Ok(ExitCode::from(2));
    }
    Ok(ExitCode::SUCCESS)
}

impl Verdict {
    pub(crate) fn new(name: &'static str) -> Verdict {
        println!("{name}");
        let (started, took) = (Instant::now(), Duration::ZERO);
        Verdict { name, started, took, summary: String::new(), wrong: Vec::new(), void: None }
    }

    /// Adds violations, and says so at once.
    pub(crate) fn wrong(&mut self, wrong: impl IntoIterator<Item = String>) {
        for it in wrong {
            if self.wrong.len() < SHOWN_MAX {
                println!("  WRONG: {it}");
            }
            self.wrong.push(it);
        }
    }

    /// Says why nothing was proven. The first reason counts.
    pub(crate) fn void(&mut self, why: impl Into<String>) {
        self.void.get_or_insert(why.into());
    }

    /// Says in one sentence what was done.
    pub(crate) fn done(mut self, summary: String) -> Verdict {
        self.took =
            Duration::from_millis(self.started.elapsed().as_millis().try_into().unwrap_or(0));
        self.summary = summary;
        self
    }

    fn print(&self) {
        let Verdict { name, summary, wrong, void, took, .. } = self;
        match (wrong.len(), void) {
            (0, None) => println!("{name}: {summary}: nothing lost, {took:?}"),
            (0, Some(why)) => println!("{name}: VOID: {why} ({summary})"),
            (len, _) => println!("{name}: {summary}: {len} VIOLATIONS, {took:?}"),
        }
    }
}
