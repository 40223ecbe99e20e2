//! `kill -9` at random moments, under load, while starting and while recovering.

use std::{path::Path, time::Duration};

use anyhow::Result;
use clap::Args;
use tokio::task::JoinSet;

use super::{
    Verdict,
    chance::Chance,
    client::Client,
    history::{State, Step, Versions, check},
    lab::{Journal, Lab, read_all},
    writer::{Sizes, Writer},
};
use crate::sidecar::Sidecar;

const WRITERS: usize = 8;

const SIZES: Sizes = Sizes { large_one_in: 25, large_bytes: 40_000 };

/// The longest time under load before a kill.
const LOAD_MAX_US: usize = 150_000;

/// A start takes about 20 ms.
const START_MAX_US: usize = 25_000;

#[derive(Clone, Debug, Args)]
pub(crate) struct KillArgs {
    /// How often to kill the sidecar under load
    #[arg(long, default_value = "200")]
    pub(crate) kills: usize,
    /// With a rollback journal instead of a write-ahead log
    #[arg(long)]
    pub(crate) disable_wal: bool,
}

#[derive(Debug, Default)]
struct Counts {
    starts_cut_short: usize,
    reopened_twice: usize,
    acknowledged: usize,
    lost_answers: usize,
}

pub(crate) async fn run(program: &Path, args: &KillArgs, seed: u64) -> Result<Verdict> {
    let journal = if args.disable_wal { Journal::Rollback } else { Journal::Wal };
    let lab = Lab::new(journal)?;
    let mut chance = Chance::new(seed);
    let mut writers: Vec<Writer> = (0..WRITERS)
        .map(|id| Writer::new(id, chance.branch(u64::try_from(id).expect("small") + 1), SIZES))
        .collect();
    let mut keys: Vec<_> = writers.iter().flat_map(Writer::keys).collect();
    keys.sort_unstable();
    keys.dedup();
    let (mut before, mut versions, mut counts) =
        (State::new(), Versions::default(), Counts::default());
    let mut verdict = Verdict::new("kill");
    for round in 0..=args.kills {
        let mut sidecar = start(program, &lab, &mut chance, &mut counts).await?;
        let mut found = read_all(&mut sidecar, &keys).await?;
        let journals: Vec<_> = writers.iter_mut().map(Writer::take_journal).collect();
        count(&journals, &mut counts);
        let wrong = [
            versions.learn(&journals),
            versions.learn_state(&found),
            check(&before, &journals, &found),
        ];
        verdict.wrong(wrong.concat().into_iter().map(|it| format!("kill {round}: {it}")));
        if chance.one_in(3) {
            sidecar.kill();
            sidecar.wait().await?;
            sidecar = start(program, &lab, &mut chance, &mut counts).await?;
            let again = read_all(&mut sidecar, &keys).await?;
            if again != found {
                verdict.wrong([format!("kill {round}: another start finds something else")]);
            }
            (found, counts.reopened_twice) = (again, counts.reopened_twice + 1);
        }
        writers.iter_mut().for_each(|it| it.learn(&found));
        before = found;
        if round == args.kills {
            sidecar.end().await?;
            break;
        }
        writers = load(&mut sidecar, writers, &mut chance).await?;
        if (round + 1).is_multiple_of(50) {
            println!("  {} of {} kills", round + 1, args.kills);
        }
    }
    if let Some(damage) = lab.damage()? {
        verdict.wrong([format!("the database is damaged: {damage}")]);
    }
    if counts.acknowledged < args.kills {
        verdict.void("hardly anything was written between the kills");
    }
    let Counts { starts_cut_short, reopened_twice, acknowledged, lost_answers } = counts;
    Ok(verdict.done(format!(
        "{} kills under load, {starts_cut_short} while starting; {acknowledged} requests \
         acknowledged, {lost_answers} answers lost with the process; {reopened_twice} times \
         opened twice",
        args.kills
    )))
}

/// Starts the sidecar; one time in three, kills it first while it starts, once or twice.
async fn start(
    program: &Path,
    lab: &Lab,
    chance: &mut Chance,
    counts: &mut Counts,
) -> Result<Sidecar> {
    let attempts = if chance.one_in(3) { 1 + chance.below(2) } else { 0 };
    for _ in 0..attempts {
        let mut sidecar = Sidecar::spawn(&lab.plan(program))?;
        pause(chance, START_MAX_US).await;
        sidecar.kill();
        sidecar.wait().await?;
        counts.starts_cut_short += 1;
    }
    Sidecar::start(&lab.plan(program)).await
}

/// Lets all write until the sidecar is killed.
async fn load(
    sidecar: &mut Sidecar,
    writers: Vec<Writer>,
    chance: &mut Chance,
) -> Result<Vec<Writer>> {
    let port = sidecar.port();
    let mut tasks = JoinSet::new();
    for mut writer in writers {
        tasks.spawn(async move {
            let mut client = Client::connect(port).await;
            if let Ok(client) = &mut client {
                while writer.step(client).await.is_ok() {}
            }
            writer
        });
    }
    pause(chance, LOAD_MAX_US).await;
    sidecar.kill();
    sidecar.wait().await?;
    Ok(tasks.join_all().await)
}

async fn pause(chance: &mut Chance, max_us: usize) {
    let us = u64::try_from(chance.below(max_us)).expect("a short time");
    tokio::time::sleep(Duration::from_micros(us)).await;
}

fn count(journals: &[Vec<Step>], counts: &mut Counts) {
    use super::history::Told;
    for step in journals.iter().flatten() {
        match step {
            Step::Write { told: Told::Done(_), .. } => counts.acknowledged += 1,
            Step::Write { told: Told::Unknown, .. } => counts.lost_answers += 1,
            Step::Write { .. } | Step::Read { .. } | Step::Refused => {}
        }
    }
}
