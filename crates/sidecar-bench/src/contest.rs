//! Servers that get the same load in turn, and what each of them needed for it.

use std::{fs, path::Path, rc::Rc, time::Duration};

use anyhow::Context;

use crate::{
    callgrind,
    client::Wire,
    contender::{Contender, Program, Running},
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

/// Of how many requests, and of how many keys, allocations are counted.
const COUNTED: usize = 200;

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
    pub(crate) running: Running,
    /// Whether allocations are counted, too, if valgrind is installed.
    pub(crate) counts_allocations: bool,
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
    /// Of memory, in a run apart from the loads; none if they were not counted.
    pub(crate) allocations: Option<f64>,
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
        let counts_allocations = self.counts_allocations && callgrind::is_installed();
        for store in &self.stores {
            let mut arenas = self.open(*store, data).await?;
            for round in 1..=self.rounds {
                eprintln!("{store}: round {round} of {}", self.rounds);
                for arena in &mut arenas {
                    arena.round(self).await?;
                }
            }
            for mut arena in arenas {
                if counts_allocations {
                    arena.count_allocations(self, data).await?;
                }
                arena.close(&mut found).await?;
            }
        }
        Ok(found)
    }

    /// Starts a store and all contenders on it, once for each length of values, and saves all keys.
    pub(crate) async fn open(&self, store: Store, data: &Path) -> anyhow::Result<Vec<Arena>> {
        let Some(database) = Database::start(store, data).await? else { return Ok(Vec::new()) };
        let database = Rc::new(database);
        let mut arenas = Vec::new();
        for value_bytes in &self.value_bytes {
            let app = format!("bench-{value_bytes}");
            let arena = Arena::open(self, database.clone(), *value_bytes, &app, data).await;
            arenas.push(arena.with_context(|| format!("on {store}"))?);
        }
        Ok(arenas)
    }
}

/// Contenders on one store, which has all keys.
#[derive(Debug)]
pub(crate) struct Arena {
    database: Rc<Database>,
    /// The echo first, if there is one.
    contenders: Vec<Contender>,
    traffic: Traffic,
    cells: Vec<Cell>,
    footprints: Vec<Footprint>,
}

impl Arena {
    /// Contenders have keys of their own in a database that several share, by the name of the application.
    async fn open(
        plan: &Plan,
        database: Rc<Database>,
        value_bytes: usize,
        app: &str,
        data: &Path,
    ) -> anyhow::Result<Arena> {
        let traffic = Traffic::new(Wire::Http, plan.keys, value_bytes, plan.bulk_len);
        let (mut contenders, mut footprints) = (Vec::new(), Vec::new());
        for program in plan.programs.iter().filter(|it| **it != Program::Echo) {
            let mut start_ms = Vec::new();
            for _ in 0..plan.starts {
                let it = Contender::start(program, app, &database, data, &plan.running).await?;
                start_ms.push(it.start_ms());
                it.stop().await?;
            }
            let contender = Contender::start(program, app, &database, data, &plan.running).await?;
            start_ms.push(contender.start_ms());
            footprints.push(Footprint {
                store: database.store,
                program: program.clone(),
                start_ms,
                idle_mb: contender.process().resident_bytes()? as f64 / 1e6,
                loaded_mb: 0.0,
                file_mb: program.file_mb()?,
            });
            eprintln!(
                "{}: {program} saves {} keys of {value_bytes} bytes",
                database.store, traffic.keys
            );
            contender.fill(&traffic).await?;
            contenders.push(contender);
        }
        if plan.programs.contains(&Program::Echo) {
            // It answers with an ETag as long as those of the store.
            let etag = etag(&contenders, &traffic).await?;
            contenders.insert(0, Contender::echo(&traffic, &etag, &plan.running).await?);
        }
        let mut cells = Vec::new();
        for wire in &plan.wires {
            for connections in &plan.connections {
                cells.extend(plan.operations.iter().map(|operation| Cell {
                    store: database.store,
                    wire: *wire,
                    operation: *operation,
                    connections: *connections,
                    value_bytes,
                    keys_each: traffic.keys_each(*operation),
                    costs:
                        contenders.iter().map(|it| (it.program.clone(), Cost::default())).collect(),
                }));
            }
        }
        Ok(Arena { database, contenders, traffic, cells, footprints })
    }

    /// Measures each combination once, the contenders in turn.
    pub(crate) async fn round(&mut self, plan: &Plan) -> anyhow::Result<()> {
        let mut cells = std::mem::take(&mut self.cells);
        for cell in &mut cells {
            self.measure(plan, cell).await.with_context(|| {
                let Cell { store, operation, wire, connections, .. } = cell;
                format!("{operation} on {store} over {wire}, {connections} connections")
            })?;
        }
        self.cells = cells;
        Ok(())
    }

