//! `steadfast rekey`: stored values under the primary key, in the form that the component asks for.
//!
//! `pass` goes through the keys and does it, `report` says what came of it.

use std::{path::PathBuf, process::ExitCode, sync::Arc, time::Duration};

use anyhow::{Context, Result, anyhow, bail};
use clap::Args;
use state::{Error, FailureKind, Feature, Store};
use state_config::Component;
use state_layers::{Cipher, Encryption};

use crate::{
    components, console, encryption, logging, opening, provision::default_folder, verify::progress,
};

mod pass;
mod report;

use pass::{Counts, Pass};

/// Some values are not under the primary key, and are not going to be.
const INCOMPLETE: u8 = 1;
/// The store failed on the way: the same command goes on from there.
const STOPPED: u8 = 2;
/// The command line or the configuration is wrong.
const WRONG_CONFIGURATION: u8 = crate::verify::WRONG_CONFIGURATION;

/// How often it is shown how far it has come.
const SHOW_EVERY: Duration = Duration::from_millis(200);

/// The arguments of `rekey`. Its exit codes are its own.
#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  steadfast rekey --app-id cart --resources-path ./components --dry-run
  steadfast rekey --app-id cart --resources-path ./components --store statestore
  steadfast rekey --app-id cart --from-plaintext       a store that was not encrypted until now

Sidecars may go on reading and writing meanwhile, if all of them have both keys: a value is replaced
only if nobody else has written it since it was read. It may be interrupted, and run again.

Exit codes: 0 if every value is under the primary key, 1 if some are not (with --dry-run: not yet),
2 if the store failed on the way, 3 if something is wrong with the command line or the
configuration.")]
pub(crate) struct RekeyArgs {
    /// The application's id: its keys are gone through, and no others
    #[arg(short = 'a', long)]
    app_id: String,

    /// A folder of component files
    /// [default: ./components if it exists, else ~/.dapr/components]
    #[arg(
        short = 'd',
        long,
        visible_alias = "components-path",
        value_name = "DIR",
        value_delimiter = ','
    )]
    resources_path: Vec<PathBuf>,

    /// The name of the component
    #[arg(long, value_name = "NAME", default_value = "statestore")]
    store: String,

    /// Write nothing, but read everything, and say what is to be done
    #[arg(long)]
    dry_run: bool,

    /// Also take values that are not encrypted at all, and encrypt them. Whatever somebody else has put
    /// into the database is then taken for the application's own
    #[arg(long)]
    from_plaintext: bool,

    /// Print the result as JSON
    #[arg(long)]
    json: bool,
}

pub(crate) fn main(args: &RekeyArgs) -> ExitCode {
    let result = logging::start_for_command()
        .and_then(|()| crate::runtime())
        .and_then(|it| it.block_on(rekey(args)));
    ExitCode::from(result.unwrap_or_else(|e| {
        anstream::eprintln!("{}error:{:#} {e:#}", console::ERROR, console::ERROR);
        match e.downcast_ref::<Error>() {
            Some(e) if !is_mistake(e) => STOPPED,
            Some(_) | None => WRONG_CONFIGURATION,
        }
    }))
}

async fn rekey(args: &RekeyArgs) -> Result<u8> {
    components::check_app_id(&args.app_id)?;
    let (component, encryption) = encrypted_component(args)?;
    let prefix = opening::prefix(&args.app_id, &component);
    let store = open(&component).await?;
    let can = store.capabilities();
    for (is_there, feature) in [(can.list, Feature::List), (can.etag, Feature::ETags)] {
        if !is_there {
            bail!(
                "the state store {} does not support {}, without which values cannot be found and \
                 replaced safely; let the application read and save each of them",
                args.store,
                feature.name()
            );
        }
    }
    let pass = Pass {
        // What is read here is to be written in the right form, whatever sidecars may read.
        cipher: Cipher::new(&component.name, &encryption).lenient(),
        store: store.clone(),
        prefix,
        dry_run: args.dry_run,
        from_plaintext: args.from_plaintext,
        counts: Default::default(),
    };
    let ended = tokio::select! {
        ended = pass.run() => ended,
        () = show(&pass) => unreachable!("it is shown for ever"),
    };
    progress::end();
    store.close().await;
    report::print(args, &pass);
    let counts = pass.counts.into_inner();
    ended.with_context(|| {
        let count = counts.rewritten;
        format!("the store failed; {count} values were rewritten, run it again to go on")
    })?;
    Ok(code(args, &counts))
}

fn code(args: &RekeyArgs, counts: &Counts) -> u8 {
    let is_left = counts.unreadable.count > 0 || counts.plain_left > 0;
    match is_left || (args.dry_run && counts.rewritten > 0) {
        true => INCOMPLETE,
        false => 0,
    }
}

/// The component and its keys.
fn encrypted_component(args: &RekeyArgs) -> Result<(Component, Encryption)> {
    let folders = match args.resources_path.is_empty() {
        true => vec![default_folder()],
        false => args.resources_path.clone(),
    };
    let context = components::context(&args.app_id, true)?;
    let components = components::load(&context, &folders)?.usable;
    let names: Vec<_> = components.iter().map(|it| it.name.clone()).collect();
    let mut found = components.into_iter().filter(|it| it.name == args.store);
    let mut component = found.next().with_context(|| {
        format!(
            "there is no state store {} for the app-id {}; there are: {}",
            args.store,
            args.app_id,
            names.join(", ")
        )
    })?;
    let encryption = encryption::take(&mut component).map_err(|e| anyhow!("{e}"))?;
    let encryption = encryption.with_context(|| {
        format!("the state store {} has no primaryEncryptionKey in its file: add one", args.store)
    })?;
    Ok((component, encryption))
}

async fn open(component: &Component) -> Result<Arc<dyn Store>> {
    let driver = opening::driver(component).map_err(|e| anyhow!("{e}"))?;
    let opening = (driver.open)(component.properties.clone());
    let opened = tokio::time::timeout(component.init_timeout, opening).await;
    let opened = opened.unwrap_or_else(|_| {
        let message = format!("it was not open within {:?}", component.init_timeout);
        Err(Error::new(FailureKind::Unavailable, message))
    });
    opened.with_context(|| format!("the state store {} cannot be opened", component.name))
}

/// Whether nothing but another configuration helps.
fn is_mistake(error: &Error) -> bool {
    match error {
        Error::Conflict(_) => false,
        Error::Failure(it) => {
            matches!(it.kind(), FailureKind::Invalid | FailureKind::Unsupported(_))
        }
    }
}

/// Shows how far it has come, on a terminal, for as long as this is polled.
async fn show(pass: &Pass) {
    loop {
        tokio::time::sleep(SHOW_EVERY).await;
        if crate::verify::is_watched() {
            let counts = pass.counts.lock();
            progress::line(&format!("{} keys, {} rewritten", counts.keys, counts.rewritten));
        }
    }
}
