//! Servers that get the same load in turn, and what each of them needed for it.

use std::{path::Path, time::Duration};

use anyhow::Context;

use crate::{
    client::Wire,
    contender::{Contender, Program},
    database::{Database, Store},
    load::{Clients, Extent, Outcome},
    operation::Operation,
    process::Process,
    statistics::{ratio, ratios},
    traffic::Traffic,
};

/// How long an open loop goes on in a round.
const OPEN_TIME: Duration = Duration::from_millis(400);

/// How much of what the slowest contender gets through an open loop asks for, unless the rate is given.
const OPEN_SHARE: f64 = 0.5;

/// What is compared. All combinations are.
#[derive(Clone, Debug)]
pub(crate) struct Plan {
    pub(crate) programs: Vec<Program>,
    pub(crate) stores: Vec<Store>,
    pub(crate) wires: Vec<Wire>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) connections: Vec<u16>,
    pub(crate) value_bytes: Vec<usize>,
    pub(crate) keys: usize,
    /// Of a bulk get.
    pub(crate) bulk_len: usize,
    /// Requests of a kind that each contender gets in a round.
    pub(crate) requests: usize,
    pub(crate) rounds: u16,
    pub(crate) open_loop: OpenLoop,
    /// How often each program is started on each store, besides the one time for the load.
    pub(crate) starts: u16,
    /// How many cores a server may use; all if not said.
    pub(crate) cores: Option<usize>,
}

/// Whether there is a second load, whose requests are due whether answers come or not.
#[derive(Clone, Copy, Debug)]
pub(crate) enum OpenLoop {
    None,
    /// Half of what the slowest contender gets through in the closed loop of the same round.
    Half,
    /// So many per second.
    Rate(f64),
}

/// What was found.
#[derive(Debug, Default)]
pub(crate) struct Found {
    pub(crate) cells: Vec<Cell>,
    pub(crate) footprints: Vec<Footprint>,
}

/// One combination, and what it cost each contender, in the order of the programs.
#[derive(Debug)]
pub(crate) struct Cell {
    pub(crate) store: Store,
    pub(crate) wire: Wire,
    pub(crate) operation: Operation,
    pub(crate) connections: u16,
    pub(crate) value_bytes: usize,
    /// How many keys each request has.
    pub(crate) keys_each: usize,
    pub(crate) costs: Vec<(Program, Cost)>,
}

/// What a contender needed for one kind of request. Every figure is for one request, and there is one
/// of each for every round.
#[derive(Debug, Default)]
pub(crate) struct Cost {
    pub(crate) cpu_us: Vec<f64>,
    pub(crate) database_cpu_us: Vec<f64>,
    /// How often the database has read from its connections; none if it does not tell.
    pub(crate) database_reads: Vec<f64>,
    /// In the closed loop.
    pub(crate) per_s: Vec<f64>,
    /// What the open loop asked for; none if there was no open loop.
    pub(crate) offered_per_s: Vec<f64>,
    /// Of the open loop, from when a request was due. Of the closed loop if there was no other.
    pub(crate) p50_us: Vec<f64>,
    pub(crate) p99_us: Vec<f64>,
    pub(crate) p999_us: Vec<f64>,
}

/// What a program takes without doing anything in particular.
#[derive(Debug)]
pub(crate) struct Footprint {
    pub(crate) store: Store,
    pub(crate) program: Program,
    pub(crate) start_ms: Vec<f64>,
    pub(crate) idle_mb: f64,
    /// After all loads. With the in-memory store it includes what is kept there.
    pub(crate) loaded_mb: f64,
    pub(crate) file_mb: Option<f64>,
}

impl Plan {
    /// Measures all combinations. A store whose program is not installed is left out.
    pub(crate) async fn run(&self, data: &Path) -> anyhow::Result<Found> {
        let mut found = Found::default();
        for store in &self.stores {
            let Some(database) = Database::start(*store, data).await? else { continue };
            self.run_on(&database, data, &mut found)
                .await
                .with_context(|| format!("on {store}"))?;
        }
        Ok(found)
    }

