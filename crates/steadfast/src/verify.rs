//! `steadfast verify`: which guarantees a store keeps.
//!
//! `sidecars` is what is verified, `child` a sidecar of our own, `progress` what is shown meanwhile.
//! What is done, and what is said of it, is `sidecar-verify`'s.

use std::{
    fs,
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
    sync::{Arc, atomic::Ordering::Relaxed},
};

use anyhow::{Context, Result};
use sidecar_verify::{
    Findings, Guarantee, Settings, Standing, Verification, Watch,
    report::{self, Terminal},
};
use state_checker::{History, Limits};

use crate::{cli::VerifyArgs, console, signals::Signals};

mod child;
pub(crate) mod progress;
mod sidecars;

use sidecars::Sidecars;

/// Something that is required is violated.
const VIOLATED: u8 = 1;
/// Something that is required could not be tested, or is not offered.
const NOT_TESTED: u8 = 2;
/// The command line or the configuration is wrong.
pub(crate) const WRONG_CONFIGURATION: u8 = 3;

pub(crate) fn main(args: &VerifyArgs) -> ExitCode {
    let result = match &args.replay {
        Some(file) => replay(file),
        None => crate::runtime().and_then(|it| it.block_on(verify(args))),
    };
    ExitCode::from(result.unwrap_or_else(|e| {
        anstream::eprintln!("{}error:{:#} {e:#}", console::ERROR, console::ERROR);
        WRONG_CONFIGURATION
    }))
}

async fn verify(args: &VerifyArgs) -> Result<u8> {
    // Before anything is started that would have to be ended again.
    for file in [&args.html, &args.history].into_iter().flatten() {
        check_writable(file)?;
    }
    let seed = args.seed.unwrap_or_else(|| fastrand::u64(..));
    if args.self_test && !passes_self_test(seed).await? {
        return Ok(NOT_TESTED);
    }
    let mut signals = Signals::ending()?;
    let target = tokio::select! {
        target = Sidecars::start(args) => target?,
        _ = signals.next() => return Ok(NOT_TESTED),
    };
    let watch = Arc::new(Watch::default());
    let settings = Settings {
        store: args.store.clone(),
        endpoints: target.names().to_vec(),
        duration: args.duration,
        clients: args.clients.into(),
        rate: args.rate,
        seed,
        prefix: format!("verify-{:08x}", fastrand::u32(..)),
        keeps_history: args.history.is_some(),
    };
    let verification = Verification::prepare(&target, settings, watch.clone()).await?;
    let running = verification.run();
    tokio::pin!(running);
    let outcome = tokio::select! {
        outcome = &mut running => outcome?,
        () = progress::show(&watch, args.duration) => unreachable!("it is shown for ever"),
        signal = signals.next() => {
            progress::end();
            anstream::eprintln!("{}: removing what was written; again to leave it", signal.name);
            watch.interrupted.store(true, Relaxed);
            watch.progress.stop.store(true, Relaxed);
            tokio::select! {
                outcome = &mut running => outcome?,
                _ = signals.next() => return Ok(NOT_TESTED),
            }
        }
    };
    progress::end();
    target.end().await;
    if let Some(file) = &args.history {
        write_history(file, &outcome.history)?;
    }
    print(args, &outcome.findings)?;
    Ok(code(&outcome.findings, &args.require))
}

/// Whether the checker finds every bug that it should, and no other.
async fn passes_self_test(seed: u64) -> Result<bool> {
    let show = |it: &str| progress::line(&format!("self-test: {it}"));
    let result = sidecar_verify::self_test(seed, show).await;
    progress::end();
    anstream::eprintln!("{result}");
    if !result.is_passed() {
        anstream::eprintln!("nothing is judged by a checker that fails");
    }
    Ok(result.is_passed())
}

/// The exit code that the findings stand for.
fn code(findings: &Findings, required: &[Guarantee]) -> u8 {
    let is_required = |it: Guarantee| required.contains(&it);
    let judged = || findings.judgements.iter();
    let matters = |it: Guarantee| required.is_empty() || is_required(it);
    if judged().any(|it| it.standing == Standing::Violated && matters(it.guarantee)) {
        return VIOLATED;
    }
    let untested = judged().any(|it| it.standing != Standing::Holds && is_required(it.guarantee));
    if untested || findings.interrupted {
        return NOT_TESTED;
    }
    0
}

fn print(args: &VerifyArgs, findings: &Findings) -> Result<()> {
    if let Some(file) = &args.html {
        fs::write(file, report::html(findings)).with_context(|| cannot_write(file))?;
    }
    let text = match &args.json {
        Some(file) if file == Path::new("-") => report::json(findings) + "\n",
        Some(file) => {
            fs::write(file, report::json(findings)).with_context(|| cannot_write(file))?;
            report::text(findings, &Terminal::default())
        }
        None => report::text(findings, &Terminal::default()),
    };
    let mut stdout = anstream::stdout();
    match stdout.write_all(text.as_bytes()).and_then(|()| stdout.flush()) {
        // Whoever has read enough still wants the verdict, which is the exit code.
        Err(e) if e.kind() == io::ErrorKind::BrokenPipe => Ok(()),
        printed => printed.context("cannot print the report"),
    }
}

fn replay(file: &Path) -> Result<u8> {
    let text =
        fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
    let history = History::read(&text)?;
    let judged = state_checker::check(&history, &Limits::default());
    let origin = &history.origin;
    anstream::println!("store {}, seed {}", origin.subject, origin.seed);
    for it in &judged.violations {
        anstream::print!("{}", report::counterexample(it, &[], "key", &Terminal::default()));
    }
    anstream::println!(
        "{} operations on {} groups of keys: {} not allowed, {} not judged",
        judged.operations,
        judged.groups,
        judged.violations.len(),
        judged.exhausted.len()
    );
    Ok(match () {
        () if !judged.violations.is_empty() => VIOLATED,
        () if !judged.exhausted.is_empty() => NOT_TESTED,
        () => 0,
    })
}

fn write_history(file: &Path, history: &History) -> Result<()> {
    let write = || {
        let mut to = io::BufWriter::new(fs::File::create(file)?);
        history.write(&mut to)?;
        to.flush()
    };
    write().with_context(|| cannot_write(file))
}

fn check_writable(file: &Path) -> Result<()> {
    let opened = fs::OpenOptions::new().create(true).append(true).open(file);
    opened.map(drop).with_context(|| cannot_write(file))
}

fn cannot_write(file: &Path) -> String {
    format!("cannot write {}", file.display())
}

/// Whether somebody watches.
pub(crate) fn is_watched() -> bool {
    io::stderr().is_terminal()
}
