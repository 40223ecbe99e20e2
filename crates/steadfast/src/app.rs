//! The application as a process.

use std::{
    env, io,
    os::unix::process::{CommandExt, ExitStatusExt},
    process::{Command, ExitCode, ExitStatus, Stdio},
    time::Duration,
};

use anyhow::Context;
use rustix::process::{
    Pid, Signal, getpid, getppid, kill_process_group, set_parent_process_death_signal,
    test_kill_process_group,
};
use tokio::{process::Child, task::JoinSet, time::Instant};

use crate::{cli::LaunchArgs, hardening, lines::Lines};

/// What shells exit with if a command is not there, or is not a program. Source: POSIX.1-2017,
/// Shell Command Language, 2.8.2.
const NOT_FOUND: u8 = 127;
const NOT_EXECUTABLE: u8 = 126;

/// How often it is looked whether the application's processes have ended.
const GROUP_PAUSE: Duration = Duration::from_millis(10);

/// A running application, with all processes that it has started.
#[derive(Debug)]
pub(crate) struct App {
    child: Child,
    group: Pid,
    printing: JoinSet<()>,
}

impl App {
    /// Starts the application in a process group of its own. Its environment is ours and
    /// `variables`, of which the last of one name counts.
    ///
    /// Must be called on the thread that lives as long as the process: the system ends the
    /// application when the thread that started it ends.
    pub(crate) fn start(
        command: &[String],
        variables: &[(String, String)],
        input: Stdio,
        lines: &Lines,
    ) -> anyhow::Result<App> {
        let own = env::current_exe().context("cannot find the program that is running")?;
        let mut launcher = tokio::process::Command::new(own);
        launcher
            .args(["launch-app", "--parent", &getpid().as_raw_nonzero().to_string()])
            .args(hardening::files_of_children().map(|it| format!("--files={it}")))
            .arg("--")
            .args(command)
            .envs(variables.iter().map(|(name, value)| (name, value)))
            .stdin(input)
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .process_group(0)
            .kill_on_drop(true);
        let mut child = launcher.spawn().context("cannot start a process")?;
        let group = child.id().and_then(|it| Pid::from_raw(it.cast_signed()));
        let group = group.context("the application ended before it began")?;
        let mut printing = JoinSet::new();
        if let Some(out) = child.stdout.take() {
            printing.spawn(lines.clone().copy(out, false));
        }
        if let Some(out) = child.stderr.take() {
            printing.spawn(lines.clone().copy(out, true));
        }
        Ok(App { child, group, printing })
    }

    /// The application's process.
    pub(crate) fn pid(&self) -> i32 {
        self.group.as_raw_nonzero().get()
    }

    /// Waits until the application itself has ended.
    pub(crate) async fn ended(&mut self) -> io::Result<ExitStatus> {
        self.child.wait().await
    }

    /// Sends a signal to all its processes.
    pub(crate) fn signal(&self, number: i32) {
        if let Some(signal) = Signal::from_named_raw(number) {
            // It may have ended at this moment.
            let _ = kill_process_group(self.group, signal);
        }
    }

    /// Ends all processes that the application has left behind, and prints what they had to say.
    pub(crate) async fn clean_up(mut self, patience: Duration) {
        let deadline = Instant::now() + patience;
        let _ = kill_process_group(self.group, Signal::TERM);
        while test_kill_process_group(self.group).is_ok() && Instant::now() < deadline {
            tokio::time::sleep(GROUP_PAUSE).await;
        }
        let _ = kill_process_group(self.group, Signal::KILL);
        let printed = async { while self.printing.join_next().await.is_some() {} };
        // A process that left the group may keep the pipe open for ever.
        let _ = tokio::time::timeout(patience, printed).await;
    }
}

/// Our own input, for an application that is alone with us. A terminal cannot be shared with a process
/// group in the background: reading from it would stop
/// the application.
pub(crate) fn own_input() -> Stdio {
    if io::IsTerminal::is_terminal(&io::stdin()) { Stdio::null() } else { Stdio::inherit() }
}

/// The exit code that stands for how a process ended, as shells have it.
pub(crate) fn exit_code(status: ExitStatus) -> u8 {
    let signalled = || 128 + status.signal().unwrap_or_default();
    u8::try_from(status.code().unwrap_or_else(signalled)).unwrap_or(u8::MAX)
}

/// Becomes the application, in a process that does not outlive its sidecar: not even one that was
/// killed with SIGKILL.
pub(crate) fn launch(args: &LaunchArgs) -> anyhow::Result<ExitCode> {
    set_parent_process_death_signal(Some(Signal::KILL)).context("cannot bind to the sidecar")?;
    // The parent may have ended before the line above.
    if getppid().map(|it| it.as_raw_nonzero().get()) != Some(args.parent) {
        return Ok(ExitCode::from(crate::FAILURE));
    }
    hardening::limit_files(args.files);
    let (program, arguments) = args.command.split_first().context("no command")?;
    let e = Command::new(program).args(arguments).exec();
    let (code, hint) = match e.kind() {
        io::ErrorKind::NotFound => (NOT_FOUND, "check its name, and PATH"),
        _ => (NOT_EXECUTABLE, "check that it is a program, and that you may run it"),
    };
    anstream::eprintln!("cannot start {program:?}: {e}; {hint}");
    Ok(ExitCode::from(code))
}
