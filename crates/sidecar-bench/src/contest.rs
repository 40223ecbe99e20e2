//! Servers that get the same load in turn, and what each of them needed for it.

use std::time::Duration;

use crate::{
    client::Wire,
    load::{CONNECTIONS, Clients, Extent, Outcome, Requests},
    process::Process,
    server::Server,
    statistics::{Latencies, median, ratio},
};

/// How much load there is.
#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many requests of a kind each server gets in a round
    #[arg(long, default_value = "100000", value_parser = clap::value_parser!(u32).range(1000..))]
    pub(crate) requests: u32,
    /// How many rounds there are
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How many clients there are, each with one request at a time
    #[arg(long, default_value_t = CONNECTIONS as u16, value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) connections: u16,
}

impl Args {
    pub(crate) fn extent(&self) -> Extent {
        Extent::Requests(self.requests as usize)
    }
}

/// A server with connections to it.
#[derive(Debug)]
pub(crate) struct Contender {
    server: Process,
    /// What the server keeps its data in, if that is another process.
    database: Option<Process>,
    clients: Clients,
}

/// What a contender needed for one kind of request. Every figure is for one key, and there is one
/// of each for every round.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    cpu_us: Vec<f64>,
    database_cpu_us: Vec<f64>,
    keys_per_s: Vec<f64>,
    /// Of requests, however many keys they have.
    latencies: Latencies,
}

/// One kind of request, and what it cost two servers.
#[derive(Debug)]
pub(crate) struct Kind {
    pub(crate) name: &'static str,
    requests: Requests,
    pub(crate) echo: Cost,
    pub(crate) sidecar: Cost,
}

impl Contender {
    pub(crate) async fn connect(
        wire: Wire,
        server: &Server,
        connections: u16,
    ) -> anyhow::Result<Contender> {
        let clients = Clients::connect(wire, server.address, connections.into()).await?;
        Ok(Contender { server: server.process(), database: None, clients })
    }

    /// Counts what `database` uses, too.
    pub(crate) fn on(self, database: &Server) -> Contender {
        Contender { database: Some(database.process()), ..self }
    }

    /// Adds the cost of one round.
    pub(crate) async fn measure(
        &mut self,
        requests: &Requests,
        extent: Extent,
        cost: &mut Cost,
    ) -> anyhow::Result<()> {
        let before = self.cpu_times()?;
        let outcome = self.clients.run(requests, extent).await?;
        let after = self.cpu_times()?;
        cost.add([after[0] - before[0], after[1] - before[1]], outcome, requests.keys_each);
        Ok(())
    }

    /// Of the server and of its database.
    fn cpu_times(&self) -> anyhow::Result<[Duration; 2]> {
        let of_database = self.database.map_or(Ok(Duration::ZERO), Process::cpu_time)?;
        Ok([self.server.cpu_time()?, of_database])
    }
}

impl Cost {
    fn add(&mut self, [cpu, database_cpu]: [Duration; 2], outcome: Outcome, keys_each: usize) {
        let keys = (outcome.latencies.len() * keys_each) as f64;
        self.cpu_us.push(cpu.as_secs_f64() * 1e6 / keys);
        self.database_cpu_us.push(database_cpu.as_secs_f64() * 1e6 / keys);
        self.keys_per_s.push(keys / outcome.elapsed.as_secs_f64());
        self.latencies.extend(outcome.latencies);
    }

    pub(crate) fn cpu_us(&self) -> f64 {
        median(&self.cpu_us)
    }

    pub(crate) fn database_cpu_us(&self) -> f64 {
        median(&self.database_cpu_us)
    }

    pub(crate) fn keys_per_s(&self) -> f64 {
        median(&self.keys_per_s)
    }

    pub(crate) fn latency_us(&self, percent: f64) -> f64 {
        self.latencies.percentile(percent).as_secs_f64() * 1e6
    }

    pub(crate) fn cpu_ratio(&self, to: &Cost) -> f64 {
        ratio(&self.cpu_us, &to.cpu_us)
    }

    pub(crate) fn rate_ratio(&self, to: &Cost) -> f64 {
        ratio(&self.keys_per_s, &to.keys_per_s)
    }
}

impl Kind {
    pub(crate) fn new(name: &'static str, requests: Requests) -> Kind {
        Kind { name, requests, echo: Cost::default(), sidecar: Cost::default() }
    }

    /// Sends each request once, which fills a store, and warms both servers up.
    pub(crate) async fn warm_up(
        &self,
        echo: &mut Contender,
        sidecar: &mut Contender,
    ) -> anyhow::Result<()> {
        let extent = Extent::Requests(self.requests.all.len());
        echo.clients.run(&self.requests, extent).await?;
        sidecar.clients.run(&self.requests, extent).await?;
        Ok(())
    }

    /// Adds the costs of one round.
    pub(crate) async fn measure(
        &mut self,
        echo: &mut Contender,
        sidecar: &mut Contender,
        extent: Extent,
    ) -> anyhow::Result<()> {
        echo.measure(&self.requests, extent, &mut self.echo).await?;
        sidecar.measure(&self.requests, extent, &mut self.sidecar).await
    }

    pub(crate) fn cpu_ratio(&self) -> f64 {
        self.sidecar.cpu_ratio(&self.echo)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cost_is_for_one_key_and_a_latency_for_one_request() {
        let ms = Duration::from_millis;
        let mut cost = Cost::default();
        for cpu in [ms(40), ms(20), ms(60)] {
            let outcome =
                Outcome { elapsed: ms(500), latencies: [ms(1); 100].into_iter().collect() };
            cost.add([cpu, ms(10)], outcome, 20);
        }
        assert_eq!((cost.cpu_us(), cost.database_cpu_us()), (20.0, 5.0));
        assert_eq!((cost.keys_per_s(), cost.latency_us(50.0)), (4000.0, 1000.0));
    }
}
