//! One file for each running sidecar of ours: `~/.dapr/run/HOST-PID.json`, for this user alone.
//!
//! It is removed at the end. One that a killed sidecar has left is known by the number of its process and by when that
//! was started, and is removed by whoever comes upon it.

use std::{
    env, fs,
    fs::{DirBuilder, OpenOptions},
    io::{self, Write},
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
};

use serde::{Deserialize, Serialize};
use sidecar_api::Sidecar;
use tracing::debug;

use super::{Facts, Instance, start_time};

/// A sidecar's file, which goes when it does.
#[derive(Debug)]
pub(crate) struct Registered {
    path: Option<PathBuf>,
    instance: Instance,
}

/// What is in a file.
#[derive(Serialize, Deserialize)]
struct Record {
    /// Which machine: a home may be shared by several.
    host: String,
    /// Which start of the machine: after another one, the numbers of processes are given anew.
    boot: String,
    #[serde(flatten)]
    instance: Instance,
}

/// The folder of all files; `None` if this user has no home.
pub(crate) fn folder() -> Option<PathBuf> {
    env::home_dir().filter(|it| !it.as_os_str().is_empty()).map(|it| it.join(".dapr").join("run"))
}

impl Registered {
    /// Writes the file of this process. A sidecar works without as well: where there is no home, or it cannot be written,
    /// it is only not found as easily.
    pub(crate) fn new(instance: Instance) -> Registered {
        let sidecar_pid = std::process::id().cast_signed();
        let start_time = start_time(sidecar_pid).unwrap_or_default();
        let instance = Instance { sidecar_pid, start_time, ..instance };
        let name = format!("{}-{sidecar_pid}.json", host());
        let registered = Registered { path: folder().map(|it| it.join(name)), instance };
        registered.write();
        registered
    }

    /// Adds what is known now, to the file and to the metadata.
    pub(crate) fn tell(&mut self, facts: Facts, sidecar: &Sidecar) {
        for (name, value) in facts.named() {
            if let Err(e) = sidecar.set_metadata(name, value) {
                debug!(name, error = e.message, "cannot be shown in the metadata");
            }
        }
        self.instance.facts = facts;
        self.write();
    }

    fn write(&self) {
        let Some(path) = &self.path else { return };
        let record = Record { host: host(), boot: boot(), instance: self.instance.clone() };
        if let Err(e) = write(path, &record) {
            debug!(error = %e, "this sidecar is not in {}", path.display());
        }
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        if let Some(path) = &self.path {
            // It may never have been written.
            let _ = fs::remove_file(path);
        }
    }
}

/// Writes a file that is never seen half written.
fn write(path: &Path, record: &Record) -> io::Result<()> {
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
    }
    let draft = path.with_extension("draft");
    // Left by a process of the same number, whose mode we do not want.
    let _ = fs::remove_file(&draft);
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&serde_json::to_vec(record)?)?;
    fs::rename(&draft, path)
}

/// The sidecars of this machine that have a file and live.
pub(super) fn all() -> Vec<Instance> {
    folder().map(|it| in_folder(&it, &host(), &boot())).unwrap_or_default()
}

fn in_folder(folder: &Path, host: &str, boot: &str) -> Vec<Instance> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut found = Vec::new();
    for entry in entries.flatten() {
        let path = entry.path();
        if path.extension().is_none_or(|it| it != "json") {
            continue;
        }
        let record = fs::read(&path).ok().and_then(|it| serde_json::from_slice::<Record>(&it).ok());
        let Some(Record { host: theirs, boot: started, instance }) = record else { continue };
        if theirs != host {
            continue;
        }
        if started == boot && instance.lives() {
            found.push(instance);
        } else {
            // Somebody else may have been quicker.
            let _ = fs::remove_file(&path);
        }
    }
    found
}

fn host() -> String {
    let name = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let plain = |it: char| if it.is_ascii_alphanumeric() || it == '.' { it } else { '-' };
    name.trim().chars().map(plain).collect()
}

fn boot() -> String {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn instance(sidecar_pid: i32, start_time: u64) -> Instance {
        Instance { app_id: "cart".to_owned(), sidecar_pid, start_time, ..Default::default() }
    }

    #[test]
    fn only_files_of_living_processes_of_this_machine_count() {
        let folder = tempfile::tempdir().unwrap();
        let run = folder.path().join("run");
        let own = std::process::id().cast_signed();
        let started = start_time(own).unwrap();
        let place = |name: &str, host: &str, boot: &str, instance| {
            let record = Record { host: host.to_owned(), boot: boot.to_owned(), instance };
            write(&run.join(name), &record).unwrap();
        };
        place("living.json", "here", "now", instance(own, started));
        place("number-given-anew.json", "here", "now", instance(own, started + 1));
        place("before-the-restart.json", "here", "earlier", instance(own, started));
        place("other-machine.json", "there", "now", instance(1, 1));
        fs::write(run.join("torn.json"), "{").unwrap();
        assert_eq!(in_folder(&run, "here", "now"), [instance(own, started)]);
        let mut left: Vec<_> =
            fs::read_dir(&run).unwrap().map(|it| it.unwrap().file_name()).collect();
        left.sort();
        assert_eq!(left, ["living.json", "other-machine.json", "torn.json"]);
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&run), mode(&run.join("living.json"))), (0o700, 0o600));
    }
}
