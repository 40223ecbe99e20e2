//! `compare`, and `http`, `grpc` and `redis`, which are selections of it.

mod figures;
mod goals;

use std::path::PathBuf;

use crate::{
    client::Wire,
    contender::{Program, Running},
    contest::{Found, OpenLoop, Plan},
    database::Store,
    load,
    operation::Operation,
    page,
    report::Report,
    setup::{self, Setup},
    traffic::{BULK_LEN, KEYS, VALUE_LEN},
};

/// What is compared. Several values of a flag are separated by commas; all combinations are measured.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Where the data is; one whose program is not installed is skipped, and a line says so
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "memory,sqlite,redis,postgres,etcd"
    )]
    store: Vec<Store>,
    /// What is asked
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "get,save,save-etag,save-ttl,delete,transaction,bulk-get"
    )]
    operation: Vec<Operation>,
    /// How it is asked
    #[arg(long, value_enum, value_delimiter = ',', default_value = "http")]
    wire: Vec<Wire>,
    /// How many requests there are at a time at most
    #[arg(long, value_delimiter = ',', default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: Vec<u16>,
    /// Bytes of a value
    #[arg(long, value_delimiter = ',', default_value = "1024", value_parser = clap::value_parser!(u32).range(16..=2 << 20))]
    value_bytes: Vec<u32>,
    /// How many keys there are; fewer if values are so long that all would take more than 128 MiB
    #[arg(long, default_value_t = KEYS as u32, value_parser = clap::value_parser!(u32).range(100..=1_000_000))]
    keys: u32,
    /// Requests per second of the open loop, 0 for no open loop [default: half of what the slowest gets
    /// through in the same round]
    #[arg(long)]
    rate: Option<u32>,
    /// Requests of a kind for each server in a round
    #[arg(long, default_value = "5000", value_parser = clap::value_parser!(u32).range(100..))]
    requests: u32,
    /// How many rounds there are
    #[arg(long, default_value = "3", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
    /// Leaves out how often each server asks for memory, which takes valgrind, and about half a minute for each store
    #[arg(long)]
    no_allocations: bool,
    /// A daprd to compare with
    #[arg(long, value_name = "FILE")]
    daprd: Option<PathBuf>,
    /// Writes the same as a page with plots
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
}

/// How much load a selection is measured with.
#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Extent {
    /// Requests of a kind for each server in a round
    #[arg(long, default_value = "50000", value_parser = clap::value_parser!(u32).range(100..))]
    pub(crate) requests: u32,
    /// How many rounds there are
    #[arg(long, default_value = "7", value_parser = clap::value_parser!(u16).range(1..))]
    pub(crate) rounds: u16,
    /// How many requests there are at a time at most
    #[arg(long, default_value = "64", value_parser = clap::value_parser!(u16).range(1..=4096))]
    pub(crate) connections: u16,
    /// A daprd to compare with
    #[arg(long, value_name = "FILE")]
    pub(crate) daprd: Option<PathBuf>,
}

/// How often each sidecar is started on each store.
const STARTS: u16 = 4;

impl Args {
    fn plan(&self, setup: &Setup) -> anyhow::Result<Plan> {
        Ok(Plan {
            programs: Program::all(setup, self.daprd.as_deref())?,
            stores: self.store.clone(),
            wires: self.wire.clone(),
            operations: self.operation.clone(),
            connections: self.connections.clone(),
            value_bytes: self.value_bytes.iter().map(|it| *it as usize).collect(),
            keys: self.keys as usize,
            bulk_len: BULK_LEN,
            requests: self.requests as usize,
            rounds: self.rounds,
            open_loop: match self.rate {
                None => OpenLoop::Half,
                Some(0) => OpenLoop::None,
                Some(rate) => OpenLoop::Rate(rate.into()),
            },
            starts: STARTS,
            running: Running::default(),
            counts_allocations: !self.no_allocations,
        })
    }
}

impl Extent {
    pub(crate) const SHORT: Extent =
        Extent { requests: 50_000, rounds: 5, connections: load::CONNECTIONS as u16, daprd: None };

    /// One store over one wire, as fast as it goes.
    fn plan(
        &self,
        setup: &Setup,
        store: Store,
        wire: Wire,
        operations: &[Operation],
    ) -> anyhow::Result<Plan> {
        Ok(Plan {
            programs: Program::all(setup, self.daprd.as_deref())?,
            stores: vec![store],
            wires: vec![wire],
            operations: operations.to_vec(),
            connections: vec![self.connections],
            value_bytes: vec![VALUE_LEN],
            keys: KEYS,
            bulk_len: BULK_LEN,
            requests: self.requests as usize,
            rounds: self.rounds,
            open_loop: OpenLoop::None,
            starts: 0,
            running: Running::default(),
            counts_allocations: false,
        })
    }
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let plan = args.plan(setup)?;
    let (found, setting) = measure(&plan, setup)?;
    let report = report("compare", setting, &found);
    if let Some(path) = &args.html {
        page::write(path, &report, &figures::plots(&found))?;
    }
    Ok(report)
}

/// Reads and saves in the in-memory store.
pub(crate) fn wire(wire: Wire, extent: &Extent, setup: &Setup) -> anyhow::Result<Report> {
    let operations = [Operation::Get, Operation::Save];
    let plan = extent.plan(setup, Store::Memory, wire, &operations)?;
    let (found, setting) = measure(&plan, setup)?;
    Ok(report(wire.name(), setting, &found))
}

/// What is particular to a store that is another process: round trips.
pub(crate) fn redis(extent: &Extent, setup: &Setup) -> anyhow::Result<Report> {
    use Operation::{BulkGet, Get, Save, SaveTtl};
    let operations = [Get, Save, SaveTtl, BulkGet];
    let plan = extent.plan(setup, Store::Redis, Wire::Http, &operations)?;
    let plan = Plan { connections: vec![1, extent.connections], ..plan };
    let (found, setting) = measure(&plan, setup)?;
    Ok(report("redis", setting, &found))
}

/// And on what, and how.
fn measure(plan: &Plan, setup: &Setup) -> anyhow::Result<(Found, String)> {
    let data = setup.data()?;
    let found = load::block_on(plan.run(data.path()))?;
    let open_loop = match plan.open_loop {
        OpenLoop::None => "latencies are of the closed loop",
        OpenLoop::Half => "latencies are of an open loop at half of what the slowest gets through",
        OpenLoop::Rate(_) => "latencies are of an open loop",
    };
    let setting = format!(
        "{} rounds of {} requests, {} keys; median (least..greatest) of the rounds; {open_loop}; {} \
         workers on {} cores, {}",
        plan.rounds,
        plan.requests,
        plan.keys,
        setup::workers(),
        setup::cores(),
        setup::file_system(data.path())?
    );
    Ok((found, setting))
}

fn report(command: &'static str, setting: String, found: &Found) -> Report {
    let (tables, goals) = (figures::tables(found), goals::goals(found));
    Report { command, setting, tables, goals, problems: Vec::new() }
}
