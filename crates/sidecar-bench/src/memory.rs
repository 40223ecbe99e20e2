//! `memory`: resident memory, idle and under load.

use crate::{
    client::Wire,
    load::{self, CONNECTIONS, Clients, Extent},
    report::{Goal, Report, Row, Table},
    server::Server,
    setup::{self, Setup},
    traffic::{self, KEYS, Traffic, VALUE_LEN},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How many requests each store gets
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u32).range(1000..))]
    requests: u32,
}

impl Args {
    pub(crate) const SHORT: Args = Args { requests: 200_000 };
}

const IDLE_GOAL_MB: f64 = 10.0;
const LOAD_GOAL_MB: f64 = 25.0;

/// What may come and go between two quarters: buffers, and what the allocator keeps of them.
const GROWTH_MAX_MB: f64 = 4.0;

struct Usage {
    store: &'static str,
    /// What the store keeps in memory because clients put it there.
    held_mb: f64,
    idle_mb: f64,
    /// What of that other sidecars on the same machine do not share.
    idle_own_mb: f64,
    quarters_mb: [f64; 4],
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let data = setup.data()?;
    let sqlite = setup::sqlite_url(&data, "state.db");
    let held_mb = (KEYS * (VALUE_LEN + traffic::key(0, KEYS).len())) as f64 / 1e6;
    let usages = [
        measure(args, setup, "memory", "memory", held_mb)?,
        measure(args, setup, "sqlite", &sqlite, 0.0)?,
    ];
    Ok(Report {
        command: "memory",
        setting: format!(
            "resident MB; {} requests, half reads and half saves, {KEYS} keys of {VALUE_LEN} \
             bytes, {CONNECTIONS} connections; {} cores",
            args.requests,
            setup::cores()
        ),
        tables: vec![Table::of(usages.iter().map(Usage::row))],
        goals: usages.iter().flat_map(Usage::goals).collect(),
        problems: usages.iter().filter_map(Usage::problem).collect(),
    })
}

fn measure(
    args: &Args,
    setup: &Setup,
    store: &'static str,
    url: &str,
    held_mb: f64,
) -> anyhow::Result<Usage> {
    load::block_on(async {
        let server = Server::start(Wire::Http, setup.sidecar(url)?, "--dapr-http-port").await?;
        let resident_mb = || anyhow::Ok(server.process().resident_bytes()? as f64 / 1e6);
        let (idle_mb, idle_own_mb) = (resident_mb()?, server.process().own_bytes()? as f64 / 1e6);
        let mut clients = Clients::connect(Wire::Http, server.address, CONNECTIONS).await?;
        let requests = Traffic::usual().mixed();
        let mut quarters_mb = [0.0; 4];
        for (i, quarter_mb) in quarters_mb.iter_mut().enumerate() {
            eprintln!("memory: {store}, quarter {} of 4", i + 1);
            let quarter = Extent::Requests(args.requests as usize / 4);
            clients.run(&requests, quarter).await?;
            *quarter_mb = resident_mb()?;
        }
        drop(clients);
        server.stop().await?;
        Ok(Usage { store, held_mb, idle_mb, idle_own_mb, quarters_mb })
    })
}

impl Usage {
    fn row(&self) -> Row {
        let [first, second, third, fourth] = self.quarters_mb;
        Row::of("store", self.store)
            .number("idle_mb", self.idle_mb, 1)
            .number("idle_own_mb", self.idle_own_mb, 1)
            .number("1st_quarter_mb", first, 1)
            .number("2nd_mb", second, 1)
            .number("3rd_mb", third, 1)
            .number("4th_mb", fourth, 1)
            .number("growth_2nd_to_4th_mb", self.growth_mb(), 1)
            .number("held_mb", self.held_mb, 1)
    }

    fn growth_mb(&self) -> f64 {
        self.quarters_mb[3] - self.quarters_mb[1]
    }

    fn goals(&self) -> [Goal; 2] {
        let under_load_mb = self.quarters_mb[3] - self.held_mb;
        [
            Goal::at_most(format!("{}, MB idle,", self.store), IDLE_GOAL_MB, self.idle_mb),
            Goal::at_most(
                format!("{}, MB under load without what is held,", self.store),
                LOAD_GOAL_MB,
                under_load_mb,
            ),
        ]
    }

    fn problem(&self) -> Option<String> {
        let Usage { store, .. } = self;
        let growth_mb = self.growth_mb();
        let problem = format!("{store} grew by {growth_mb:.1} MB, more than {GROWTH_MAX_MB} MB");
        (growth_mb > GROWTH_MAX_MB).then_some(problem)
    }
}
