//! The stores of a running sidecar: those that its files ask for, each open or on its way there.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Weak},
    time::Duration,
};

use anyhow::bail;
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::join_all;
use parking_lot::Mutex;
use sidecar_api::{Component as Slot, Sidecar};
use state::{Error, FailureKind};
use state_config::{Component, Resiliency};
use tokio_util::sync::CancellationToken;
use tracing::{error, info, warn};

use crate::{
    components::Components,
    metrics::Metrics,
    opening::{Opening, openings, rejected_component},
    provision,
};

/// The pause between two attempts to open a store.
const OPEN_PAUSE_MIN: Duration = Duration::from_millis(100);
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long stores may take to be put in order at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// What is wanted, by name. What there is, the sidecar's service knows: until a changed component is open, that is the
/// one before.
#[derive(Debug)]
pub(crate) struct Stores {
    app_id: String,
    sidecar: Arc<Sidecar>,
    wanted: Mutex<BTreeMap<String, Wanted>>,
    /// What is shown to applications instead of a store, and says why there is none.
    rejected: Mutex<Vec<Arc<Slot>>>,
    /// What is done when stores fail.
    resiliency: Mutex<Resiliency>,
    /// Ends the pauses of that.
    ending: CancellationToken,
    metrics: Option<Arc<Metrics>>,
}

#[derive(Clone, Debug)]
struct Wanted {
    opening: Arc<Opening>,
    slot: Arc<Slot>,
}

impl Stores {
    /// Stores for these components, of which none is open yet.
    ///
    /// # Errors
    ///
    /// If this program has no driver for one, unless the component says `ignoreErrors`.
    pub(crate) fn new(
        app_id: &str,
        sidecar: Arc<Sidecar>,
        components: Components,
        metrics: Option<Arc<Metrics>>,
    ) -> anyhow::Result<Arc<Stores>> {
        let Components { usable, resiliency, mut rejected } = components;
        let ending = CancellationToken::new();
        let mut wanted = BTreeMap::new();
        for opening in openings(app_id, usable, &mut rejected)? {
            let policy = resiliency.policy_for(&opening.component.name);
            let opening = opening.counted_by(metrics.clone()).with_policy(policy, &ending);
            let it = Wanted { slot: Arc::new(opening.slot()), opening: Arc::new(opening) };
            sidecar.service.put(&it.slot);
            wanted.insert(it.slot.name.clone(), it);
        }
        let app_id = app_id.to_owned();
        let stores = Stores {
            app_id,
            sidecar,
            wanted: wanted.into(),
            rejected: Mutex::default(),
            resiliency: resiliency.into(),
            ending,
            metrics,
        };
        stores.count_policies(&Resiliency::default());
        for it in &rejected {
            stores.metrics.as_ref().inspect(|metrics| {
                metrics.init_failed(&it.name, &it.component_type, "creation");
            });
        }
        stores.show_rejected(rejected);
        Ok(Arc::new(stores))
    }

    /// Opens the stores. Those that cannot be reached are tried again in the background.
    ///
    /// # Errors
    ///
    /// If a store's settings are wrong: no second attempt would help.
    pub(crate) async fn open(self: &Arc<Stores>) -> anyhow::Result<()> {
        let wanted: Vec<_> = self.wanted.lock().values().cloned().collect();
        let mistakes: Vec<_> = join_all(wanted.into_iter().map(|it| self.first_attempt(it))).await;
        let mistakes: Vec<_> = mistakes.into_iter().flatten().collect();
        if mistakes.is_empty() {
            return Ok(());
        }
        bail!("{}", mistakes.join("\n"))
    }

    async fn first_attempt(self: &Arc<Stores>, it: Wanted) -> Option<String> {
        let Err(e) = it.opening.attempt(&it.slot).await else {
            info!("Component loaded: {}", it.opening);
            return None;
        };
        let Component { name, ignore_errors, .. } = &it.opening.component;
        match is_invalid(&e) {
            true if !ignore_errors => return Some(it.opening.describe(&e.to_string())),
            true => {
                error!(component = name, error = %e, "the store's settings are wrong; going on without it");
            }
            false => {
                error!(component = name, error = %e, "cannot open the store; trying again in the background");
                tokio::spawn(self.clone().bring_up(it.opening, Arc::downgrade(&it.slot), false));
            }
        }
        None
    }

