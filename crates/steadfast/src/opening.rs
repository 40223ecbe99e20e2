//! Opening one store: its driver, and the layers around it.

use std::{
    fmt,
    sync::{Arc, OnceLock},
};

use anyhow::bail;
use sidecar_api::Component as Slot;
use state::{Error, FailureKind, Store};
use state_config::{Component, KeyPrefix, Policy};
use state_layers::{Plan, ResiliencyObserver};
use state_stores::{DRIVERS, Driver};
use tokio_util::sync::CancellationToken;
use tracing::{error, info};

use crate::{components::rejected_slot, encryption, metrics::Metrics};

/// Everything it takes to open one store, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    /// The component as its file says.
    described: Component,
    /// The same without what the store itself is not to see.
    pub(crate) component: Component,
    driver: &'static Driver,
    plan: Plan,
    /// The store without its layers, once it is open.
    bare: Arc<OnceLock<Arc<dyn Store>>>,
    /// Whether that is another opening's store, too.
    reuses: bool,
    metrics: Option<Arc<Metrics>>,
}

/// What it takes to open each of these components. Those that this program has no driver for, and
/// that say `ignoreErrors`, join the `rejected`.
///
/// # Errors
///
/// If this program has no driver for another.
pub(crate) fn openings(
    app_id: &str,
    components: Vec<Component>,
    rejected: &mut Vec<Arc<Slot>>,
) -> anyhow::Result<Vec<Opening>> {
    let (mut openings, mut mistakes) = (Vec::new(), Vec::new());
    for component in components {
        match Opening::new(app_id, component.clone()) {
            Ok(opening) => openings.push(opening),
            Err(mistake) if component.ignore_errors => {
                error!("{mistake}");
                rejected.push(rejected_component(&component, mistake));
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        return Ok(openings);
    }
    bail!("{}", mistakes.join("\n"))
}

/// What applications see of a component that this program has no driver for.
pub(crate) fn rejected_component(component: &Component, mistake: String) -> Arc<Slot> {
    let Component { name, component_type, version, .. } = component;
    rejected_slot(name, component_type, version, mistake)
}

impl Opening {
    /// What it takes to open a component, or what is wrong with it.
    pub(crate) fn new(app_id: &str, component: Component) -> Result<Opening, String> {
        let driver = driver(&component)?;
        let described = component.clone();
        let mut component = component;
        let encryption = encryption::take(&mut component)?;
        let Component { name, key_prefix, .. } = &component;
        if let Some(encryption) = &encryption {
            encryption::announce(name, encryption);
        }
        let prefix = prefix(app_id, &component);
        if *key_prefix != KeyPrefix::default() {
            info!(component = name, prefix, "keys are stored with this prefix");
        }
        let plan =
            Plan { component: name.clone(), key_prefix: prefix, encryption, ..Plan::default() };
        let bare = Arc::default();
        Ok(Opening { described, component, driver, plan, bare, reuses: false, metrics: None })
    }

    /// The same, and what happens is counted.
    pub(crate) fn counted_by(mut self, metrics: Option<Arc<Metrics>>) -> Opening {
        self.plan.observer = metrics.as_ref().map(|it| it.component(&self.component.name));
        self.metrics = metrics;
        self
    }

    /// The same with what is done when the store fails. Cancelling `ending` ends its pauses.
    pub(crate) fn with_policy(
        mut self,
        policy: Option<Policy>,
        ending: &CancellationToken,
    ) -> Opening {
        let target = policy.as_ref().zip(self.metrics.as_ref());
        self.plan.resiliency_observer = target.map(|(policy, metrics)| {
            let target = metrics.resiliency().target(&policy.resource, &self.component.name);
            Arc::new(target) as Arc<dyn ResiliencyObserver>
        });
        self.plan.policy = policy;
        self.plan.ending = ending.clone();
        self
    }

    /// What is done when the store fails.
    pub(crate) fn policy(&self) -> Option<&Policy> {
        self.plan.policy.as_ref()
    }

    /// The same around the store that another opening of the component has opened, if it has: only its layers are new.
    pub(crate) fn around(mut self, other: &Opening) -> Opening {
        self.reuses = other.bare.get().is_some();
        if self.reuses {
            self.bare = other.bare.clone();
        }
        self
    }

    /// Whether its store is that of the opening before.
    pub(crate) fn reuses(&self) -> bool {
        self.reuses
    }

    /// A place for the store, where applications will find it.
    pub(crate) fn slot(&self) -> Slot {
        let Component { name, component_type, version, ignore_errors, .. } = &self.component;
        Slot::new(name, component_type, version, *ignore_errors)
    }

    /// Whether another component says the same, wherever it is written.
    pub(crate) fn is_of(&self, component: &Component) -> bool {
        self.described.is_same_as(component)
    }

    /// The same component with keys and values as they are stored: those of every application, in full.
    pub(crate) fn with_stored_keys(mut self) -> Opening {
        self.plan.key_prefix.clear();
        // Values are bound to the keys of their applications, and stay as they are.
        self.plan.encryption = None;
        self
    }

    /// The component as its file says.
    pub(crate) fn component(&self) -> &Component {
        &self.component
    }

    /// What is put before every key.
    pub(crate) fn key_prefix(&self) -> &str {
        &self.plan.key_prefix
    }

    /// Whether the store is a part of this process, and nothing of it outlives the process unless it is on disk.
    pub(crate) fn is_in_process(&self) -> bool {
        self.driver.in_process
    }

    /// One attempt, whose result applications see.
    pub(crate) async fn attempt(&self, slot: &Slot) -> state::Result<()> {
        let Component { name, component_type, .. } = &self.component;
        let store = self.open().await.inspect_err(|e| {
            self.metrics.as_ref().inspect(|it| it.init_failed(name, component_type, "init"));
            slot.failed(e);
        })?;
        self.metrics.as_ref().inspect(|it| it.initialized(component_type));
        slot.opened(store);
        Ok(())
    }

    /// Opens the store in its layers, once, within the component's own time.
    ///
    /// # Errors
    ///
    /// If it cannot be reached in time, or its settings are wrong.
    pub(crate) async fn open(&self) -> state::Result<Arc<dyn Store>> {
        if let Some(bare) = self.bare.get() {
            return Ok(state_layers::stack(bare.clone(), self.plan.clone()));
        }
        let Component { properties, init_timeout, .. } = &self.component;
        let opening = (self.driver.open)(properties.clone());
        let opened = tokio::time::timeout(*init_timeout, opening).await.unwrap_or_else(|_| {
            let message = format!("init timeout: it was not open within {init_timeout:?}");
            Err(Error::new(FailureKind::Unavailable, message))
        })?;
        let bare = self.bare.get_or_init(|| opened).clone();
        Ok(state_layers::stack(bare, self.plan.clone()))
    }

    /// A message about it, with its place.
    pub(crate) fn describe(&self, message: &str) -> String {
        let Component { name, source, .. } = &self.component;
        format!("{}:{}: component `{name}`: {message}", source.file.display(), source.line)
    }
}

/// In the words that Dapr has for a component in its log.
impl fmt::Display for Opening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Component { name, component_type, version, .. } = &self.component;
        write!(f, "{name} ({component_type}/{version})")
    }
}

