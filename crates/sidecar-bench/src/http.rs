//! `http`: CPU time per request, next to a bare echo of the same bytes.

use std::process::Command;

use crate::{
    load::{self, CONNECTIONS, Clients, Extent, Requests},
    report::{Goal, Report, Row},
    server::Server,
    setup::{self, Setup},
    statistics::{Latencies, median},
    traffic::{self, KEYS, VALUE_LEN},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many requests of a kind each server gets in a round
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(1000..))]
    requests: u32,
    /// How many rounds there are
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// How many connections there are
    #[arg(long, default_value_t = CONNECTIONS as u16, value_parser = clap::value_parser!(u16).range(1..))]
    connections: u16,
}

impl Args {
    pub(crate) const SHORT: Args =
        Args { requests: 100_000, rounds: 5, connections: CONNECTIONS as u16 };
}

const RATIO_GOAL: f64 = 1.35;

/// A server with the connections to it.
struct Contender {
    server: Server,
    clients: Clients,
}

/// What one server needed for one kind of request.
#[derive(Default)]
struct Cost {
    cpu_us: Vec<f64>,
    latencies: Latencies,
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    load::block_on(compare(args, setup))
}

async fn compare(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let mut echo_command = Command::new(setup::own_program()?);
    echo_command.arg("echo");
    let mut echo = Contender::start(echo_command, "--port", args).await?;
    let sidecar = setup.sidecar("memory")?;
    let mut sidecar = Contender::start(sidecar, "--dapr-http-port", args).await?;
    let kinds = [("save", traffic::saves(false)), ("get", traffic::gets())];
    // Fills the store, and warms both up.
    for (_, requests) in &kinds {
        echo.clients.run(requests, Extent::Requests(KEYS)).await?;
        sidecar.clients.run(requests, Extent::Requests(KEYS)).await?;
    }
    let mut costs: [[Cost; 2]; 2] = Default::default();
    for round in 1..=args.rounds {
        eprintln!("http: round {round} of {}", args.rounds);
        for ((_, requests), [of_echo, of_sidecar]) in kinds.iter().zip(&mut costs) {
            echo.measure(requests, args, of_echo).await?;
            sidecar.measure(requests, args, of_sidecar).await?;
        }
    }
    sidecar.stop()?;
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for ((kind, _), [of_echo, of_sidecar]) in kinds.iter().zip(&costs) {
        let rounds = of_sidecar.cpu_us.iter().zip(&of_echo.cpu_us);
        let ratios: Vec<f64> = rounds.map(|(sidecar, echo)| sidecar / echo).collect();
        rows.push(of_echo.row(format!("{kind}, echo"), 1.0));
        rows.push(of_sidecar.row(format!("{kind}, sidecar"), median(&ratios)));
        let what = format!("{kind}, CPU of the sidecar to that of the echo,");
        goals.push(Goal::at_most(what, RATIO_GOAL, median(&ratios)));
    }
    Ok(Report {
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
    })
}

impl Contender {
    async fn start(command: Command, port_flag: &str, args: &Args) -> anyhow::Result<Contender> {
        let server = Server::start(command, port_flag).await?;
        let clients = Clients::connect(server.address, args.connections.into()).await?;
        Ok(Contender { server, clients })
    }

    /// Adds the cost of one round.
    async fn measure(
        &mut self,
        requests: &Requests,
        args: &Args,
        cost: &mut Cost,
    ) -> anyhow::Result<()> {
        let before = self.server.process().cpu_time()?;
        let outcome = self.clients.run(requests, Extent::Requests(args.requests as usize)).await?;
        let used = self.server.process().cpu_time()? - before;
        cost.cpu_us.push(used.as_secs_f64() * 1e6 / f64::from(args.requests));
        cost.latencies.extend(outcome.latencies);
        Ok(())
    }

    fn stop(self) -> anyhow::Result<()> {
        drop(self.clients);
        self.server.stop()
    }
}

impl Cost {
    fn row(&self, what: String, ratio: f64) -> Row {
        let latency_us = |percent| self.latencies.percentile(percent).as_secs_f64() * 1e6;
        Row::of("what", what)
            .number("cpu_us_per_request", median(&self.cpu_us), 1)
            .number("ratio", ratio, 2)
            .number("p50_us", latency_us(50.0), 0)
            .number("p99_us", latency_us(99.0), 0)
    }
}