    /// Makes `components` what is wanted. Others are taken out, unless they `stay`. Returns at once: what is new is opened in
    /// the background, and requests go to the component before until then.
    pub(crate) fn change(
        self: &Arc<Stores>,
        components: Components,
        stay: impl Fn(&Component) -> bool,
    ) {
        let Components { usable: components, resiliency, mut rejected } = components;
        let mut wanted = self.wanted.lock();
        let is_asked_for = |name: &String| components.iter().any(|it| it.name == *name);
        let stays = |it: &Component| is_given_by_flag(it) || stay(it);
        let gone: Vec<_> = wanted
            .iter()
            .filter(|(name, it)| !is_asked_for(name) && !stays(&it.opening.component))
            .map(|(name, _)| name.clone())
            .collect();
        for name in gone {
            info!("Component removed: {name}");
            wanted.remove(&name);
            if let Some(slot) = self.sidecar.service.remove(&name) {
                tokio::spawn(slot.retire());
            }
        }
        for component in components {
            let before = wanted.get(&component.name);
            let policy = resiliency.policy_for(&component.name);
            let as_before = before.filter(|it| it.opening.is_of(&component));
            if as_before.is_some_and(|it| it.opening.policy() == policy.as_ref()) {
                continue;
            }
            let name = component.name.clone();
            if before.is_some_and(|it| is_given_by_flag(&it.opening.component)) {
                let (file, line) = (component.source.file.display(), component.source.line);
                self.not_updated(
                    &name,
                    &format!("{file}:{line}: {} defines `{name}`, too", provision::FLAG),
                );
                continue;
            }
            match Opening::new(&self.app_id, component.clone()) {
                Ok(opening) => {
                    let opening = opening.counted_by(self.metrics.clone());
                    let mut opening = opening.with_policy(policy, &self.ending);
                    if let Some(it) = as_before {
                        opening = opening.around(&it.opening);
                    }
                    let it = Wanted { slot: Arc::new(opening.slot()), opening: Arc::new(opening) };
                    self.begin(&it);
                    wanted.insert(name, it);
                }
                Err(mistake) => {
                    self.not_updated(&name, &mistake);
                    rejected.push(rejected_component(&component, mistake));
                }
            }
        }
        drop(wanted);
        self.show_rejected(rejected);
        let before = std::mem::replace(&mut *self.resiliency.lock(), resiliency);
        self.count_policies(&before);
    }

    /// Shows these where there is nothing else of their name, and no longer those that were shown before.
    fn show_rejected(&self, rejected: Vec<Arc<Slot>>) {
        let wanted = self.wanted.lock();
        let service = &self.sidecar.service;
        let mut shown = self.rejected.lock();
        for it in shown.drain(..) {
            let is_there = service.component(&it.name).is_some_and(|now| Arc::ptr_eq(&now, &it));
            // What is wanted takes its place as soon as it is open.
            if is_there && !wanted.contains_key(&it.name) {
                service.remove(&it.name);
            }
        }
        for it in rejected {
            if service.component(&it.name).is_none() {
                service.put(&it);
                shown.push(it);
            }
        }
    }

    fn begin(self: &Arc<Stores>, it: &Wanted) {
        let is_there = self.sidecar.service.component(&it.slot.name).is_some();
        if is_there {
            info!("Updating Component: {}", it.opening);
        } else {
            info!("Adding Component for processing: {}", it.opening);
            self.sidecar.service.put(&it.slot);
        }
        let (opening, slot) = (it.opening.clone(), Arc::downgrade(&it.slot));
        tokio::spawn(self.clone().bring_up(opening, slot, true));
    }

