//! Sessions, one after the other, and what they come to.

mod totals;

use std::{
    collections::BTreeMap,
    fs,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, bail};
use clap::Args;
use serde_json::json;
use sidecar_verify::report::{Terminal, counterexample};
use state_checker::{History, Limits, Report};

use self::totals::Totals;
use crate::{
    cell::Cell,
    cells::CELLS,
    fault::FaultKind,
    session::{Seen, Session},
};

#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The stores to torture [default: all]
    #[arg(long, value_name = "NAME", value_delimiter = ',')]
    cell: Vec<String>,
    /// The kinds of fault [default: all that apply]
    #[arg(long, value_name = "KIND", value_delimiter = ',')]
    fault: Vec<FaultKind>,
    /// How long clients contend in each session, in seconds
    #[arg(long, default_value = "15", value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(5..))]
    seconds: u64,
    /// How often all of it is done
    #[arg(long, default_value = "1", value_name = "N")]
    rounds: u64,
    /// Repeats the choices of a run; the timing of processes stays their own
    #[arg(long)]
    seed: Option<u64>,
    /// The program to torture [default: steadfast next to this program]
    #[arg(long, value_name = "PATH")]
    steadfast: Option<PathBuf>,
    /// Write histories into this folder; without it, only those that were not allowed, here
    #[arg(long, value_name = "DIR")]
    histories: Option<PathBuf>,
    /// Write the totals to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Args)]
pub(crate) struct ReplayArgs {
    /// Histories, as `run` writes them
    #[arg(required = true, value_name = "FILE")]
    histories: Vec<PathBuf>,
    /// How many tries the search may take for each group of keys
    #[arg(long, value_name = "N", default_value_t = TRIES_MAX)]
    tries: u64,
}

/// More tries than in the hands of users: here, giving up is a failure. Source: 16 bytes for each
/// a gigabyte at worst, and ten seconds.
const TRIES_MAX: u64 = 200_000_000;

/// What is tolerated here.
pub(crate) fn limits() -> Limits {
    Limits { tries_max: TRIES_MAX, ..Limits::default() }
}

/// Something was seen that is not allowed, or did not come back.
const WRONG: u8 = 1;
/// Something was not proven.
const VOID: u8 = 2;

/// How many violations are shown of a session.
const SHOWN_MAX: usize = 3;

pub(crate) fn main(args: &RunArgs) -> Result<ExitCode> {
    let program = crate::sidecar::program(args.steadfast.as_deref())?;
    let cells = chosen(args)?;
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    println!("seed {seed}");
    let mut all: BTreeMap<(&str, FaultKind), Totals> = BTreeMap::new();
    for round in 0..args.rounds {
        for (cell, faults) in &cells {
            for fault in faults {
                let session = Session {
                    cell,
                    fault: *fault,
                    seed: seed.wrapping_add(round),
                    duration: Duration::from_secs(args.seconds),
                    program: program.clone(),
                };
                let name = format!("{} under {fault:?}, seed {}", cell.name, session.seed);
                let seen = runtime.block_on(session.run()).with_context(|| name.clone())?;
                let declared = cell.may_lose.iter().find(|(it, _)| it == fault).map(|it| it.1);
                show(&name, &seen, declared);
                keep_history(args, &name, &seen)?;
                all.entry((cell.name, *fault)).or_default().add(&seen);
            }
        }
    }
    let mut sum = Totals::default();
    println!("\n{}", Totals::HEAD);
    for ((cell, fault), totals) in &all {
        println!("{}", totals.row(&format!("{cell} {fault:?}")));
        sum.merge(totals);
    }
    println!("{}", sum.row("all"));
    if let Some(file) = &args.json {
        let cells: Vec<_> =
            all.iter().map(|((cell, fault), it)| it.json(&format!("{cell} {fault:?}"))).collect();
        let text = json!({ "seed": seed.to_string(), "cells": cells, "all": sum.json("all") });
        fs::write(file, format!("{text:#}\n"))?;
    }
    Ok(ExitCode::from(match () {
        () if sum.is_wrong() => WRONG,
        () if sum.is_void() => VOID,
        () => 0,
    }))
}

