//! `steadfast state`: what applications have stored, without a sidecar.
//!
//! `opened` is a store to work on, `single` works on one key or lists them. `reading` goes through a store, `placing`
//! puts records into one without replacing anything by mistake; `export`, `import` and `copy` join the two, with `record`
//! as the form of a line.

use std::{io, process::ExitCode};

use anyhow::Result;
use serde_json::json;
use state::Outcome;

use crate::{FAILURE, cli::StateCommand, console, logging};

mod copy;
mod export;
mod import;
mod opened;
mod placing;
mod progress;
mod reading;
mod record;
mod single;
mod tally;

/// There is no such key.
const ABSENT: u8 = 3;
/// A condition did not hold; nothing changed.
const CONFLICT: u8 = 4;

pub(crate) fn main(command: &StateCommand) -> ExitCode {
    let code = run(command).unwrap_or_else(|e| {
        let is_broken_pipe = |it: &io::Error| it.kind() == io::ErrorKind::BrokenPipe;
        if e.chain().any(|it| it.downcast_ref().is_some_and(is_broken_pipe)) {
            // Whoever reads has read enough.
            return FAILURE;
        }
        let outcome = e.downcast_ref().map(state::Error::outcome);
        if is_json(command) {
            let outcome = outcome.map(Outcome::name);
            anstream::println!("{}", json!({ "error": format!("{e:#}"), "outcome": outcome }));
        }
        anstream::eprintln!("{}error:{:#} {e:#}", console::ERROR, console::ERROR);
        if outcome == Some(Outcome::Conflict) { CONFLICT } else { FAILURE }
    });
    ExitCode::from(code)
}

fn run(command: &StateCommand) -> Result<u8> {
    logging::start_quietly()?;
    let runtime = crate::runtime()?;
    let code = runtime.block_on(async {
        match command {
            StateCommand::Get(args) => single::get(args).await,
            StateCommand::Set(args) => single::set(args).await,
            StateCommand::Delete(args) => single::delete(args).await,
            StateCommand::List(args) => single::list(args).await,
            StateCommand::Export(args) => export::main(args).await,
            StateCommand::Import(args) => import::main(args).await,
            StateCommand::Copy(args) => copy::main(args).await,
        }
    });
    runtime.shutdown_background();
    code
}

/// Whether results are printed as JSON.
fn is_json(command: &StateCommand) -> bool {
    match command {
        StateCommand::Get(it) => it.store.form.json,
        StateCommand::Set(it) => it.store.form.json,
        StateCommand::Delete(it) => it.store.form.json,
        StateCommand::List(it) => it.store.form.json,
        StateCommand::Import(it) => it.store.form.json,
        StateCommand::Copy(it) => it.form.json,
        // Its standard output is the export.
        StateCommand::Export(it) => it.store.form.json && it.file.is_some(),
    }
}
