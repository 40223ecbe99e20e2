//! The log files of a run.

use std::{
    fs::{self, OpenOptions},
    io::ErrorKind,
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
    time::SystemTime,
};

use state_config::Problem;

use super::Planned;

const HINT: &str =
    "make room, or write `console` for `appLogDestination` and `daprdLogDestination`";

/// Makes the files, which are new for each run, and names them in the orders: `.dapr/logs/ID_KIND_YYYYMMDDHHMMSS.log` in the
/// folder of the application, at the time in UTC. Source: Dapr's CLI, which takes local time.
pub(super) fn place(apps: &mut [Planned]) -> Result<(), Box<Problem>> {
    let now = humantime::format_rfc3339_seconds(SystemTime::now()).to_string();
    let stamp: String = now.chars().filter(char::is_ascii_digit).collect();
    for app in apps {
        let folder = app.folder.join(".dapr").join("logs");
        let logs = [("app", &mut app.order.app_log), ("daprd", &mut app.order.sidecar_log)];
        for (kind, log) in logs {
            if log.file.is_some() {
                log.file = Some(placed(&folder, &format!("{}_{kind}_{stamp}", app.app_id))?);
            }
        }
    }
    Ok(())
}

fn placed(folder: &Path, name: &str) -> Result<PathBuf, Box<Problem>> {
    let made = || {
        fs::create_dir_all(folder)?;
        // Replicas of one application may share a folder, and are started in one second.
        for number in 1.. {
            let number = if number == 1 { String::new() } else { format!("-{number}") };
            let path = folder.join(format!("{name}{number}.log"));
            // Who prints a password to its log has shown it to this user alone.
            match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
                Err(e) if e.kind() == ErrorKind::AlreadyExists => {}
                made => return made.map(|_| path),
            }
        }
        Err(ErrorKind::AlreadyExists.into())
    };
    made().map_err(|e| {
        Box::new(Problem {
            file: folder.to_owned(),
            line: None,
            column: None,
            component: None,
            message: format!("a log file cannot be made there: {e}"),
            hint: Some(HINT.to_owned()),
            ignorable: false,
        })
    })
}