pub(crate) fn replay(args: &ReplayArgs) -> Result<ExitCode> {
    let mut is_clean = true;
    for file in &args.histories {
        let text =
            fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let history = History::read(&text).with_context(|| file.display().to_string())?;
        let limits = Limits { tries_max: args.tries, ..limits() };
        let report = state_checker::check(&history, &limits);
        println!(
            "{}: {} operations on {} groups of keys, {} tries, {} not allowed, {} given up",
            history.origin.subject,
            report.operations,
            report.groups,
            report.tries,
            report.violations.len(),
            report.exhausted.len()
        );
        show_violations(&report);
        is_clean &= report.is_clean();
    }
    Ok(if is_clean { ExitCode::SUCCESS } else { ExitCode::from(WRONG) })
}

/// The cells and faults that were asked for.
fn chosen(args: &RunArgs) -> Result<Vec<(&'static Cell, Vec<FaultKind>)>> {
    if let Some(name) = args.cell.iter().find(|name| CELLS.iter().all(|it| it.name != **name)) {
        let names: Vec<_> = CELLS.iter().map(|it| it.name).collect();
        bail!("there is no cell {name}; there are: {}", names.join(", "));
    }
    let wanted = |it: &&Cell| args.cell.is_empty() || args.cell.iter().any(|name| name == it.name);
    let faults = |it: &Cell| {
        let wanted = |fault: &FaultKind| args.fault.is_empty() || args.fault.contains(fault);
        it.faults.iter().copied().filter(wanted).collect()
    };
    let cells: Vec<(&Cell, Vec<FaultKind>)> =
        CELLS.iter().filter(wanted).map(|it| (it, faults(it))).collect();
    if cells.iter().all(|(_, faults)| faults.is_empty()) {
        bail!("none of these faults applies to any of these stores");
    }
    Ok(cells)
}

fn show(name: &str, seen: &Seen, declared: Option<&str>) {
    let succession = match seen.succession {
        Duration::ZERO => String::new(),
        it => format!(", {} ms after another server took over", it.as_millis()),
    };
    println!(
        "{name}: {} operations, {} unknown, {} not applied, {} histories, {} faults, {} counted up, \
         served again after {} ms{succession}",
        seen.report.operations,
        seen.unknown,
        seen.not_applied,
        seen.report.groups,
        seen.faults,
        seen.counted,
        seen.recovery.as_millis()
    );
    if seen.meetings > 0 {
        println!("  sidecars met the faults {} times", seen.meetings);
    }
    if let Some(why) = &seen.void {
        println!("  VOID: {why}");
    }
    seen.dead.iter().for_each(|it| println!("  WRONG: {it}"));
    seen.lost.iter().for_each(|it| println!("  WRONG: {it}"));
    if let Some(why) = declared.filter(|_| !seen.declared.is_empty()) {
        println!("  declared: {} groups of keys: {why}", seen.declared.len());
    }
    show_violations(&seen.report);
}

fn show_violations(report: &Report) {
    for group in &report.exhausted {
        println!("  WRONG: the search gave up on group {group}");
    }
    for it in report.violations.iter().take(SHOWN_MAX) {
        println!("  WRONG: {} in group {}: {}", it.invariant, it.group, it.summary);
        let terminal = Terminal { colour: false, ..Terminal::default() };
        print!("{}", counterexample(it, &[], "torture", &terminal));
    }
    if report.violations.len() > SHOWN_MAX {
        println!("  WRONG: {} more", report.violations.len() - SHOWN_MAX);
    }
}

fn keep_history(args: &RunArgs, name: &str, seen: &Seen) -> Result<()> {
    if args.histories.is_none() && seen.report.is_clean() {
        return Ok(());
    }
    let folder = args.histories.as_deref().unwrap_or(Path::new("."));
    fs::create_dir_all(folder)?;
    let file = folder.join(format!("{}.jsonl", name.replace([' ', ','], "-")));
    let mut to = BufWriter::new(fs::File::create(&file)?);
    seen.history.write(&mut to)?;
    to.flush()?;
    println!("  the history is in {}", file.display());
    Ok(())
}
