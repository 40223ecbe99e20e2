//! Changes of files take effect while the sidecar runs.
//!
//! What a file says badly does not count: what it said before goes on, and the log and the metadata say why.

use std::{
    collections::BTreeSet,
    ffi::OsStr,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use notify::{
    Event, EventKind, RecommendedWatcher, RecursiveMode, Watcher,
    event::{AccessKind, AccessMode},
};
use sidecar_api::Front;
use state_config::{Configuration, Resources, configuration::Loaded};
use tokio::{
    signal::unix::{SignalKind, signal},
    sync::mpsc::{Receiver, Sender, channel},
};
use tracing::{error, info, warn};

use crate::{
    components::{self, Components},
    configuration,
    stores::Stores,
};

/// Editors and deployments write in several steps: files are read when there was nothing more for so long.
const QUIET: Duration = Duration::from_millis(50);
/// Files that never come to rest are read after so long.
const QUIET_MAX: Duration = Duration::from_secs(1);

/// How often files are read without an event. Source: Dapr's `--hot-reload-reconcile-interval`.
pub(crate) const RECONCILE_INTERVAL: Duration = Duration::from_secs(60);

/// What a sidecar was made from, and what has to follow when that changes.
#[derive(Debug)]
pub(crate) struct Reloader {
    pub(crate) sources: Sources,
    pub(crate) stores: Arc<Stores>,
    pub(crate) front: Arc<Front>,
    /// What the files of `--config` say now.
    pub(crate) configuration: Configuration,
    /// How often files are read without an event.
    pub(crate) interval: Duration,
    /// Whether SIGHUP asks for the files to be read. It does in the place of daprd.
    pub(crate) obeys_hangup: bool,
}

/// Where a sidecar is described.
#[derive(Clone, Debug)]
pub(crate) struct Sources {
    /// What the surroundings offer. The environment of a process does not change.
    pub(crate) context: state_config::Context,
    /// The folders of component files.
    pub(crate) folders: Vec<PathBuf>,
    /// The files of `--config`.
    pub(crate) files: Vec<PathBuf>,
}

impl Reloader {
    /// Follows the files for as long as the process lives.
    ///
    /// # Errors
    ///
    /// If the process cannot be asked by signal.
    pub(crate) fn start(self) -> anyhow::Result<()> {
        let (asks, asked) = channel(1);
        if self.obeys_hangup {
            let mut hangups = signal(SignalKind::hangup())?;
            let asks = asks.clone();
            tokio::spawn(async move {
                while hangups.recv().await.is_some() {
                    info!(
                        "Received signal 'SIGHUP'; reading the component and configuration files again"
                    );
                    ask(&asks);
                }
            });
        }
        let mut watcher = None;
        if self.configuration.hot_reload {
            info!(
                "Hot reloading enabled. Changes of component and configuration files take effect at once"
            );
            match self.sources.watch(asks.clone()) {
                Ok(it) => watcher = Some(it),
                Err(e) => warn!("{e:#}: they are read every {:?}", self.interval),
            }
            // For what has changed since they were read, before they were watched.
            ask(&asks);
        }
        tokio::spawn(self.follow(watcher, asks, asked));
        Ok(())
    }

    /// The channel must not close, nor the watcher end, as long as this goes on.
    async fn follow(
        mut self,
        _watcher: Option<RecommendedWatcher>,
        _asks: Sender<()>,
        mut asked: Receiver<()>,
    ) {
        let mut said = None;
        loop {
            tokio::select! {
                _ = asked.recv() => at_rest(&mut asked).await,
                () = tokio::time::sleep(self.interval), if self.configuration.hot_reload => {}
            }
            let (sources, configuration) = (self.sources.clone(), self.configuration.clone());
            match tokio::task::spawn_blocking(move || sources.read(&configuration)).await {
                Ok((loaded, resources)) => self.apply(loaded, resources, &mut said),
                Err(e) => error!(error = %e, "the files could not be read; this is a bug"),
            }
        }
    }

    /// Does what the files say, as far as they say it well. Says what has not been said yet.
    fn apply(&mut self, loaded: Loaded, resources: Resources, said: &mut Option<BTreeSet<String>>) {
        let Loaded { configuration, problems, warnings } = loaded;
        let mut says: BTreeSet<_> = warnings.iter().map(ToString::to_string).collect();
        says.extend(resources.warnings.iter().map(ToString::to_string));
        // The start has said what there was to warn of, and what it went on without.
        let before = said.take().unwrap_or_else(|| {
            let passed_over = resources.problems.iter().filter(|it| it.ignorable);
            says.iter().cloned().chain(passed_over.map(ToString::to_string)).collect()
        });
        for it in says.difference(&before) {
            warn!("{it}");
        }
        for it in &problems {
            let text = it.to_string();
            if !before.contains(&text) {
                error!("{text}; the configuration stays as it was");
            }
            says.insert(text);
        }
        if problems.is_empty() && configuration != self.configuration {
            self.reconfigure(configuration);
        }
        for it in &resources.problems {
            let text = it.to_string();
            if !before.contains(&text) {
                error!("{text}; what the file had before stays in use");
            }
            if let Some(name) = &it.component {
                self.stores.note(name, &text);
            }
            says.insert(text);
        }
        *said = Some(says);
        self.stores.all_is_well_with(|it| {
            !resources.problems.iter().any(|problem| problem.component.as_ref() == Some(&it.name))
        });
        let rejected = resources.rejected.into_iter().map(components::slot_of).collect();
        // Where something is wrong, a policy may be missing that is meant to be there.
        let resiliency = match resources.problems.as_slice() {
            [] => resources.resiliency,
            _ => self.stores.resiliency(),
        };
        let components = Components { usable: resources.components, resiliency, rejected };
        self.stores.change(components, |it| {
            resources.problems.iter().any(|problem| it.source.file.starts_with(&problem.file))
                || is_empty(&it.source.file)
        });
    }

    fn reconfigure(&mut self, configuration: Configuration) {
        info!("the configuration has changed");
        let before = std::mem::replace(&mut self.configuration, configuration);
        self.front.served.store(Arc::new(configuration::served(&self.configuration)));
        let later = [
            (before.metrics != self.configuration.metrics, "spec.metrics"),
            (before.tracing != self.configuration.tracing, "spec.tracing"),
            (before.api_logging != self.configuration.api_logging, "spec.logging"),
            (before.hot_reload != self.configuration.hot_reload, "spec.features"),
        ];
        for (_, name) in later.iter().filter(|(differs, _)| *differs) {
            warn!("`{name}` has changed, which takes effect at the next start");
        }
    }
}

impl Sources {
    /// Reads everything again. If what is said of the configuration is wrong, the one `before` holds for the components, too.
    fn read(&self, before: &Configuration) -> (Loaded, Resources) {
        let loaded = state_config::configuration::load(&self.files, &self.context);
        let holds = if loaded.problems.is_empty() { &loaded.configuration } else { before };
        let context = components::configured(&self.context, holds);
        let resources = state_config::load(&self.folders, &context);
        (loaded, resources)
    }

    /// Asks for the files to be read whenever one of them may have changed.
    fn watch(&self, asks: Sender<()>) -> anyhow::Result<RecommendedWatcher> {
        const FAILED: &str = "changes of files cannot be watched";
        let of_event = move |event: notify::Result<Event>| match event {
            Ok(it) if concerns(&it) => ask(&asks),
            Ok(_) => {}
            // Something may have been missed.
            Err(_) => ask(&asks),
        };
        let mut watcher = notify::recommended_watcher(of_event).context(FAILED)?;
        // Not the files themselves: editors and Kubernetes put others in their place.
        let folders_of_files = self.files.iter().filter_map(|it| it.parent());
        let folders: BTreeSet<&Path> =
            self.folders.iter().map(PathBuf::as_path).chain(folders_of_files).collect();
        for folder in folders {
            let folder = if folder == Path::new("") { Path::new(".") } else { folder };
            watcher.watch(folder, RecursiveMode::NonRecursive).context(FAILED)?;
        }
        Ok(watcher)
    }
}

/// Whether an event may be about a file that says something. A database beside the files changes all the time.
fn concerns(event: &Event) -> bool {
    let is_change = match event.kind {
        EventKind::Access(it) => it == AccessKind::Close(AccessMode::Write),
        _ => true,
    };
    is_change && event.paths.iter().any(|it| is_of_interest(it))
}

fn is_of_interest(path: &Path) -> bool {
    let extension = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    let name = path.file_name().and_then(OsStr::to_str).unwrap_or_default();
    // Kubernetes changes what `..data` points to.
    name.starts_with("..")
        || ["yaml", "yml", "json"].iter().any(|it| extension.eq_ignore_ascii_case(it))
}

/// Asks for the files to be read. If that was asked already and has not begun, it will do.
fn ask(asks: &Sender<()>) {
    let _ = asks.try_send(());
}

/// Waits until nobody asks any more.
async fn at_rest(asked: &mut Receiver<()>) {
    let quiet =
        async { while let Ok(Some(())) = tokio::time::timeout(QUIET, asked.recv()).await {} };
    // What is still being written then is read again later.
    let _ = tokio::time::timeout(QUIET_MAX, quiet).await;
}

/// Whether a file is there and says nothing, as when it is about to be written. Who means to take a component out, removes
/// its file.
fn is_empty(file: &Path) -> bool {
    std::fs::read_to_string(file).is_ok_and(|it| it.trim().is_empty())
}
