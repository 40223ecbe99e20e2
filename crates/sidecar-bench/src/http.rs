//! `http` and `grpc`: CPU time per request, next to a bare echo of the same bytes.

use crate::{
    client::Wire,
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

pub(crate) fn run(wire: Wire, args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let port_flag = match wire {
        Wire::Http => "--dapr-http-port",
        Wire::Grpc => "--dapr-grpc-port",
    };
    load::block_on(async {
        let echo = Server::start(wire, echo::command(wire, VERSION)?, "--port").await?;
        let sidecar = Server::start(wire, setup.sidecar("memory")?, port_flag).await?;
        let kinds = compare(wire, args, &echo, &sidecar).await?;
        sidecar.stop().await?;
        Ok(report(wire, args, &kinds))
    })
}

async fn compare(
    wire: Wire,
    args: &Args,
    echo: &Server,
    sidecar: &Server,
) -> anyhow::Result<[Kind; 2]> {
    let mut echo = Contender::connect(wire, echo, args.connections).await?;
    let mut sidecar = Contender::connect(wire, sidecar, args.connections).await?;
    let (saves, gets) = match wire {
        Wire::Http => (traffic::saves(""), traffic::gets()),
        Wire::Grpc => (traffic::grpc_saves(), traffic::grpc_gets()),
    };
    let mut kinds = [Kind::new("save", saves), Kind::new("get", gets)];
    for kind in &kinds {
        kind.warm_up(&mut echo, &mut sidecar).await?;
    }
    for round in 1..=args.rounds {
        eprintln!("{}: round {round} of {}", name(wire), args.rounds);
        for kind in &mut kinds {
            kind.measure(&mut echo, &mut sidecar, args.extent()).await?;
        }
    }
    Ok(kinds)
}

fn name(wire: Wire) -> &'static str {
    match wire {
        Wire::Http => "http",
        Wire::Grpc => "grpc",
    }
}

fn report(wire: Wire, args: &Args, kinds: &[Kind]) -> Report {
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for kind in kinds {
        let Kind { name, echo, sidecar, .. } = kind;
        rows.push(row(format!("{name}, echo"), echo, 1.0));
        rows.push(row(format!("{name}, sidecar"), sidecar, kind.cpu_ratio()));
        let what = format!("{name}, CPU of the sidecar to that of the echo,");
        goals.push(Goal::at_most(what, RATIO_GOAL, kind.cpu_ratio()));
    }
    Report {
        command: name(wire),
        setting: format!(
            "{} rounds of {} requests, {KEYS} keys of {VALUE_LEN} bytes, {} clients; {} \
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