    async fn run_on(
        &self,
        database: &Database,
        data: &Path,
        found: &mut Found,
    ) -> anyhow::Result<()> {
        let sidecars = || self.programs.iter().filter(|it| **it != Program::Echo);
        let mut start_ms = vec![Vec::new(); sidecars().count()];
        for _ in 0..self.starts {
            for (program, start_ms) in sidecars().zip(&mut start_ms) {
                let contender = Contender::start(program, database, data, self.cores).await?;
                start_ms.push(contender.start_ms());
                contender.stop().await?;
            }
        }
        let mut contenders = Vec::new();
        let mut footprints = Vec::new();
        for (program, mut start_ms) in sidecars().zip(start_ms) {
            let contender = Contender::start(program, database, data, self.cores).await?;
            start_ms.push(contender.start_ms());
            footprints.push(Footprint {
                store: database.store,
                program: program.clone(),
                start_ms,
                idle_mb: contender.process().resident_bytes()? as f64 / 1e6,
                loaded_mb: 0.0,
                file_mb: program.file_mb()?,
            });
            contenders.push(contender);
        }
        for value_bytes in &self.value_bytes {
            let traffic = Traffic::new(Wire::Http, self.keys, *value_bytes, self.bulk_len);
            eprintln!("{}: {} keys of {value_bytes} bytes are saved", database.store, traffic.keys);
            for contender in &contenders {
                contender.fill(&traffic).await?;
            }
            // It answers with an ETag as long as those of the store.
            let mut echoes = Vec::new();
            if self.programs.contains(&Program::Echo) {
                let etag = etag(&contenders, &traffic).await?;
                echoes.push(Contender::echo(&traffic, &etag, self.cores).await?);
            }
            let all: Vec<&Contender> = echoes.iter().chain(&contenders).collect();
            for wire in &self.wires {
                let traffic = Traffic { wire: *wire, ..traffic.clone() };
                found.cells.extend(self.compare(database, &all, &traffic).await?);
            }
        }
        for (contender, footprint) in contenders.into_iter().zip(&mut footprints) {
            footprint.loaded_mb = contender.process().resident_bytes()? as f64 / 1e6;
            contender.stop().await?;
        }
        found.footprints.extend(footprints);
        Ok(())
    }

    /// All operations over any number of connections, several rounds of all, the contenders in turn.
    async fn compare(
        &self,
        database: &Database,
        contenders: &[&Contender],
        traffic: &Traffic,
    ) -> anyhow::Result<Vec<Cell>> {
        let mut cells = Vec::new();
        for connections in &self.connections {
            cells.extend(self.operations.iter().map(|operation| Cell {
                store: database.store,
                wire: traffic.wire,
                operation: *operation,
                connections: *connections,
                value_bytes: traffic.value.len(),
                keys_each: traffic.keys_each(*operation),
                costs: contenders.iter().map(|it| (it.program.clone(), Cost::default())).collect(),
            }));
        }
        for round in 1..=self.rounds {
            let Database { store, .. } = database;
            eprintln!("{store}: over {}, round {round} of {}", traffic.wire, self.rounds);
            for cell in &mut cells {
                self.round(database, contenders, traffic, cell).await.with_context(|| {
                    let Cell { operation, wire, connections, .. } = cell;
                    format!("{operation} over {wire}, {connections} connections")
                })?;
            }
        }
        Ok(cells)
    }

    async fn round(
        &self,
        database: &Database,
        contenders: &[&Contender],
        traffic: &Traffic,
        cell: &mut Cell,
    ) -> anyhow::Result<()> {
        let operation = cell.operation;
        // Long values are few, and so are requests with them.
        let is_bounded = operation.uses_up() || traffic.keys < self.keys;
        let len_max = if is_bounded { traffic.keys } else { usize::MAX };
        let closed = Extent::Requests(self.requests.min(len_max));
        let mut outcomes = Vec::new();
        for (contender, (_, cost)) in contenders.iter().zip(&mut cell.costs) {
            let mut turn =
                Turn::new(contender, database, traffic, operation, cell.connections).await?;
            let before = turn.usage().await?;
            let outcome = turn.run(closed).await?;
            cost.add(before, turn.usage().await?, &outcome);
            turn.tidy_up().await?;
            outcomes.push(outcome);
        }
        let slowest = outcomes.iter().map(Outcome::per_s).fold(f64::INFINITY, f64::min);
        let rate = match self.open_loop {
            OpenLoop::None => {
                let costs = cell.costs.iter_mut().zip(&outcomes);
                costs.for_each(|((_, cost), outcome)| cost.add_latencies(outcome));
                return Ok(());
            }
            OpenLoop::Half => slowest * OPEN_SHARE,
            OpenLoop::Rate(rate) => rate,
        };
        let time = OPEN_TIME.min(Duration::from_secs_f64(len_max as f64 / rate));
        for (contender, (_, cost)) in contenders.iter().zip(&mut cell.costs) {
            let mut turn =
                Turn::new(contender, database, traffic, operation, cell.connections).await?;
            cost.add_latencies(&turn.run(Extent::Rate(rate, time)).await?);
            cost.offered_per_s.push(rate);
            turn.tidy_up().await?;
        }
        Ok(())
    }
}

/// A contender that is about to get one kind of request.
struct Turn<'a> {
    contender: &'a Contender,
    database: &'a Database,
    traffic: &'a Traffic,
    operation: Operation,
    clients: Clients,
    etags: Vec<String>,
}

/// What was used up to a moment.
#[derive(Clone, Copy, Debug, Default)]
struct Usage {
    cpu: Duration,
    database_cpu: Duration,
    database_reads: Option<f64>,
}

