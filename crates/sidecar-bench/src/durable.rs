//! `durable`: writes per second that are on the disk when they are acknowledged.
//!
//! What the contenders do is in the help of the command; `log` has those that are no database.

use std::{
    fs::File,
    sync::Arc,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use futures::future::{BoxFuture, FutureExt};
use state::{Change, Consistency, Format, Key, Store, Ttl, Write};
use state_config::Properties;
use tempfile::TempDir;
use tokio::{runtime::Runtime, task::JoinSet};

use self::log::Log;
use crate::{
    client::Wire,
    load::{self, CONNECTIONS, Clients, Extent, Outcome, Turns},
    report::{Goal, Report, Row, Table},
    server::Server,
    setup::{self, Setup},
    statistics::{Latencies, median},
    traffic::{self, KEYS, Traffic, VALUE, VALUE_LEN},
};

mod log;

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How long a contender writes in a round
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    seconds: u16,
    /// How many rounds there are
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many writers wait for their writes at the same time
    #[arg(long, default_value_t = CONNECTIONS as u16, value_parser = clap::value_parser!(u16).range(1..))]
    writers: u16,
}

impl Args {
    pub(crate) const SHORT: Args = Args { seconds: 3, rounds: 4, writers: CONNECTIONS as u16 };

    fn time(&self) -> Duration {
        Duration::from_secs(self.seconds.into())
    }
}

const RATE_GOAL: f64 = 0.5;
const TAIL_GOAL: f64 = 4.0;

/// The loop on the bare disk writes hundreds of megabytes a second, and needs no longer to show
/// how many.
const DISK_TIME: Duration = Duration::from_secs(1);

/// What a writer in this process calls: the n-th write.
type Operation = Arc<dyn Fn(usize) -> BoxFuture<'static, anyhow::Result<()>> + Send + Sync>;

