//! `all`: everything that has a goal, in a short form.

use std::path::PathBuf;

use crate::{
    client::Wire,
    compare::{self, Extent},
    curves, durable, memory,
    report::{self, Report},
    setup::Setup,
    start,
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    /// A daprd to compare with
    #[arg(long, value_name = "FILE")]
    daprd: Option<PathBuf>,
}

/// Prints each report, and all goals once more in the end. Returns whether nothing was found that must
/// not be.
pub(crate) fn run(args: &Args, setup: &Setup) -> anyhow::Result<bool> {
    let extent = Extent { daprd: args.daprd.clone(), ..Extent::SHORT };
    let commands: [&dyn Fn() -> anyhow::Result<Report>; 7] = [
        &|| start::run(&start::Args::SHORT, setup),
        &|| memory::run(&memory::Args::SHORT, setup),
        &|| compare::wire(Wire::Http, &extent, setup),
        &|| compare::wire(Wire::Grpc, &extent, setup),
        &|| compare::redis(&extent, setup),
        &|| durable::run(&durable::Args::SHORT, setup),
        &|| curves::run(&curves::Args::short(), setup),
    ];
    let mut reports = Vec::new();
    for command in commands {
        let report = command()?;
        report.print(setup.json)?;
        reports.push(report);
    }
    if !setup.json {
        print!("{}", report::summary(&reports));
        if args.daprd.is_none() {
            println!("not measured  against daprd: name one with --daprd");
        }
        println!("not measured  memory over hours: `cargo bench-sidecar soak` takes two");
    }
    Ok(reports.iter().all(|it| it.problems.is_empty()))
}
