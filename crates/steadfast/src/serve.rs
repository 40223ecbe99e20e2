//! `steadfast serve`: the bare sidecar.

use std::{process::ExitCode, time::Instant};

use anyhow::bail;
use sidecar_api::Stop;
use state_config::Component;
use tracing::{error, info, warn};

use crate::{
    FAILURE, access::Access, cli::SidecarArgs, components, launch::Launched, logging,
    signals::Signals,
};

pub(crate) fn main(args: &SidecarArgs, started: Instant) -> anyhow::Result<ExitCode> {
    let app_id = args.app_id.as_deref().unwrap_or_default();
    logging::start(args, app_id, false)?;
    components::check_app_id(app_id)?;
    let access = Access::from_environment()?;
    let components = chosen_components(args, app_id)?;
    let runtime = crate::runtime()?;
    let code = runtime.block_on(async {
        let mut launched = Launched::prepare(args, app_id, components, access)?;
        let mut signals = Signals::ending()?;
        alone(&mut launched, &mut signals, started, || {}).await
    });
    // Nothing that still runs in the background matters: nobody was promised anything by it.
    runtime.shutdown_background();
    code
}

fn chosen_components(args: &SidecarArgs, app_id: &str) -> anyhow::Result<Vec<Component>> {
    let mut components = components::load(app_id, &args.resources_path)?;
    if let Some(url) = &args.state_store {
        components.push(chosen(url.component(), &components)?);
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
        signal = signals.next() => {
            error!("Received signal '{}' again; exiting immediately", signal.name);
            return Ok(ExitCode::from(FAILURE));
        }
    };
    launched.close().await;
    if !finished {
        error!("Graceful shutdown timeout exceeded, forcing shutdown");
        return Ok(ExitCode::from(FAILURE));
    }
    info!("Daprd shutdown gracefully");
    Ok(ExitCode::SUCCESS)
}
