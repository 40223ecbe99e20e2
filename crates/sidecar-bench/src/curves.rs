//! `curves`: what a request costs, against how many there are at a time, how much there is, and how
//! large it is.

mod fit;

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::ValueEnum;

use self::fit::{Fit, Law};
use crate::{
    client::Wire,
    contender::{Program, Running},
    contest::{Cell, Found, OpenLoop, Plan},
    database::Store,
    load::{self, CONNECTIONS},
    operation::Operation,
    plot::Lines,
    report::{Report, Row, Table},
    setup::{self, Setup},
    statistics::Spread,
    traffic::{BULK_LEN, KEYS, VALUE_LEN},
};

#[derive(Clone, Debug, clap::Args)]
pub(crate) struct Args {
    /// Which curves there are
    #[arg(
        long,
        value_enum,
        value_delimiter = ',',
        default_value = "connections,keys,value-bytes,cores,bulk"
    )]
    curve: Vec<Axis>,
    /// The folder for the plots, an SVG file for each curve
    #[arg(long, value_name = "DIR", default_value = "docs/performance")]
    plots: PathBuf,
    /// The most keys of the curve of that name
    #[arg(long, default_value = "1000000", value_parser = clap::value_parser!(u32).range(1000..))]
    keys_max: u32,
    /// Requests of a kind for each server in a round
    #[arg(long, default_value = "10000", value_parser = clap::value_parser!(u32).range(100..))]
    requests: u32,
    /// How many rounds there are
    #[arg(long, default_value = "5", value_parser = clap::value_parser!(u16).range(1..))]
    rounds: u16,
}

/// What a cost is shown against.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Axis {
    /// 1 to 256 connections, over both wires
    Connections,
    /// 1000 to 1 000 000 keys with values of 100 bytes, in three stores
    Keys,
    /// Values of 100 bytes to 64 KiB
    ValueBytes,
    /// One core, and two
    Cores,
    /// Bulk gets of 1 to 100 keys, in three stores
    Bulk,
}

/// One of the points of all series of a curve.
struct Point {
    x: f64,
    cells: Vec<Cell>,
}

/// The figures of one kind of request, and whether they do what they should.
struct Series {
    name: String,
    points: Vec<(f64, Spread)>,
    /// Of the echo, for comparison.
    echo: Vec<(f64, Spread)>,
}

/// Stores that hold much, and that need no disk for each read.
const STORES: [Store; 3] = [Store::Memory, Store::Sqlite, Store::Redis];

impl Args {
    pub(crate) fn short() -> Args {
        Args {
            curve: Axis::value_variants().to_vec(),
            plots: "docs/performance".into(),
            keys_max: 1_000_000,
            requests: 10_000,
            rounds: 3,
        }
    }
}

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    fs::create_dir_all(&args.plots)
        .with_context(|| format!("cannot make the folder {}", args.plots.display()))?;
    let (mut tables, mut goals) = (Vec::new(), Vec::new());
    for axis in &args.curve {
        eprintln!("curves: against {}", axis.name());
        let series = series(&axis.measure(args, setup)?);
        let lines = axis.lines(&series);
        let path = args.plots.join(format!("{}.svg", axis.name()));
        fs::write(&path, lines.svg())
            .with_context(|| format!("cannot write the plot to {}", path.display()))?;
        let law = axis.law();
        tables.push(Table::titled(
            format!("CPU us per request against {}", axis.x()),
            rows(law, &series),
        ));
        for it in &series {
            let what = format!("CPU of {} against {}", it.name, axis.name());
            goals.push(it.fit(law).goal(law, &what));
        }
    }
    Ok(Report {
        command: "curves",
        setting: format!(
            "{} rounds of {} requests, {KEYS} keys of {VALUE_LEN} bytes over {CONNECTIONS} connections \
             unless said otherwise; median (least..greatest); {} workers on {} cores; plots in {}",
            args.rounds,
            args.requests,
            setup::workers(),
            setup::cores(),
            args.plots.display()
        ),
        tables,
        goals,
        problems: Vec::new(),
    })
}