    /// Counts and shows the resources of policies that there were not `before`.
    fn count_policies(&self, before: &Resiliency) {
        let resiliency = self.resiliency.lock();
        self.sidecar.set_resiliencies(resiliency.resources());
        let Some(metrics) = &self.metrics else { return };
        let are_new = resiliency.resources().iter().filter(|it| !before.resources().contains(it));
        are_new.for_each(|it| metrics.resiliency().loaded(it));
    }

    /// What is done when stores fail.
    pub(crate) fn resiliency(&self) -> Resiliency {
        self.resiliency.lock().clone()
    }

    /// Ends the pauses between attempts of requests: the sidecar is about to end.
    pub(crate) fn end_pauses(&self) {
        self.ending.cancel();
    }

    /// Notes, for those who ask for the metadata, why a component is not what its file asks for.
    pub(crate) fn note(&self, name: &str, mistake: &str) {
        if let Some(slot) = self.sidecar.service.component(name) {
            slot.set_update_error(Some(mistake.to_owned()));
        }
    }

    /// As `note`, and says it once.
    fn not_updated(&self, name: &str, mistake: &str) {
        let slot = self.sidecar.service.component(name);
        if slot.is_some_and(|it| it.update_error().as_deref() == Some(mistake)) {
            return;
        }
        error!("{mistake}; the component stays as it was");
        self.note(name, mistake);
    }

    /// Tries to open a store until it is open, or nobody wants it any more.
    async fn bring_up(self: Arc<Stores>, opening: Arc<Opening>, slot: Weak<Slot>, at_once: bool) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(OPEN_PAUSE_MIN)
            .with_max_delay(OPEN_PAUSE_MAX)
            .with_jitter()
            .without_max_times();
        let first = at_once.then_some(Duration::ZERO);
        for pause in first.into_iter().chain(pauses.build()) {
            tokio::time::sleep(pause).await;
            let Some(slot) = slot.upgrade() else { return };
            match opening.attempt(&slot).await {
                Ok(()) => return self.install(&opening, &slot),
                Err(e) if at_once => {
                    self.not_updated(&slot.name, &opening.describe(&e.to_string()));
                    if is_invalid(&e) {
                        return;
                    }
                }
                Err(_) => {}
            }
        }
    }

    /// Lets requests find a store that is open, if it is still wanted.
    fn install(&self, opening: &Opening, slot: &Arc<Slot>) {
        let wanted = self.wanted.lock();
        if !wanted.get(&slot.name).is_some_and(|it| Arc::ptr_eq(&it.slot, slot)) {
            tokio::spawn(slot.clone().retire());
            return;
        }
        let before = self.sidecar.service.put(slot);
        match before.filter(|it| !Arc::ptr_eq(it, slot)) {
            Some(before) => {
                info!("Component updated: {opening}");
                if !opening.reuses() {
                    tokio::spawn(before.retire());
                }
            }
            None => info!("Component loaded: {opening}"),
        }
    }

    /// Forgets what was said of components that are as their files want them.
    pub(crate) fn all_is_well_with(&self, is_well: impl Fn(&Component) -> bool) {
        for it in self.wanted.lock().values().filter(|it| is_well(&it.opening.component)) {
            it.slot.set_update_error(None);
        }
    }

    /// Puts the stores in order before the end, if that does not take long.
    pub(crate) async fn close(&self) {
        let components = self.sidecar.service.components();
        let stores: Vec<_> = components.iter().filter_map(|it| it.store().cloned()).collect();
        let closing = join_all(stores.iter().map(|it| it.close()));
        if tokio::time::timeout(CLOSE_PATIENCE, closing).await.is_err() {
            warn!("the stores take long to close; nothing depends on it");
        }
    }
}

/// Whether no file has it.
fn is_given_by_flag(it: &Component) -> bool {
    it.source.file == Path::new(provision::FLAG)
}

fn is_invalid(e: &Error) -> bool {
    matches!(e, Error::Failure(it) if it.kind() == FailureKind::Invalid)
}