#[derive(Default)]
struct Figures {
    per_second: Vec<f64>,
    latencies: Latencies,
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let data = setup.data()?;
    let file_system = setup::file_system(data.path())?;
    if matches!(file_system.as_str(), "tmpfs" | "ramfs") {
        bail!(
            "{} is a {file_system}, which has no disk: name a folder that has one with --dir",
            data.path().display()
        );
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(setup::workers())
        .enable_all()
        .build()?;
    let disk = File::create(data.path().join("disk"))?;
    let log = log_operation(&data)?;
    let store = runtime.block_on(store_operation(&data))?;
    let url = setup::sqlite_url(&data, "sidecar.db");
    let server =
        load::block_on(Server::start(Wire::Http, setup.sidecar(&url)?, "--dapr-http-port"))?;
    let saves = Traffic::usual().strong_saves();
    let http = |extent| {
        load::block_on(async {
            let mut clients =
                Clients::connect(Wire::Http, server.address, args.writers.into()).await?;
            clients.run(&saves, extent).await
        })
    };

    eprintln!("durable: filling two databases on {file_system}");
    together(&runtime, args, &store, Extent::Requests(KEYS))?;
    http(Extent::Requests(KEYS))?;
    let mut figures: [Figures; 4] = Default::default();
    let (time, disk_time) = (Extent::Time(args.time()), args.time().min(DISK_TIME));
    for round in 1..=args.rounds {
        eprintln!("durable: round {round} of {}", args.rounds);
        let [of_disk, of_log, of_store, of_http] = &mut figures;
        of_disk.add(log::bare(&disk, args.writers.into(), disk_time)?);
        of_log.add(together(&runtime, args, &log, time)?);
        of_store.add(together(&runtime, args, &store, time)?);
        of_http.add(http(time)?);
    }
    load::block_on(server.stop())?;
    Ok(Report {
        command: "durable",
        setting: format!(
            "{} rounds of {} s, {} writers, {KEYS} keys of {VALUE_LEN} bytes; {} cores, \
             {file_system}",
            args.rounds,
            args.seconds,
            args.writers,
            setup::cores()
        ),
        tables: vec![Table::of(rows(&figures))],
        goals: goals(&figures),
        problems: Vec::new(),
    })
}

fn rows([disk, log, store, http]: &[Figures; 4]) -> Vec<Row> {
    let contenders = [("disk", disk), ("log", log), ("store", store), ("http", http)];
    let row = |(name, it): (&str, &Figures)| {
        Row::of("what", name)
            .number("writes_per_s", it.rate(), 0)
            .number("p50_ms", it.percentile_ms(50.0), 2)
            .number("p99_ms", it.percentile_ms(99.0), 2)
            .number("rate_to_log", it.rate() / log.rate(), 2)
            .number("p99_to_log", it.percentile_ms(99.0) / log.percentile_ms(99.0), 2)
            .number("rate_to_disk", it.rate() / disk.rate(), 2)
            .number("p99_to_disk", it.percentile_ms(99.0) / disk.percentile_ms(99.0), 2)
    };
    contenders.into_iter().map(row).collect()
}

/// Held against both floors: the one that no writer waits for, and the one of a group commit.
fn goals([disk, log, store, http]: &[Figures; 4]) -> Vec<Goal> {
    let mut goals = Vec::new();
    for (floor_name, floor) in [("log", log), ("disk", disk)] {
        for (name, it) in [("store", store), ("http", http)] {
            let rate = it.rate() / floor.rate();
            let tail = it.percentile_ms(99.0) / floor.percentile_ms(99.0);
            let what = |figure| format!("{name}, {figure} to that of {floor_name},");
            goals.push(Goal::at_least(what("rate"), RATE_GOAL, rate));
            goals.push(Goal::at_most(what("p99"), TAIL_GOAL, tail));
        }
    }
    goals
}

fn log_operation(data: &TempDir) -> anyhow::Result<Operation> {
    let log = Arc::new(Log::create(&data.path().join("log"))?);
    Ok(Arc::new(move |_| {
        let log = log.clone();
        async move { log.append(VALUE.clone()).await }.boxed()
    }))
}

async fn store_operation(data: &TempDir) -> anyhow::Result<Operation> {
    let path = data.path().join("store.db");
    let path = path.to_str().context("the folder's name is not text")?;
    let properties: Properties = [("connectionString", path)].into_iter().collect();
    let driver = state_stores::driver("state.sqlite").context("this program has no SQLite")?;
    let store: Arc<dyn Store> = (driver.open)(properties).await?;
    let write = |n| {
        let key = Key::stored(&traffic::key(n, KEYS));
        let change = Change::Put { value: VALUE.clone(), format: Format::Json, ttl: Ttl::Unsaid };
        Write { consistency: Consistency::Strong, ..Write::new(key, change) }
    };
    let writes: Arc<[Write]> = (0..KEYS).map(write).collect();
    Ok(Arc::new(move |n| {
        let (store, writes) = (store.clone(), writes.clone());
        async move {
            store.write(&writes[n % KEYS]).await?;
            Ok(())
        }
        .boxed()
    }))
}

/// Lets writers in this process write until the extent is reached.
fn together(
    runtime: &Runtime,
    args: &Args,
    operation: &Operation,
    extent: Extent,
) -> anyhow::Result<Outcome> {
    runtime.block_on(async {
        let started = Instant::now();
        let turns = Arc::new(Turns::new(extent, started));
        let writers = (0..args.writers).map(|_| writer(operation.clone(), turns.clone()));
        let mut writers: JoinSet<_> = writers.collect();
        let mut latencies = Latencies::default();
        while let Some(written) = writers.join_next().await {
            latencies.merge(&written??);
        }
        Ok(Outcome { elapsed: started.elapsed(), latencies })
    })
}

async fn writer(operation: Operation, turns: Arc<Turns>) -> anyhow::Result<Latencies> {
    let mut latencies = Latencies::default();
    while let Some(n) = turns.take() {
        let started = Instant::now();
        operation(n).await?;
        latencies.add(started.elapsed());
    }
    Ok(latencies)
}

impl Figures {
    fn add(&mut self, Outcome { elapsed, latencies }: Outcome) {
        self.per_second.push(latencies.len() as f64 / elapsed.as_secs_f64());
        self.latencies.merge(&latencies);
    }

    fn rate(&self) -> f64 {
        median(&self.per_second)
    }

    fn percentile_ms(&self, percent: f64) -> f64 {
        self.latencies.percentile(percent).as_secs_f64() * 1e3
    }
}
