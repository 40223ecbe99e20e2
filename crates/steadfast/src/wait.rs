//! `--wait`: for scripts that start an application when its sidecar is ready.

use std::{
    process::ExitCode,
    time::{Duration, Instant},
};

use crate::{FAILURE, app_health, cli::SidecarArgs, launch};

/// Source of the figures: Dapr's flag.
const PATIENCE: Duration = Duration::from_secs(60);
const PAUSE: Duration = Duration::from_millis(100);
const ANSWER_MAX: Duration = Duration::from_millis(500);

/// Waits for the sidecar on the port that is named.
///
/// Differs from Dapr: which exits with 0 if the sidecar does not become ready either.
pub(crate) async fn main(args: &SidecarArgs) -> anyhow::Result<ExitCode> {
    let port = args.dapr_http_port.and_then(|it| it.0).unwrap_or(launch::HTTP_PORT);
    let deadline = Instant::now() + PATIENCE;
    loop {
        let asking = app_health::ask("localhost", port, "/v1.0/healthz/outbound");
        let problem = match tokio::time::timeout(ANSWER_MAX, asking).await {
            Ok(Ok(())) => return Ok(ExitCode::SUCCESS),
            Ok(Err(e)) => format!("{e:#}"),
            Err(_) => format!("no answer within {ANSWER_MAX:?}"),
        };
        if Instant::now() >= deadline {
            anstream::eprintln!(
                "the sidecar on port {port} is not ready after {PATIENCE:?}: {problem}"
            );
            return Ok(ExitCode::from(FAILURE));
        }
        tokio::time::sleep(PAUSE).await;
    }
}