impl<'a> Turn<'a> {
    /// Connects anew: a sidecar ends connections that were idle for long.
    async fn new(
        contender: &'a Contender,
        database: &'a Database,
        traffic: &'a Traffic,
        operation: Operation,
        connections: u16,
    ) -> anyhow::Result<Turn<'a>> {
        let mut clients = contender.clients(traffic.wire, connections.into()).await?;
        let gets = traffic.requests(Operation::Get, Vec::new());
        // Each connection is made, and its buffers are, before anything is measured.
        clients.run(&gets, Extent::Requests(2 * usize::from(connections))).await?;
        let etags = if operation == Operation::SaveEtag {
            etags(contender, traffic, traffic.keys).await?
        } else {
            Vec::new()
        };
        Ok(Turn { contender, database, traffic, operation, clients, etags })
    }

    async fn run(&mut self, extent: Extent) -> anyhow::Result<Outcome> {
        let etags = std::mem::take(&mut self.etags);
        let requests = self.traffic.requests(self.operation, etags);
        let outcome = self.clients.run(&requests, extent).await;
        outcome.with_context(|| format!("{} fails", self.contender.program))
    }

    async fn usage(&self) -> anyhow::Result<Usage> {
        let is_echo = self.contender.program == Program::Echo;
        let database = self.database.process().filter(|_| !is_echo);
        Ok(Usage {
            cpu: self.contender.process().cpu_time()?,
            database_cpu: database.map_or(Ok(Duration::ZERO), Process::cpu_time)?,
            database_reads: if is_echo { None } else { self.database.reads().await? },
        })
    }

    /// Lets the next operation find every key, without a lifetime.
    async fn tidy_up(self) -> anyhow::Result<()> {
        if self.operation.leaves_traces() && self.contender.program != Program::Echo {
            self.contender.fill(self.traffic).await?;
        }
        Ok(())
    }
}

async fn etags(
    contender: &Contender,
    traffic: &Traffic,
    len: usize,
) -> anyhow::Result<Vec<String>> {
    const READERS: usize = 16;
    let traffic = Traffic { wire: Wire::Http, ..traffic.clone() };
    let gets = traffic.requests(Operation::Get, Vec::new());
    contender.clients(Wire::Http, READERS).await?.etags(&gets, len).await
}

/// One of the first of them.
async fn etag(contenders: &[Contender], traffic: &Traffic) -> anyhow::Result<String> {
    let first = contenders.first().context("there is no sidecar")?;
    let etags = etags(first, traffic, 1).await?;
    etags.into_iter().next().context("there is no ETag")
}

impl Cell {
    pub(crate) fn cost(&self, program: &str) -> Option<&Cost> {
        self.costs.iter().find(|(it, _)| it.name() == program).map(|(_, cost)| cost)
    }
}

impl Cost {
    fn add(&mut self, before: Usage, after: Usage, outcome: &Outcome) {
        let requests = outcome.latencies.len() as f64;
        let us = |before: Duration, after: Duration| {
            after.saturating_sub(before).as_secs_f64() * 1e6 / requests
        };
        self.cpu_us.push(us(before.cpu, after.cpu));
        self.database_cpu_us.push(us(before.database_cpu, after.database_cpu));
        if let (Some(before), Some(after)) = (before.database_reads, after.database_reads) {
            self.database_reads.push((after - before) / requests);
        }
        self.per_s.push(outcome.per_s());
    }

    fn add_latencies(&mut self, outcome: &Outcome) {
        let percentiles =
            [(&mut self.p50_us, 50.0), (&mut self.p99_us, 99.0), (&mut self.p999_us, 99.9)];
        for (figures, percent) in percentiles {
            figures.push(outcome.latencies.percentile_us(percent));
        }
    }

    /// The median of the rounds' ratios.
    pub(crate) fn cpu_ratio(&self, to: &Cost) -> f64 {
        ratio(&self.cpu_us, &to.cpu_us)
    }

    pub(crate) fn cpu_ratios(&self, to: &Cost) -> Vec<f64> {
        ratios(&self.cpu_us, &to.cpu_us)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::statistics::median;

    #[test]
    fn a_cost_is_for_one_request_and_there_is_one_for_every_round() {
        let ms = Duration::from_millis;
        let mut cost = Cost::default();
        for cpu in [ms(40), ms(20), ms(60)] {
            let latencies = [ms(1); 100].into_iter().collect();
            let outcome = Outcome { elapsed: ms(500), latencies };
            let before = Usage { database_reads: Some(10.0), ..Usage::default() };
            let after = Usage { cpu, database_cpu: ms(10), database_reads: Some(210.0) };
            cost.add(before, after, &outcome);
            cost.add_latencies(&outcome);
        }
        assert_eq!((median(&cost.cpu_us), median(&cost.database_cpu_us)), (400.0, 100.0));
        assert_eq!((median(&cost.per_s), median(&cost.database_reads)), (200.0, 2.0));
        assert!((median(&cost.p50_us) / 1000.0 - 1.0).abs() < 0.001);
        assert_eq!(cost.cpu_ratio(&cost), 1.0);
    }
}
