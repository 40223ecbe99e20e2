//! `http`: CPU time per request, next to a bare echo of the same bytes.

use crate::{
    contest::{Args, Contender, Cost, Kind},
    echo,
    load::{self, CONNECTIONS},
    report::{Goal, Report, Row},
    server::Server,
    setup::{self, Setup},
    traffic::{self, KEYS, VALUE_LEN},
};

pub(crate) const SHORT: Args =
    Args { requests: 100_000, rounds: 5, connections: CONNECTIONS as u16 };

const RATIO_GOAL: f64 = 1.35;

/// As long as those of the in-memory store.
const VERSION: &str = "67e55044-10b1-426f-9247-bb680e5fe0c8";

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    load::block_on(async {
        let echo = Server::start(echo::command(VERSION)?, "--port").await?;
        let sidecar = Server::start(setup.sidecar("memory")?, "--dapr-http-port").await?;
        let kinds = compare(args, &echo, &sidecar).await?;
        sidecar.stop()?;
        Ok(report(args, &kinds))
    })
}

async fn compare(args: &Args, echo: &Server, sidecar: &Server) -> anyhow::Result<[Kind; 2]> {
    let mut echo = Contender::connect(echo, args.connections).await?;
    let mut sidecar = Contender::connect(sidecar, args.connections).await?;
    let mut kinds = [Kind::new("save", traffic::saves("")), Kind::new("get", traffic::gets())];
    for kind in &kinds {
        kind.warm_up(&mut echo, &mut sidecar).await?;
    }
    for round in 1..=args.rounds {
        eprintln!("http: round {round} of {}", args.rounds);
        for kind in &mut kinds {
            kind.measure(&mut echo, &mut sidecar, args.extent()).await?;
        }
    }
    Ok(kinds)
}

fn report(args: &Args, kinds: &[Kind]) -> Report {
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for kind in kinds {
        let Kind { name, echo, sidecar, .. } = kind;
        rows.push(row(format!("{name}, echo"), echo, 1.0));
        rows.push(row(format!("{name}, sidecar"), sidecar, kind.cpu_ratio()));
        let what = format!("{name}, CPU of the sidecar to that of the echo,");
        goals.push(Goal::at_most(what, RATIO_GOAL, kind.cpu_ratio()));
    }
    Report {
        command: "http",
        setting: format!(
            "{} rounds of {} requests, {KEYS} keys of {VALUE_LEN} bytes, {} connections; {} \
             workers on {} cores",
            args.rounds,
            args.requests,
            args.connections,
            setup::workers(),
            setup::cores()
        ),
        rows,
        goals,
        problems: Vec::new(),
    }
}

fn row(what: String, cost: &Cost, ratio: f64) -> Row {
    Row::of("what", what)
        .number("cpu_us_per_request", cost.cpu_us(), 1)
        .number("ratio", ratio, 2)
        .number("p50_us", cost.latency_us(50.0), 0)
        .number("p99_us", cost.latency_us(99.0), 0)
}