/// What stands before the keys of this application in the component's store.
pub(crate) fn prefix(app_id: &str, component: &Component) -> String {
    let namespace = std::env::var("NAMESPACE").ok().filter(|it| !it.is_empty());
    component.key_prefix.resolve(app_id, &component.name, namespace.as_deref())
}

/// Settings of Dapr's runtime that this program does not have, and must not seem to have.
const MISSING: &[(&str, &str)] = &[
    ("outboxPublishPubsub", "nothing would be published"),
    ("outboxPublishTopic", "nothing would be published"),
];

/// The driver for a component, or what to write instead.
pub(crate) fn driver(component: &Component) -> Result<&'static Driver, String> {
    let Component { name, component_type, version, source, .. } = component;
    let place = format!("{}:{}: component `{name}`", source.file.display(), source.line);
    let Some(default) = state_stores::driver(component_type) else {
        let mut known: Vec<_> = DRIVERS.iter().map(|it| it.component).collect();
        known.dedup();
        return Err(format!(
            "{place}: couldn't find state store {component_type}/{version}; this program has {}",
            known.join(", ")
        ));
    };
    let missing = MISSING.iter().find(|(it, _)| component.properties.get(it).is_some());
    if let Some((setting, consequence)) = missing {
        // Differs from Dapr: it has these; to ignore them would be worse than not to start.
        return Err(format!(
            "{place}: {setting} is not supported yet, and {consequence}; remove it if that is what \
             you want"
        ));
    }
    if component.has_no_version() {
        return Ok(default);
    }
    let mut versions = state_stores::versions(component_type);
    versions.find(|it| it.version == version).ok_or_else(|| {
        let versions: Vec<_> =
            state_stores::versions(component_type).map(|it| it.version).collect();
        format!(
            "{place}: {component_type} has no version {version}; write {}",
            versions.join(" or ")
        )
    })
}
