//! `steadfast run -f`: the applications of a `dapr.yaml`, each with its sidecar.
//!
//! [`plan`] makes of the file what is to be started, or says all that is wrong with it. Each application then gets a process
//! of this program, which hosts its sidecar and starts it: [`mod@hosted`]. So every sidecar has the folder, the log and the
//! end of its own, and one that is killed takes no other with it. Both ends hold a socket, [`channel`]; a host that finds it
//! closed knows that the run is gone, and ends. [`running`] is the run.

use std::{path::Path, process::ExitCode};

use anyhow::bail;

use crate::console::{Console, Mark};

mod arguments;
mod channel;
mod hosted;
mod plan;
mod running;

pub(crate) use arguments::RunFile;
pub(crate) use hosted::main as hosted;

/// Runs what the file says, until it is told to stop.
pub(crate) fn main(file: &Path, args: &RunFile, json: bool) -> anyhow::Result<ExitCode> {
    let console = Console { json };
    if !args.ignored.is_empty() {
        let flags = args.ignored.join(", ");
        let message = format!(
            "With --run-file these have no effect: {flags}. Write what they are for into the file."
        );
        console.say(Mark::Warning, &message);
    }
    let plan = match plan::Plan::read(file, json) {
        Ok(plan) => plan,
        Err(problems) => {
            let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
            bail!("nothing was started, because this is wrong:\n{}", problems.join("\n"));
        }
    };
    for it in &plan.warnings {
        console.say(Mark::Warning, it);
    }
    let runtime = crate::runtime()?;
    let code = runtime.block_on(running::run(plan, console));
    runtime.shutdown_background();
    code
}
