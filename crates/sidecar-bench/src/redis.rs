//! `redis`: what the sidecar and its server cost with the data in a Redis, and what a bulk get
//! saves.

use std::time::Duration;

use crate::{
    client::Wire,
    contest::{Args, Contender, Cost, Kind},
    echo,
    load::{self, CONNECTIONS, Extent},
    report::{Goal, Report, Row},
    server::Server,
    setup::{self, Setup},
    traffic::{self, KEYS, TTL, VALUE_LEN},
};

use self::database::Durability;

pub(crate) mod database;

pub(crate) const SHORT: Args =
    Args { requests: 50_000, rounds: 3, connections: CONNECTIONS as u16 };

const CPU_GOAL: f64 = 1.6;
const BULK_GOAL: f64 = 5.0;

/// How many keys a bulk get has.
const BULK_LEN: usize = 20;

/// How long a round of bulk gets is, and one of the gets next to them.
const BULK_TIME: Duration = Duration::from_secs(1);

/// As long as those of the store: microseconds since 1970.
const VERSION: &str = "1767225600000000";

/// Reads of the same keys, one by one and together, and what they cost the sidecar.
struct Bulk {
    connections: u16,
    gets: Cost,
    bulk_gets: Cost,
}

struct Servers {
    redis: Server,
    sidecar: Server,
    echo: Server,
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    load::block_on(async {
        let data = setup.data()?;
        let redis = database::start(data.path(), Durability::Nothing).await?;
        let sidecar = setup.sidecar(&format!("redis://{}", redis.address))?;
        let sidecar = Server::start(Wire::Http, sidecar, "--dapr-http-port").await?;
        let echo = Server::start(Wire::Http, echo::command(Wire::Http, VERSION)?, "--port").await?;
        let servers = Servers { redis, sidecar, echo };
        let (kinds, bulks) = measure(args, &servers).await?;
        servers.sidecar.stop().await?;
        servers.redis.stop().await?;
        Ok(report(args, &kinds, &bulks))
    })
}

async fn measure(args: &Args, servers: &Servers) -> anyhow::Result<([Kind; 3], [Bulk; 2])> {
    let bulk_extent = Extent::Time(BULK_TIME);
    let (gets, bulk_gets) = (traffic::gets(), traffic::bulk_gets(BULK_LEN));
    let mut echo = Contender::connect(Wire::Http, &servers.echo, args.connections).await?;
    let mut sidecar = servers.sidecar(args.connections).await?;
    // The last save leaves keys without a lifetime, so that all reads are alike.
    let mut kinds = [
        Kind::new("save with TTL", traffic::saves(TTL)),
        Kind::new("save", traffic::saves("")),
        Kind::new("get", traffic::gets()),
    ];
    let mut bulks = [Bulk::new(1), Bulk::new(args.connections)];
    for kind in &kinds {
        kind.warm_up(&mut echo, &mut sidecar).await?;
    }
    for round in 1..=args.rounds {
        eprintln!("redis: round {round} of {}", args.rounds);
        for kind in &mut kinds {
            kind.measure(&mut echo, &mut sidecar, args.extent()).await?;
        }
        // Made anew in each round: the sidecar ends connections that are idle for long.
        let mut alone = servers.sidecar(1).await?;
        for (bulk, readers) in bulks.iter_mut().zip([&mut alone, &mut sidecar]) {
            readers.measure(&gets, bulk_extent, &mut bulk.gets).await?;
            readers.measure(&bulk_gets, bulk_extent, &mut bulk.bulk_gets).await?;
        }
    }
    Ok((kinds, bulks))
}

fn report(args: &Args, kinds: &[Kind], bulks: &[Bulk; 2]) -> Report {
    let (mut rows, mut goals) = (Vec::new(), Vec::new());
    for kind in kinds {
        let Kind { name, echo, sidecar, .. } = kind;
        rows.push(row(format!("{name}, echo"), echo, echo));
        rows.push(row(format!("{name}, sidecar"), sidecar, echo));
        let what = format!("{name}, CPU of the sidecar to that of the echo,");
        goals.push(Goal::at_most(what, CPU_GOAL, kind.cpu_ratio()));
    }
    for Bulk { connections, gets, bulk_gets } in bulks {
        let on = match connections {
            1 => "1 connection".to_owned(),
            len => format!("{len} connections"),
        };
        rows.push(row(format!("{BULK_LEN} gets, {on}"), gets, gets));
        rows.push(row(format!("bulk get of {BULK_LEN}, {on}"), bulk_gets, gets));
    }
    // Of one client, which has to wait for each of its gets. Those of many share round trips, too.
    let what = format!("bulk get, 1 connection, keys per s to those of {BULK_LEN} gets,");
    goals.push(Goal::at_least(what, BULK_GOAL, bulks[0].bulk_gets.rate_ratio(&bulks[0].gets)));
    Report {
        command: "redis",
        setting: format!(
            "{} rounds of {} requests, {KEYS} keys of {VALUE_LEN} bytes, {} connections; bulk \
             gets and gets next to them {} s; {} workers on {} cores",
            args.rounds,
            args.requests,
            args.connections,
            BULK_TIME.as_secs(),
            setup::workers(),
            setup::cores()
        ),
        rows,
        goals,
        problems: Vec::new(),
    }
}

fn row(what: String, cost: &Cost, to: &Cost) -> Row {
    Row::of("what", what)
        .number("cpu_us_per_key", cost.cpu_us(), 1)
        .number("cpu_ratio", cost.cpu_ratio(to), 2)
        .number("redis_cpu_us_per_key", cost.database_cpu_us(), 1)
        .number("keys_per_s", cost.keys_per_s(), 0)
        .number("rate_ratio", cost.rate_ratio(to), 2)
        .number("p50_us", cost.latency_us(50.0), 0)
        .number("p99_us", cost.latency_us(99.0), 0)
}

impl Servers {
    /// Connections to the sidecar, for which Redis works, too.
    async fn sidecar(&self, connections: u16) -> anyhow::Result<Contender> {
        Ok(Contender::connect(Wire::Http, &self.sidecar, connections).await?.on(&self.redis))
    }
}

impl Bulk {
    fn new(connections: u16) -> Bulk {
        Bulk { connections, gets: Cost::default(), bulk_gets: Cost::default() }
    }
}
