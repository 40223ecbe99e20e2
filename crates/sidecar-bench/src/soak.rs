//! `soak`: whether a sidecar stays the same for hours, while its store is killed now and then.

use std::{
    cell::RefCell,
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::Context;
use futures::future::{join_all, join3};
use real_servers::redis::{Options, Redis};
use tokio::time::sleep_until;

use self::{record::Record, watch::Sample};
use crate::{
    client::{Client, Wire},
    load::{self, Clients, Extent},
    pace::Pace,
    report::{Goal, Report, Row, Table},
    server::{self, Server},
    setup::{self, Setup},
    traffic::{Requests, Traffic},
};

mod record;
mod watch;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long it goes on, in minutes
    #[arg(long, default_value = "120", value_parser = clap::value_parser!(u16).range(6..))]
    minutes: u16,
    /// Requests per second [default: half of what 32 clients get through in 10 seconds before]
    #[arg(long, value_parser = clap::value_parser!(u32).range(32..))]
    rate: Option<u32>,
}

/// What is looked at one after the other. The first warms up, and in the middle of each the store is killed.
const WINDOWS: u32 = 12;

const CLIENTS: usize = 32;

const PEAK_TIME: Duration = Duration::from_secs(10);

/// How long the store stays away.
const ABSENCE: Duration = Duration::from_secs(1);

/// How long after its return a request may still fail.
const RECOVERY_MAX: Duration = Duration::from_secs(10);

const RECOVERY_GOAL_MS: f64 = 1000.0;
const SLOPE_MAX_MIB_PER_HOUR: f64 = 1.0;
const TAIL_RATIO_GOAL: f64 = 1.1;

/// Which share of the requests has to be sent before the end, or the load was not what it is called.
const SENT_MIN: f64 = 0.99;

/// How many more files or tasks there may be in the end: connections that are being replaced.
const SPREAD_MAX: f64 = 4.0;

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    load::block_on(async {
        let data = setup.data()?;
        let redis = Redis::start_in(data.path(), &Options::default().durable()).await?;
        let mut command = setup.sidecar(&format!("redis://{}", redis.address()))?;
        let metrics = server::free_address()?;
        command.args(["--metrics-port", &metrics.port().to_string()]);
        let sidecar = Server::start(Wire::Http, command, "--dapr-http-port").await?;
        let requests = Traffic::usual().everyday();
        let peak = peak(&sidecar, &requests).await?;
        let rate = args.rate.map_or(peak / 2.0, f64::from);
        eprintln!(
            "soak: {peak:.0} requests per second at most, {rate:.0} for {} minutes",
            args.minutes
        );
        let window = Duration::from_secs(u64::from(args.minutes) * 60) / WINDOWS;
        let pace = Pace { started: Instant::now(), rate, time: window * WINDOWS };
        let record = RefCell::new(Record::new(pace.started, window));
        let clients = (0..CLIENTS).map(|it| client(sidecar.address, it, &pace, &requests, &record));
        let (clients, samples, restarted) = join3(
            join_all(clients),
            watch::watch(sidecar.process(), metrics, &pace),
            restarts(&redis, window, &record),
        )
        .await;
        clients.into_iter().collect::<anyhow::Result<Vec<()>>>()?;
        let samples = samples?;
        sidecar.stop().await?;
        restarted?;
        Ok(report(args, peak, &pace, &record.into_inner(), &samples))
    })
}

/// How many requests per second there are at most, each client sending as soon as it may.
async fn peak(sidecar: &Server, requests: &Requests) -> anyhow::Result<f64> {
    let mut clients = Clients::connect(Wire::Http, sidecar.address, CLIENTS).await?;
    clients.run(requests, Extent::Requests(requests.len())).await?;
    let outcome = clients.run(requests, Extent::Time(PEAK_TIME)).await?;
    Ok(outcome.latencies.len() as f64 / outcome.elapsed.as_secs_f64())
}

