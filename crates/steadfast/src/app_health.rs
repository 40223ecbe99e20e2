//! Whether the application is well, by its own word.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use http_body_util::Empty;
use hyper::{Request, body::Bytes, client::conn::http1};
use hyper_util::rt::TokioIo;
use sidecar_api::{AppHealth, Sidecar};
use tokio::net::TcpStream;
use tracing::{debug, info, warn};

use crate::cli::DaprdArgs;

/// Source of the defaults: Dapr's flags.
const PATH: &str = "/healthz";
const INTERVAL: Duration = Duration::from_secs(5);
const TIMEOUT: Duration = Duration::from_millis(500);
const THRESHOLD: u32 = 3;

/// How the flags have the application asked; `None` if not at all.
///
/// # Errors
///
/// If it may take longer to answer than the next question is away.
pub(crate) fn of(args: &DaprdArgs) -> anyhow::Result<Option<AppHealth>> {
    if !args.enable_app_health_check {
        return Ok(None);
    }
    let positive = |it: i32| u32::try_from(it).ok().filter(|it| *it > 0);
    let interval = positive(args.app_health_probe_interval);
    let interval = interval.map_or(INTERVAL, |it| Duration::from_secs(it.into()));
    let timeout = positive(args.app_health_probe_timeout);
    let timeout = timeout.map_or(TIMEOUT, |it| Duration::from_millis(it.into()));
    if timeout > interval {
        bail!("--app-health-probe-timeout is longer than --app-health-probe-interval");
    }
    let path = args.app_health_check_path.as_str();
    let path = if path.is_empty() { PATH } else { path };
    let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
    let threshold = positive(args.app_health_threshold).unwrap_or(THRESHOLD);
    Ok(Some(AppHealth { path, interval, timeout, threshold }))
}

/// Asks the application for as long as the sidecar lives. It counts as unhealthy until it has said that it is well.
pub(crate) async fn follow(sidecar: Arc<Sidecar>, port: u16, how: AppHealth) {
    let app = &sidecar.identity.app;
    if app.protocol != "http" && app.protocol != "h2c" {
        warn!("the health of an application that speaks {} is not asked for", app.protocol);
        return;
    }
    let mut failures = how.threshold;
    loop {
        let asking = ask(&app.address, port, &how.path);
        let answer = tokio::time::timeout(how.timeout, asking).await;
        let was_well = failures < how.threshold;
        match answer.unwrap_or_else(|_| Err(anyhow::anyhow!("no answer within {:?}", how.timeout)))
        {
            Ok(()) => failures = 0,
            Err(e) => {
                debug!(error = format!("{e:#}"), "the application does not say that it is well");
                failures = failures.saturating_add(1).min(how.threshold);
            }
        }
        let is_well = failures < how.threshold;
        if is_well != was_well {
            info!("App entered {} status", if is_well { "healthy" } else { "unhealthy" });
            sidecar.set_app_health(is_well);
        }
        tokio::time::sleep(how.interval).await;
    }
}

/// Asks for a path once. Any status of 2xx is good. Source: Dapr's probe.
pub(crate) async fn ask(address: &str, port: u16, path: &str) -> anyhow::Result<()> {
    let stream = TcpStream::connect((address, port)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    // Ends with the sender.
    tokio::spawn(async move {
        if let Err(e) = connection.await {
            debug!(error = %e, "a connection that asked for health was closed");
        }
    });
    let request = Request::get(path).header("host", format!("{address}:{port}"));
    let response = sender.send_request(request.body(Empty::<Bytes>::new())?).await?;
    if !response.status().is_success() {
        bail!("it answered {}", response.status());
    }
    Ok(())
}
