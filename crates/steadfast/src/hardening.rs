//! What the process asks of the system before it serves anybody.

use std::sync::OnceLock;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tracing::debug;

/// How many files this process might open before it asked for more.
static FILES_AT_FIRST: OnceLock<u64> = OnceLock::new();

/// Keeps others out of the memory, which has secrets, and asks for as many files as there may be: each connection is one. The
/// usual 1024 are for programs that would fail with more, as they still do for an application.
pub(crate) fn apply() {
    #[cfg(target_os = "linux")]
    {
        use rustix::process::{DumpableBehavior, set_dumpable_behavior};
        // Neither a core file nor, for other processes of the user, the environment and the memory. After `exec` it is off.
        if let Err(e) = set_dumpable_behavior(DumpableBehavior::NotDumpable) {
            debug!(error = %e, "the memory cannot be kept from other processes");
        }
    }
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let Some(now) = current.filter(|it| maximum.is_none_or(|max| *it < max)) else { return };
    match setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }) {
        Ok(()) => drop(FILES_AT_FIRST.set(now)),
        Err(e) => debug!(error = %e, "there may be no more open files than {now}"),
    }
}

/// The limit that children had without us; `None` if it is the same.
pub(crate) fn files_of_children() -> Option<u64> {
    FILES_AT_FIRST.get().copied()
}

/// Goes back to the limit of [`files_of_children`].
pub(crate) fn limit_files(files: Option<u64>) {
    let Some(files) = files else { return };
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    // The same limit or a lower one is never refused.
    let _ = setrlimit(Resource::Nofile, Rlimit { current: Some(files), maximum });
}