/// Sends what is due, when it is due or as soon as the answer before it is there.
async fn client(
    address: SocketAddr,
    index: usize,
    pace: &Pace,
    requests: &Requests,
    record: &RefCell<Record>,
) -> anyhow::Result<()> {
    let mut connection = None;
    let mut turn = index;
    while let Some(due) = pace.due(turn).filter(|_| !pace.is_over()) {
        sleep_until(due.into()).await;
        // A client that was free is only woken late; one that was not has kept the request waiting.
        let client = match &mut connection {
            Some(it) => it,
            None => connection.insert(
                Client::connect(Wire::Http, address, 1)
                    .await?
                    .pop()
                    .context("there is no client")?,
            ),
        };
        let request = requests.get(turn);
        let answer = client.exchange(&request, requests.good).await;
        if answer.is_err() {
            connection = None;
        }
        record.borrow_mut().add(due, Instant::now(), answer);
        turn += CLIENTS;
    }
    Ok(())
}

/// Kills the store in the middle of each window, and starts it again in the same place.
async fn restarts(redis: &Redis, window: Duration, record: &RefCell<Record>) -> anyhow::Result<()> {
    let started = record.borrow().started;
    for it in 0..WINDOWS {
        sleep_until((started + window * it + window / 2).into()).await;
        record.borrow_mut().store_is_away();
        redis.process().kill()?;
        tokio::time::sleep(ABSENCE).await;
        redis.process().restart().await?;
        record.borrow_mut().store_is_back();
    }
    Ok(())
}

fn report(args: &Args, peak: f64, pace: &Pace, record: &Record, samples: &[Sample]) -> Report {
    let window = record.window;
    let of = |it: usize| {
        let end = window * (it as u32 + 1);
        samples.iter().filter(move |sample| sample.at < end && sample.at + window >= end)
    };
    let median = |it: usize, what: fn(&Sample) -> f64| {
        let values: Vec<f64> = of(it).map(what).collect();
        if values.is_empty() { f64::NAN } else { crate::statistics::median(&values) }
    };
    let windows = WINDOWS as usize;
    let rows = (0..windows).map(|it| {
        let found = &record.windows[it];
        Row::of("minutes", format!("until {:.1}", (window * (it as u32 + 1)).as_secs_f64() / 60.0))
            .number("requests", found.answered() as f64, 0)
            .number("failed", found.failed as f64, 0)
            .number("p50_ms", found.percentile_ms(50.0), 2)
            .number("p99_ms", found.percentile_ms(99.0), 2)
            .number("resident_mib", median(it, |it| it.resident_mib), 2)
            .number("files", median(it, |it| it.files), 0)
            .number("tasks", median(it, |it| it.tasks), 0)
    });
    let warm: Vec<&Sample> = samples.iter().filter(|it| it.at >= window).collect();
    let slope = watch::slope_mib_per_hour(&warm);
    let p99 = |it: usize| record.windows[it].percentile_ms(99.0);
    let goals = vec![
        Goal::at_most(
            "resident memory, MiB per hour after the first window,",
            SLOPE_MAX_MIB_PER_HOUR,
            slope,
        ),
        Goal::at_most(
            "requests that fail after the store is back, ms,",
            RECOVERY_GOAL_MS,
            record.recovery_ms,
        ),
        Goal::at_most(
            "p99 of the last window to that of the first,",
            TAIL_RATIO_GOAL,
            p99(windows - 1) / p99(0),
        ),
    ];
    let mut problems = Vec::new();
    if slope >= SLOPE_MAX_MIB_PER_HOUR {
        problems.push(format!("resident memory grew by {slope:.2} MiB per hour"));
    }
    for (what, of_sample) in
        [("files", (|it| it.files) as fn(&Sample) -> f64), ("tasks", |it| it.tasks)]
    {
        let (first, last) = (median(1, of_sample), median(windows - 1, of_sample));
        let growth = last - first;
        if growth.is_nan() || growth > SPREAD_MAX {
            problems.push(format!("{what} went from {first} to {last}"));
        }
    }
    problems.extend(record.problem.clone());
    let (sent, planned) = (record.requests(), pace.turns());
    if (sent as f64) < planned as f64 * SENT_MIN {
        problems.push(format!("only {sent} of {planned} requests were sent"));
    }
    Report {
        command: "soak",
        setting: format!(
            "{} minutes, {:.0} requests per second of {CLIENTS} clients, where {peak:.0} are the most; Redis \
             flushes every write and is killed every {:.1} minutes; {} workers on {} cores",
            args.minutes,
            pace.rate,
            window.as_secs_f64() / 60.0,
            setup::workers(),
            setup::cores()
        ),
        tables: vec![Table::of(rows)],
        goals,
        problems,
    }
}
