//! `steadfast serve`: the bare sidecar.

use std::{process::ExitCode, time::Instant};

use anyhow::bail;
use sidecar_api::Stop;
use state_config::{Component, Context};
use tracing::{error, info, warn};

use crate::{
    FAILURE,
    access::Access,
    cli::SidecarArgs,
    components::{self, Components},
    configuration, hardening,
    launch::{Described, Launched},
    logging,
    reload::Sources,
    signals::Signals,
    wait,
};

pub(crate) fn main(args: &SidecarArgs, started: Instant) -> anyhow::Result<ExitCode> {
    if args.daprd.build_info {
        anstream::println!(
            "Version: {}\nTarget: {}",
            env!("CARGO_PKG_VERSION"),
            std::env::consts::ARCH
        );
        return Ok(ExitCode::SUCCESS);
    }
    if args.daprd.wait {
        return crate::runtime()?.block_on(wait::main(args));
    }
    let app_id = args.app_id.as_deref().unwrap_or_default();
    logging::start(args, app_id, false)?;
    hardening::apply();
    components::check_app_id(app_id)?;
    let access = Access::from_environment()?;
    let files = args.config_files();
    let context = components::context(app_id, !args.disable_builtin_k8s_secret_store)?;
    let configuration = configuration::load(&context, &files)?;
    let components = chosen_components(args, &components::configured(&context, &configuration))?;
    let folders = args.resources_path.clone();
    let described = Described {
        sources: Sources { context, folders, files },
        configuration,
        components,
        obeys_hangup: true,
    };
    let runtime = crate::runtime()?;
    let code = runtime.block_on(async {
        let mut launched = Launched::prepare(args, described, access)?;
        let mut signals = Signals::of_daprd()?;
        alone(&mut launched, &mut signals, started, || {}).await
    });
    // Nothing that still runs in the background matters: nobody was promised anything by it.
    runtime.shutdown_background();
    code
}

fn chosen_components(args: &SidecarArgs, context: &Context) -> anyhow::Result<Components> {
    let mut components = components::load(context, &args.resources_path)?;
    if let Some(url) = &args.state_store {
        components.usable.push(chosen(url.component(), &components.usable)?);
    }
    Ok(components)
}

/// The store of `--state-store`, unless a file has one of the same name.
pub(crate) fn chosen(component: Component, others: &[Component]) -> anyhow::Result<Component> {
    if let Some(other) = others.iter().find(|it| it.name == component.name) {
        bail!(
            "--state-store and {}:{} both define the store {}: leave one of them out",
            other.source.file.display(),
            other.source.line,
            other.name
        );
    }
    Ok(component)
}

/// Says that the sidecar runs, in words that tools look for. Source: Dapr's log.
pub(crate) fn say_initialized(started: Instant) {
    info!("dapr initialized. Status: Running. Init Elapsed {}ms", started.elapsed().as_millis());
}

/// Runs a sidecar with no application of ours, until a signal or a request ends it.
pub(crate) async fn alone(
    launched: &mut Launched,
    signals: &mut Signals,
    started: Instant,
    ready: impl FnOnce(),
) -> anyhow::Result<ExitCode> {
    let mut server = tokio::spawn(launched.serve()?);
    launched.open().await?;
    say_initialized(started);
    ready();
    let sidecar = launched.sidecar.clone();
    let stop = tokio::select! {
        stop = sidecar.stopped() => stop,
        signal = signals.next() => {
            info!("Received signal '{}'; beginning shutdown", signal.name);
            if let Some(duration) = launched.block_shutdown {
                info!("Blocking graceful shutdown for {duration:?} or until app reports unhealthy...");
                tokio::select! {
                    () = tokio::time::sleep(duration) => info!("Block shutdown period expired, entering shutdown..."),
                    () = sidecar.app_unwell() => info!("App reported unhealthy, entering shutdown..."),
                    signal = signals.next() => return Ok(at_once(signal.name)),
                }
            }
            sidecar.stop(Stop::Gracefully);
            Stop::Gracefully
        }
    };
    if stop == Stop::AtOnce {
        warn!("Force shutdown requested, exiting immediately without graceful shutdown");
        // The one who asked is to get the answer. Source: Dapr waits as long.
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        return Ok(ExitCode::from(FAILURE));
    }
    let finished = tokio::select! {
        finished = &mut server => finished.unwrap_or(false),
        signal = signals.next() => return Ok(at_once(signal.name)),
    };
    launched.close().await;
    if !finished {
        error!("Graceful shutdown timeout exceeded, forcing shutdown");
        return Ok(ExitCode::from(FAILURE));
    }
    info!("Daprd shutdown gracefully");
    Ok(ExitCode::SUCCESS)
}

fn at_once(signal: &str) -> ExitCode {
    error!("Received signal '{signal}' again; exiting immediately");
    ExitCode::from(FAILURE)
}
