//! A disk that is full under load, and then is not.
//!
//! The disk is a small tmpfs, mounted in a namespace of its own that this program enters by
//! starting itself once more through unshare(1): it is gone with the last process in there, however
//! that ends.

use std::{
    fs::{self, File},
    io::Write as _,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};
use clap::Args;

use super::{
    Verdict,
    chance::Chance,
    client::Client,
    history::{State, Step, Told, Versions, check},
    lab::{Journal, Lab, RECOVERY_MAX, read_all, scratch},
    writer::{Sizes, Writer},
};
use crate::sidecar::Sidecar;

const DISK_BYTES: usize = 24 << 20;

const SIZES: Sizes = Sizes { large_one_in: 4, large_bytes: 60_000 };

/// Operations tried while the disk is full; far more than fit into what is free by then.
const OPERATIONS: usize = 60;

#[derive(Clone, Debug, Args)]
pub(crate) struct FullArgs {
    /// How often the disk is filled and freed
    #[arg(long, default_value = "20")]
    pub(crate) times: usize,
    /// With a rollback journal instead of a write-ahead log
    #[arg(long)]
    pub(crate) disable_wal: bool,
    /// The small disk; used by this command itself
    #[arg(long, hide = true)]
    pub(crate) disk: Option<PathBuf>,
}

#[derive(Debug, Default)]
struct Counts {
    acknowledged: usize,
    refused: usize,
    unknown: usize,
    killed: usize,
    slowest: Duration,
}

/// Runs this command once more inside a namespace that has the small disk; returns its exit code.
pub(crate) fn inside(program: &Path, args: &FullArgs, seed: u64) -> Result<u8> {
    let folder = scratch()?;
    let script = format!(
        "mount -t tmpfs -o size={DISK_BYTES} torture \"$0\" || exit 2; exec \"$@\" --disk \"$0\""
    );
    // Root may do this; others may where the system lets them be root among themselves.
    let mut unshare = Command::new("unshare");
    unshare.args(["--mount", "--map-root-user", "sh", "-c", &script]).arg(folder.path());
    unshare.arg(std::env::current_exe()?);
    unshare.args(["crash", "full", "--times", &args.times.to_string()]);
    unshare.args(["--seed", &seed.to_string(), "--steadfast"]).arg(program);
    if args.disable_wal {
        unshare.arg("--disable-wal");
    }
    match unshare.status() {
        Ok(status) => {
            let code = status.code().and_then(|it| u8::try_from(it).ok()).unwrap_or(2);
            if code == 2 || !matches!(code, 0 | 1) {
                println!("full: VOID: a small disk needs root, unshare(1) and mount(8)");
                return Ok(2);
            }
            Ok(code)
        }
        Err(e) => {
            println!("full: VOID: unshare cannot be run: {e}");
            Ok(2)
        }
    }
}

/// The test itself, on the small disk.
pub(crate) async fn run(
    program: &Path,
    disk: &Path,
    args: &FullArgs,
    seed: u64,
) -> Result<Verdict> {
    let mut verdict = Verdict::new("full");
    let journal = if args.disable_wal { Journal::Rollback } else { Journal::Wal };
    let lab = Lab::within(disk, journal)?;
    let ballast = disk.join("ballast");
    let mut chance = Chance::new(seed);
    let mut writer = Writer::new(0, chance.branch(1), SIZES);
    let keys = writer.keys();
    let (mut before, mut versions, mut counts) =
        (State::new(), Versions::default(), Counts::default());
    let mut sidecar = Sidecar::start(&lab.plan(program)).await?;
    for time in 0..args.times {
        let mut client = Client::connect(sidecar.port()).await?;
        for _ in 0..10 {
            writer.step(&mut client).await?;
        }
        // Every other time so little that it is full before long, whatever the seed.
        let rest_max = if time % 2 == 0 { 20_000 } else { 200_000 };
        fill(&ballast, chance.below(rest_max))?;
        for _ in 0..OPERATIONS {
            writer.step(&mut client).await?;
        }
        if chance.one_in(3) {
            // What is on the full disk must do for the next one.
            sidecar.kill();
            sidecar.wait().await?;
            counts.killed += 1;
            sidecar = Sidecar::start(&lab.plan(program)).await?;
            client = Client::connect(sidecar.port()).await?;
        }
        fs::remove_file(&ballast)?;
        let freed = Instant::now();
        while !matches!(writer.probe(&mut client).await?, Told::Done(_)) {
            if freed.elapsed() > RECOVERY_MAX {
                verdict.wrong([format!("time {time}: writes do not work {RECOVERY_MAX:?} later")]);
                break;
            }
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        counts.slowest = counts.slowest.max(freed.elapsed());
        for _ in 0..10 {
            writer.step(&mut client).await?;
        }
        writer.look(&mut client).await?;
        let found = read_all(&mut sidecar, &keys).await?;
        let journals = [writer.take_journal()];
        counts.add(&journals[0]);
        let wrong = [
            versions.learn(&journals),
            versions.learn_state(&found),
            check(&before, &journals, &found),
        ];
        verdict.wrong(wrong.concat().into_iter().map(|it| format!("time {time}: {it}")));
        sidecar.kill();
        sidecar.wait().await?;
        sidecar = Sidecar::start(&lab.plan(program)).await?;
        if read_all(&mut sidecar, &keys).await? != found {
            verdict.wrong([format!("time {time}: another start finds something else")]);
        }
        before = found;
    }
    sidecar.end().await?;
    verdict.wrong(lab.damage()?.map(|it| format!("the database is damaged: {it}")));
    let Counts { acknowledged, refused, unknown, killed, slowest } = counts;
    if refused + unknown < args.times {
        verdict.void("the disk was hardly ever full");
    }
    Ok(verdict.done(format!(
        "{} times full; {acknowledged} requests acknowledged, {refused} refused, {unknown} unknown; \
         {killed} times killed meanwhile; writes worked again after {slowest:?} at most",
        args.times
    )))
}

/// Leaves about `rest` bytes.
fn fill(ballast: &Path, rest: usize) -> Result<()> {
    let mut file = File::create(ballast).context("cannot make ballast")?;
    let block = [0; 4096];
    let mut len: usize = 0;
    while file.write_all(&block).is_ok() {
        len += block.len();
    }
    let len = u64::try_from(len.saturating_sub(rest)).unwrap_or(0);
    file.set_len(len).context("cannot cut the ballast")
}

impl Counts {
    fn add(&mut self, journal: &[Step]) {
        for step in journal {
            let Step::Write { told, .. } = step else { continue };
            match told {
                Told::Done(_) => self.acknowledged += 1,
                Told::NotApplied => self.refused += 1,
                Told::Unknown => self.unknown += 1,
                Told::Conflict => {}
            }
        }
    }
}
