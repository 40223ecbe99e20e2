//! Opening one store: its driver, and the layers around it.

use std::{fmt, sync::Arc};

use anyhow::bail;
use sidecar_api::Component as Slot;
use state::{Error, FailureKind, Store};
use state_config::{Component, KeyPrefix};
use state_layers::Plan;
use state_stores::{DRIVERS, Driver};
use tracing::{error, info};

/// Everything it takes to open one store, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) component: Component,
    driver: &'static Driver,
    plan: Plan,
}

/// What it takes to open each of these components.
///
/// # Errors
///
/// If this program has no driver for one, unless the component says `ignoreErrors`.
pub(crate) fn openings(app_id: &str, components: Vec<Component>) -> anyhow::Result<Vec<Opening>> {
    let (mut openings, mut mistakes) = (Vec::new(), Vec::new());
    for component in components {
        let ignore_errors = component.ignore_errors;
        match Opening::new(app_id, component) {
            Ok(opening) => openings.push(opening),
            Err(mistake) if ignore_errors => error!("{mistake}"),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        return Ok(openings);
    }
    bail!("{}", mistakes.join("\n"))
}

impl Opening {
    /// What it takes to open a component, or what is wrong with it.
    pub(crate) fn new(app_id: &str, component: Component) -> Result<Opening, String> {
        let driver = driver(&component)?;
        let Component { name, key_prefix, .. } = &component;
        let namespace = std::env::var("NAMESPACE").ok().filter(|it| !it.is_empty());
        let prefix = key_prefix.resolve(app_id, name, namespace.as_deref());
        if *key_prefix != KeyPrefix::default() {
            info!(component = name, prefix, "keys are stored with this prefix");
        }
        let plan = Plan { component: name.clone(), key_prefix: prefix };
        Ok(Opening { component, driver, plan })
    }

    /// A place for the store, where applications will find it.
    pub(crate) fn slot(&self) -> Slot {
        let Component { name, component_type, version, ignore_errors, .. } = &self.component;
        Slot::new(name, component_type, version, *ignore_errors)
    }

    /// One attempt, whose result applications see.
    pub(crate) async fn attempt(&self, slot: &Slot) -> state::Result<()> {
        let Component { properties, init_timeout, .. } = &self.component;
        let opening = (self.driver.open)(properties.clone());
        let opened = tokio::time::timeout(*init_timeout, opening).await.unwrap_or_else(|_| {
            let message = format!("init timeout: it was not open within {init_timeout:?}");
            Err(Error::new(FailureKind::Unavailable, message))
        });
        let store: Arc<dyn Store> = opened.inspect_err(|e| slot.failed(e))?;
        slot.opened(state_layers::stack(store, self.plan.clone()));
        Ok(())
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

/// Settings of Dapr's runtime that this program does not have, and must not seem to have.
const MISSING: &[(&str, &str)] = &[
    ("primaryEncryptionKey", "values would be stored in plain text"),
    ("secondaryEncryptionKey", "values would be stored in plain text"),
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