impl Axis {
    fn name(self) -> &'static str {
        match self {
            Axis::Connections => "connections",
            Axis::Keys => "keys",
            Axis::ValueBytes => "value-bytes",
            Axis::Cores => "cores",
            Axis::Bulk => "bulk",
        }
    }

    /// With its unit.
    fn x(self) -> &'static str {
        match self {
            Axis::Connections => "connections",
            Axis::Keys => "keys",
            Axis::ValueBytes => "bytes of a value",
            Axis::Cores => "cores of the sidecar",
            Axis::Bulk => "keys of a bulk get",
        }
    }

    fn law(self) -> Law {
        match self {
            Axis::Connections | Axis::Keys | Axis::Cores => Law::Flat,
            Axis::ValueBytes | Axis::Bulk => Law::Linear,
        }
    }

    fn measure(self, args: &Args, setup: &Setup) -> anyhow::Result<Vec<Point>> {
        use Operation::{BulkGet, Get, Save};
        let usual = Plan {
            programs: Program::all(setup, None)?,
            stores: vec![Store::Memory],
            wires: vec![Wire::Http],
            operations: vec![Get, Save],
            connections: vec![CONNECTIONS as u16],
            value_bytes: vec![VALUE_LEN],
            keys: KEYS,
            bulk_len: BULK_LEN,
            requests: args.requests as usize,
            rounds: args.rounds,
            open_loop: OpenLoop::None,
            starts: 0,
            running: Running::default(),
            counts_allocations: false,
        };
        let plans: Vec<(f64, Plan)> = match self {
            Axis::Connections => {
                let wires = vec![Wire::Http, Wire::Grpc];
                let plan = |it: u16| {
                    let (wires, connections) = (wires.clone(), vec![it]);
                    (it.into(), Plan { wires, connections, ..usual.clone() })
                };
                [1, 4, 16, 64, 256].map(plan).into()
            }
            Axis::Keys => {
                let keys = [1_000, 10_000, 100_000, 1_000_000].into_iter();
                let keys = keys.filter(|it| *it <= args.keys_max as usize);
                let (stores, value_bytes) = (STORES.to_vec(), vec![100]);
                let plan = Plan { stores, value_bytes, ..usual };
                keys.map(|keys| (keys as f64, Plan { keys, ..plan.clone() })).collect()
            }
            Axis::ValueBytes => {
                let plan = |it: usize| (it as f64, Plan { value_bytes: vec![it], ..usual.clone() });
                [100, 1024, 4096, 16_384, 65_536].map(plan).into()
            }
            Axis::Cores => (1..=setup::cores().min(2))
                .map(|it| {
                    let running = Running { cores: Some(it), ..Running::default() };
                    (it as f64, Plan { running, ..usual.clone() })
                })
                .collect(),
            Axis::Bulk => {
                let plan = Plan { stores: STORES.to_vec(), operations: vec![BulkGet], ..usual };
                let bulk = |bulk_len: usize| {
                    // As many keys in all, within limits.
                    let requests = (10 * plan.requests / bulk_len).clamp(500, plan.requests);
                    (bulk_len as f64, Plan { bulk_len, requests, ..plan.clone() })
                };
                [1, 5, 10, 20, 50, 100].map(bulk).into()
            }
        };
        let data = setup.data()?;
        load::block_on(measure(&plans, data.path()))
    }

    fn lines(self, series: &[Series]) -> Lines {
        let mut lines: Vec<(String, Vec<(f64, Spread)>)> = Vec::new();
        for it in series {
            lines.push((it.name.clone(), it.points.clone()));
        }
        // One floor is enough to compare with; more would hide what is compared.
        if let Some(first) = series.first() {
            lines.push((format!("echo: {}", first.name), first.echo.clone()));
        }
        Lines {
            title: format!("CPU time of the sidecar per request, against {}", self.x()),
            x: self.x().to_owned(),
            y: "CPU time, us per request".to_owned(),
            log_x: matches!(self, Axis::Connections | Axis::Keys | Axis::ValueBytes),
            series: lines,
        }
    }
}

/// All plans at the same time, so that a round has all of them one after the other: a machine that is slow
/// for a while is so for all.
async fn measure(plans: &[(f64, Plan)], data: &Path) -> anyhow::Result<Vec<Point>> {
    let mut arenas = Vec::new();
    for (i, (x, plan)) in plans.iter().enumerate() {
        // Servers want a folder that is empty.
        let data = data.join(i.to_string());
        fs::create_dir(&data)?;
        for store in &plan.stores {
            let opened = plan.open(*store, &data).await?;
            arenas.extend(opened.into_iter().map(|it| (*x, plan, it)));
        }
    }
    let rounds = plans.iter().map(|(_, plan)| plan.rounds).max().unwrap_or_default();
    for round in 1..=rounds {
        eprintln!("curves: round {round} of {rounds}");
        for (_, plan, arena) in &mut arenas {
            arena.round(plan).await?;
        }
    }
    let mut points = Vec::new();
    for (x, _, arena) in arenas {
        let mut found = Found::default();
        arena.close(&mut found).await?;
        points.push(Point { x, cells: found.cells });
    }
    Ok(points)
}

fn series(points: &[Point]) -> Vec<Series> {
    let mut all: Vec<Series> = Vec::new();
    for (x, cell) in points.iter().flat_map(|it| it.cells.iter().map(|cell| (it.x, cell))) {
        let name = format!("{} {} {}", cell.store, cell.wire, cell.operation);
        let index = all.iter().position(|it| it.name == name).unwrap_or_else(|| {
            all.push(Series { name, points: Vec::new(), echo: Vec::new() });
            all.len() - 1
        });
        let costs = [("steadfast", false), ("echo", true)];
        for (cost, is_echo) in
            costs.into_iter().filter_map(|(it, is_echo)| Some((cell.cost(it)?, is_echo)))
        {
            let point = (x, Spread::of(&cost.cpu_us));
            let series = &mut all[index];
            if is_echo { &mut series.echo } else { &mut series.points }.push(point);
        }
    }
    all
}

fn rows(law: Law, series: &[Series]) -> Vec<Row> {
    let mut rows = Vec::new();
    for it in series {
        let fit = it.fit(law);
        for ((x, cpu), (_, echo)) in it.points.iter().zip(&it.echo) {
            let expected = fit.intercept + fit.slope * x;
            rows.push(
                Row::of("what", it.name.clone())
                    .number("x", *x, 0)
                    .range("cpu_us", *cpu, 1)
                    .range("echo_cpu_us", *echo, 1)
                    .number("fit_us", expected, 1)
                    .number("off_%", (cpu.median / expected - 1.0) * 100.0, 0)
                    .number("slope_us", fit.slope, 4),
            );
        }
    }
    rows
}

impl Series {
    fn fit(&self, law: Law) -> Fit {
        let points: Vec<(f64, f64)> = self.points.iter().map(|(x, y)| (*x, y.median)).collect();
        Fit::of(law, &points)
    }
}
