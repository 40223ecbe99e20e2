//! The sidecars that run: how each tells of itself, and how they are found.
//!
//! A sidecar of ours writes a small file, [`record`], because a port that was chosen freely is told nowhere else. Others, such
//! as Dapr's, are found among the processes of this user by their name and their flags, [`process`]. All are asked for their
//! metadata, [`metadata`], for what only they know.

use std::{path::PathBuf, thread};

use serde::{Deserialize, Serialize};

mod arguments;
mod list;
mod logs;
mod metadata;
mod process;
mod record;
mod stop;

pub(crate) use arguments::{ListArgs, LogsArgs, StopArgs};
pub(crate) use list::main as list;
pub(crate) use logs::main as logs;
pub(crate) use process::start_time;
pub(crate) use record::{Registered, folder};
pub(crate) use stop::main as stop;

/// A running sidecar, as far as it is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Instance {
    pub(crate) app_id: String,
    pub(crate) http_port: Option<u16>,
    pub(crate) grpc_port: Option<u16>,
    /// In the place of ports.
    pub(crate) http_socket: Option<PathBuf>,
    pub(crate) grpc_socket: Option<PathBuf>,
    pub(crate) app_port: Option<u16>,
    pub(crate) max_request_body_size: u64,
    pub(crate) http_read_buffer_size: u64,
    /// The sidecar's process, and when it was started in ticks since the machine was: a number is given to another
    /// process some day.
    pub(crate) sidecar_pid: i32,
    pub(crate) start_time: u64,
    #[serde(flatten)]
    pub(crate) facts: Facts,
}

/// What only those know who started the sidecar.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Facts {
    pub(crate) command: String,
    /// The process that ends it all if it is asked to.
    pub(crate) cli_pid: Option<i32>,
    pub(crate) app_pid: Option<i32>,
    pub(crate) run_template_path: Option<PathBuf>,
    pub(crate) run_template_name: Option<String>,
    pub(crate) app_log_path: Option<PathBuf>,
    pub(crate) daprd_log_path: Option<PathBuf>,
}

impl Facts {
    /// Under the names of Dapr's CLI, for the metadata.
    pub(crate) fn named(&self) -> Vec<(&'static str, String)> {
        let path = |it: &Option<PathBuf>| it.as_ref().map(|it| it.display().to_string());
        let command = (!self.command.is_empty()).then(|| self.command.clone());
        let all = [
            ("cliPID", self.cli_pid.map(|it| it.to_string())),
            ("appPID", self.app_pid.map(|it| it.to_string())),
            ("appCommand", command),
            ("runTemplatePath", path(&self.run_template_path)),
            ("runTemplateName", self.run_template_name.clone()),
            ("appLogPath", path(&self.app_log_path)),
            ("daprdLogPath", path(&self.daprd_log_path)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

impl Instance {
    /// Whether the sidecar's process has not ended.
    pub(crate) fn lives(&self) -> bool {
        start_time(self.sidecar_pid) == Some(self.start_time)
    }

    /// Fills in what is not known from what the sidecar says of itself.
    fn complete(&mut self, told: metadata::Told) {
        let theirs = told.facts;
        let ours = &mut self.facts;
        if self.app_id.is_empty() {
            self.app_id = told.app_id;
        }
        self.app_port = self.app_port.or(told.app_port);
        if ours.command.is_empty() {
            ours.command = theirs.command;
        }
        ours.cli_pid = ours.cli_pid.or(theirs.cli_pid);
        ours.app_pid = ours.app_pid.or(theirs.app_pid);
        ours.run_template_path = ours.run_template_path.take().or(theirs.run_template_path);
        ours.run_template_name = ours.run_template_name.take().or(theirs.run_template_name);
        ours.app_log_path = ours.app_log_path.take().or(theirs.app_log_path);
        ours.daprd_log_path = ours.daprd_log_path.take().or(theirs.daprd_log_path);
    }
}

/// All sidecars of this user that run on this machine, those that were started first at the top.
pub(crate) fn running() -> Vec<Instance> {
    let mut found = record::all();
    for it in process::sidecars() {
        if !found.iter().any(|known| known.sidecar_pid == it.sidecar_pid) {
            found.push(it);
        }
    }
    // Each may be slow, or hang.
    thread::scope(|scope| {
        for it in &mut found {
            scope.spawn(|| {
                if let Some(told) = metadata::ask(it) {
                    it.complete(told);
                }
            });
        }
    });
    found.retain(|it| !it.app_id.is_empty());
    found.sort_by_key(|it| (it.start_time, it.sidecar_pid));
    found
}

#[cfg(test)]
mod tests;
