//! What the sidecar's process holds, every few seconds.

use std::{net::SocketAddr, time::Duration};

use anyhow::Context;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::sleep_until,
};

use crate::{pace::Pace, process::Process};

const EVERY: Duration = Duration::from_secs(10);

const MIB: f64 = 1024.0 * 1024.0;

#[derive(Clone, Copy, Debug)]
pub(super) struct Sample {
    /// Since the start.
    pub(super) at: Duration,
    pub(super) resident_mib: f64,
    /// Open file descriptors.
    pub(super) files: f64,
    /// Of the runtime, not threads.
    pub(super) tasks: f64,
}

/// Takes samples until the end.
pub(super) async fn watch(
    sidecar: Process,
    metrics: SocketAddr,
    pace: &Pace,
) -> anyhow::Result<Vec<Sample>> {
    let mut samples = Vec::new();
    let mut at = EVERY;
    while at < pace.time {
        sleep_until((pace.started + at).into()).await;
        let text = scrape(metrics).await.context("cannot read the sidecar's metrics")?;
        samples.push(Sample {
            at,
            resident_mib: sidecar.resident_bytes()? as f64 / MIB,
            files: value(&text, "process_open_fds")?,
            tasks: value(&text, "steadfast_tasks")?,
        });
        if let Some(Sample { resident_mib, files, tasks, .. }) =
            samples.last().filter(|_| at.as_secs().is_multiple_of(60))
        {
            let minutes = at.as_secs() / 60;
            eprintln!(
                "soak: {minutes} minutes: {resident_mib:.2} MiB, {files} files, {tasks} tasks"
            );
        }
        at += EVERY;
    }
    Ok(samples)
}

async fn scrape(metrics: SocketAddr) -> anyhow::Result<String> {
    let mut stream = TcpStream::connect(metrics).await?;
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
        .await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// Of a metric that there is once.
fn value(text: &str, name: &str) -> anyhow::Result<f64> {
    let line =
        text.lines().find_map(|it| it.strip_prefix(name).filter(|it| it.starts_with(['{', ' '])));
    let number = line.and_then(|it| it.rsplit(' ').next()?.parse().ok());
    number.with_context(|| format!("there is no {name} among the metrics"))
}

/// How fast the resident memory grows: the slope of the line with the least squares.
pub(super) fn slope_mib_per_hour(samples: &[&Sample]) -> f64 {
    let hours = |it: &Sample| it.at.as_secs_f64() / 3600.0;
    let mean = |of: &dyn Fn(&Sample) -> f64| {
        samples.iter().map(|it| of(it)).sum::<f64>() / samples.len() as f64
    };
    let (at, resident) = (mean(&hours), mean(&|it| it.resident_mib));
    let together = mean(&|it| (hours(it) - at) * (it.resident_mib - resident));
    together / mean(&|it| (hours(it) - at).powi(2))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slope_is_that_of_the_line_through_the_samples() {
        let sample = |minutes: u64, resident_mib| Sample {
            at: Duration::from_secs(60 * minutes),
            resident_mib,
            files: 0.0,
            tasks: 0.0,
        };
        let grows = [sample(0, 20.0), sample(30, 21.5), sample(60, 22.0), sample(90, 23.5)];
        let slope = slope_mib_per_hour(&grows.each_ref());
        assert!((slope - 2.2).abs() < 0.01, "{slope}");
        let stays = [sample(0, 20.0), sample(30, 20.0)];
        assert_eq!(slope_mib_per_hour(&stays.each_ref()), 0.0);
    }

    #[test]
    fn a_metric_is_found_by_its_whole_name() {
        let text =
            "process_open_fds_max 9\nprocess_open_fds 7\nsteadfast_tasks{app_id=\"a b\"} 3\n";
        assert_eq!(value(text, "process_open_fds").unwrap(), 7.0);
        assert_eq!(value(text, "steadfast_tasks").unwrap(), 3.0);
        assert!(value(text, "steadfast").is_err());
    }
}
