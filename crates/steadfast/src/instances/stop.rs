//! `steadfast stop`: ends applications with their sidecars.

use std::{
    process::ExitCode,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, bail};
use rustix::process::{Pid, Signal, kill_process};

use super::{Instance, arguments::StopArgs, process::is_cli, running, start_time};
use crate::{
    FAILURE,
    console::{Console, Mark},
};

/// How long an application with its sidecar may take to end: five seconds each until the application, what it has started
/// and the requests under way are given up, and stores are closed.
const PATIENCE: Duration = Duration::from_secs(30);

const PAUSE: Duration = Duration::from_millis(20);

/// A process to end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Target {
    pid: i32,
    start_time: u64,
}

impl Target {
    fn of(pid: i32) -> Option<Target> {
        start_time(pid).map(|start_time| Target { pid, start_time })
    }

    fn has_ended(&self) -> bool {
        start_time(self.pid) != Some(self.start_time)
    }
}

pub(crate) fn main(args: &StopArgs) -> anyhow::Result<ExitCode> {
    let console = Console { json: false };
    let running = running();
    if let Some(file) = &args.run_file {
        let file = state_config::template_file(file)?;
        let file =
            file.canonicalize().with_context(|| format!("cannot find {}", file.display()))?;
        let of_run = |it: &&Instance| it.facts.run_template_path.as_ref() == Some(&file);
        let instances: Vec<_> = running.iter().filter(of_run).collect();
        if instances.is_empty() {
            bail!("nothing runs that {} has started; see `steadfast list`", file.display());
        }
        // Those that end the whole run, and what is left of one whose parent was killed.
        let mut targets: Vec<_> = instances.iter().filter_map(|it| chosen(it, &[])).collect();
        targets.dedup();
        end(&targets)?;
        console.say(Mark::Success, "Dapr and app processes stopped successfully");
        return Ok(ExitCode::SUCCESS);
    }
    let mut all_ended = true;
    for id in args.ids.iter().chain(&args.app_id) {
        let targets: Vec<_> = running
            .iter()
            .filter(|it| it.app_id == *id)
            .filter_map(|it| chosen(it, &running))
            .collect();
        let ended = match targets.is_empty() {
            true => Err(anyhow::anyhow!("couldn't find app id {id}")),
            false => end(&targets),
        };
        match ended {
            Ok(()) => console.say(Mark::Success, &format!("app stopped successfully: {id}")),
            Err(e) => {
                all_ended = false;
                console.say(Mark::Failure, &format!("failed to stop app id {id}: {e:#}"));
            }
        }
    }
    Ok(if all_ended { ExitCode::SUCCESS } else { ExitCode::from(FAILURE) })
}

/// The process that ends an instance, if asked: whoever started it, unless that has others among `running` as well.
fn chosen(instance: &Instance, running: &[Instance]) -> Option<Target> {
    let is_shared =
        |cli: i32| running.iter().filter(|it| it.facts.cli_pid == Some(cli)).count() > 1;
    let cli = instance.facts.cli_pid.filter(|it| !is_shared(*it) && is_cli(*it));
    // One that was started later has got the number of one that is gone.
    let cli = cli.and_then(Target::of).filter(|it| it.start_time <= instance.start_time);
    let alone = Target { pid: instance.sidecar_pid, start_time: instance.start_time };
    cli.or_else(|| (!alone.has_ended()).then_some(alone))
}

/// Asks processes to end and waits until they have.
#[expect(
    clippy::disallowed_methods,
    reason = "nothing tells that a process that is no child has ended"
)]
fn end(targets: &[Target]) -> anyhow::Result<()> {
    for target in targets {
        let pid = Pid::from_raw(target.pid).context("the number of its process is not known")?;
        if let Err(e) = kill_process(pid, Signal::TERM)
            && !target.has_ended()
        {
            return Err(e).with_context(|| format!("cannot signal process {}", target.pid));
        }
    }
    let deadline = Instant::now() + PATIENCE;
    while let Some(left) = targets.iter().find(|it| !it.has_ended()) {
        if Instant::now() > deadline {
            bail!(
                "process {} did not end within {PATIENCE:?}; kill -9 {} ends it",
                left.pid,
                left.pid
            );
        }
        thread::sleep(PAUSE);
    }
    Ok(())
}