    async fn measure(&self, plan: &Plan, cell: &mut Cell) -> anyhow::Result<()> {
        // Long values are few, and so are requests with them.
        let is_bounded = cell.operation.uses_up() || self.traffic.keys < plan.keys;
        let len_max = if is_bounded { self.traffic.keys } else { usize::MAX };
        let len = plan.requests.min(len_max);
        let mut outcomes = Vec::new();
        for i in 0..self.contenders.len() {
            let mut turn = Turn::new(self, i, cell, len).await?;
            let before = turn.usage().await?;
            let outcome = turn.run(Extent::Requests(len)).await?;
            cell.costs[i].1.add(before, turn.usage().await?, &outcome);
            turn.tidy_up().await?;
            outcomes.push(outcome);
        }
        let slowest = outcomes.iter().map(Outcome::per_s).fold(f64::INFINITY, f64::min);
        let rate = match plan.open_loop {
            OpenLoop::None => {
                let costs = cell.costs.iter_mut().zip(&outcomes);
                costs.for_each(|((_, cost), outcome)| cost.add_latencies(outcome));
                return Ok(());
            }
            OpenLoop::Half => slowest * OPEN_SHARE,
            OpenLoop::Rate(rate) => rate,
        };
        let time = OPEN_TIME.min(Duration::from_secs_f64(len_max as f64 / rate));
        let len = (rate * time.as_secs_f64()).ceil() as usize;
        for i in 0..self.contenders.len() {
            let mut turn = Turn::new(self, i, cell, len).await?;
            let cost = &mut cell.costs[i].1;
            cost.add_latencies(&turn.run(Extent::Rate(rate, time)).await?);
            cost.offered_per_s.push(rate);
            turn.tidy_up().await?;
        }
        Ok(())
    }

    /// Starts all of them once more, on the same store and with few keys, where each call of `malloc` is counted, and counts
    /// for how many of them one request is good: not of daprd, which does not ask `malloc`.
    async fn count_allocations(&mut self, plan: &Plan, data: &Path) -> anyhow::Result<()> {
        let (store, value_bytes) = (self.database.store, self.traffic.value.len());
        eprintln!("{store}: counts allocations");
        let folder = data.join(format!("{store}-{value_bytes}-callgrind"));
        fs::create_dir(&folder)?;
        let mut counted = plan.clone();
        counted.programs.retain(|it| !matches!(it, Program::Daprd(_)));
        (counted.connections, counted.keys, counted.starts) = (vec![1], COUNTED, 0);
        counted.running.callgrind = Some(folder);
        let (database, app) = (self.database.clone(), format!("bench-{value_bytes}-counted"));
        let mut arena = Arena::open(&counted, database, value_bytes, &app, data).await?;
        for cell in std::mem::take(&mut arena.cells) {
            for i in 0..arena.contenders.len() {
                let allocations = arena.allocations(i, &cell).await?;
                let program = &arena.contenders[i].program;
                let same = |it: &&mut Cell| (it.wire, it.operation) == (cell.wire, cell.operation);
                let costs = self.cells.iter_mut().filter(same).flat_map(|it| &mut it.costs);
                let costs = costs.filter(|(it, _)| it == program);
                costs.for_each(|(_, cost)| cost.allocations = Some(allocations));
            }
        }
        arena.close(&mut Found::default()).await
    }

    /// Of the i-th contender, for one request.
    async fn allocations(&self, i: usize, cell: &Cell) -> anyhow::Result<f64> {
        let counter = self.contenders[i].counter().context("it is not run to be counted")?;
        let mut count = 0;
        // What happens once, such as a first growth of a buffer, is over after the first time.
        for _ in 0..2 {
            let mut turn = Turn::new(self, i, cell, COUNTED).await?;
            counter.allocations().await?;
            turn.run(Extent::Requests(COUNTED)).await?;
            count = counter.allocations().await?;
            turn.tidy_up().await?;
        }
        Ok(count as f64 / COUNTED as f64)
    }

    /// Ends all contenders, and the store with the last of its arenas.
    pub(crate) async fn close(mut self, found: &mut Found) -> anyhow::Result<()> {
        let sidecars = self.contenders.into_iter().filter(|it| it.program != Program::Echo);
        for (contender, footprint) in sidecars.zip(&mut self.footprints) {
            footprint.loaded_mb = contender.process().resident_bytes()? as f64 / 1e6;
            contender.stop().await?;
        }
        found.cells.extend(self.cells);
        found.footprints.extend(self.footprints);
        Ok(())
    }
}

/// A contender that is about to get one kind of request.
struct Turn<'a> {
    contender: &'a Contender,
    database: &'a Database,
    traffic: Traffic,
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
    /// Of the i-th contender, for so many requests. Connects anew: a sidecar ends connections that were
    /// idle for long.
    async fn new(arena: &'a Arena, i: usize, cell: &Cell, len: usize) -> anyhow::Result<Turn<'a>> {
        let contender = &arena.contenders[i];
        let traffic = Traffic { wire: cell.wire, ..arena.traffic.clone() };
        let mut clients = contender.clients(cell.wire, cell.connections.into()).await?;
        let gets = traffic.requests(Operation::Get, Vec::new());
        // Each connection is made, and its buffers are, before anything is measured.
        clients.run(&gets, Extent::Requests(2 * usize::from(cell.connections))).await?;
        let etags = if cell.operation == Operation::SaveEtag {
            etags(contender, &traffic, len.min(traffic.keys)).await?
        } else {
            Vec::new()
        };
        let (database, operation) = (&*arena.database, cell.operation);
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
            self.contender.fill(&self.traffic).await?;
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
