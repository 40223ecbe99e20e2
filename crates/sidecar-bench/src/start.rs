//! `start`: from exec to the first good answer, and how large the program is.

use std::fs;

use crate::{
    client::Wire,
    load,
    report::{Goal, Report, Row, Table},
    server::Server,
    setup::{self, Setup},
    statistics::median,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// How often each store is started
    #[arg(long, default_value = "21", value_parser = clap::value_parser!(u16).range(1..))]
    samples: u16,
}

impl Args {
    pub(crate) const SHORT: Args = Args { samples: 11 };
}

const GOAL_MS: f64 = 15.0;
const BINARY_GOAL_MB: f64 = 15.0;

/// In the order of the rows.
const STORES: [&str; 3] = ["memory", "sqlite, new file", "sqlite"];

pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<Report> {
    let data = setup.data()?;
    eprintln!("start: {} starts of {} stores", args.samples, STORES.len());
    let mut times_ms = [const { Vec::new() }; STORES.len()];
    for sample in 0..args.samples {
        let new_file = setup::sqlite_url(&data, &format!("{sample}.db"));
        // The second start on a file finds the tables there.
        let urls = ["memory", &new_file, &new_file];
        for (times_ms, url) in times_ms.iter_mut().zip(urls) {
            times_ms.push(start_ms(setup, url)?);
        }
    }
    let stores = STORES.iter().zip(&times_ms);
    let rows = stores
        .clone()
        .map(|(store, times_ms)| Row::of("store", *store).spread("start_ms", times_ms, 1));
    let binary_mb = fs::metadata(setup.program()?)?.len() as f64 / 1e6;
    let goal = |(store, times_ms): (&&str, &Vec<f64>)| {
        Goal::at_most(format!("{store}, median ms,"), GOAL_MS, median(times_ms))
    };
    Ok(Report {
        command: "start",
        setting: format!(
            "{} starts each, in turn; {} cores, {}",
            args.samples,
            setup::cores(),
            setup::file_system(data.path())?
        ),
        tables: vec![Table::of(rows)],
        goals: stores
            .map(goal)
            .chain([Goal::at_most("the program, MB,", BINARY_GOAL_MB, binary_mb)])
            .collect(),
        problems: Vec::new(),
    })
}

fn start_ms(setup: &Setup, url: &str) -> anyhow::Result<f64> {
    let server =
        load::block_on(Server::start(Wire::Http, setup.sidecar(url)?, "--dapr-http-port"))?;
    let start_ms = server.start_time.as_secs_f64() * 1e3;
    load::block_on(server.stop())?;
    Ok(start_ms)
}
