//! Stores on their way: opened once while the sidecar starts, and tried again for as long as they
//! cannot be reached.

use std::{sync::Arc, time::Duration};

use anyhow::bail;
use backon::{BackoffBuilder, ExponentialBuilder};
use sidecar_api::Component as Slot;
use state::{Error, FailureKind, Store};
use state_config::{Component, KeyPrefix};
use state_layers::Plan;
use state_stores::{DRIVERS, Driver};
use tracing::{error, info};

use crate::metrics::Metrics;

/// The pause between two attempts to open a store.
const OPEN_PAUSE_MIN: Duration = Duration::from_millis(100);
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(5);

/// Everything it takes to open one store, again and again.
#[derive(Clone, Debug)]
pub(crate) struct Opening {
    pub(crate) slot: Arc<Slot>,
    driver: &'static Driver,
    component: Component,
    plan: Plan,
    metrics: Option<Arc<Metrics>>,
}

/// What it takes to open each of these components.
///
/// # Errors
///
/// If this program has no driver for one, unless the component says `ignoreErrors`.
pub(crate) fn openings(
    app_id: &str,
    components: Vec<Component>,
    metrics: Option<&Arc<Metrics>>,
) -> anyhow::Result<Vec<Opening>> {
    let (mut openings, mut mistakes) = (Vec::new(), Vec::new());
    for component in components {
        match driver(&component) {
            Ok(driver) => openings.push(Opening::new(app_id, component, driver, metrics.cloned())),
            Err(mistake) if component.ignore_errors => {
                let Component { name, component_type, .. } = &component;
                metrics.inspect(|it| it.init_failed(name, component_type, "creation"));
                error!("{mistake}");
            }
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        return Ok(openings);
    }
    bail!("{}", mistakes.join("\n"))
}

impl Opening {
    fn new(
        app_id: &str,
        component: Component,
        driver: &'static Driver,
        metrics: Option<Arc<Metrics>>,
    ) -> Opening {
        let Component { name, component_type, version, key_prefix, ignore_errors, .. } = &component;
        let namespace = std::env::var("NAMESPACE").ok().filter(|it| !it.is_empty());
        let prefix = key_prefix.resolve(app_id, name, namespace.as_deref());
        if *key_prefix != KeyPrefix::default() {
            info!(component = name, prefix, "keys are stored with this prefix");
        }
        let observer = metrics.as_ref().map(|it| it.component(name));
        let plan = Plan { component: name.clone(), key_prefix: prefix, observer };
        let slot = Arc::new(Slot::new(name, component_type, version, *ignore_errors));
        Opening { slot, driver, component, plan, metrics }
    }

    /// Opens the store, or says what is wrong in its file.
    pub(crate) async fn first_attempt(&self) -> Option<String> {
        let Err(e) = self.attempt().await else { return None };
        let invalid = matches!(&e, Error::Failure(it) if it.kind() == FailureKind::Invalid);
        if invalid && !self.component.ignore_errors {
            return Some(self.describe(&e.to_string()));
        }
        let name = &self.component.name;
        if invalid {
            error!(component = name, error = %e, "the store's settings are wrong; going on without it");
            return None;
        }
        error!(component = name, error = %e, "cannot open the store; trying again in the background");
        tokio::spawn(self.clone().keep_trying());
        None
    }

    async fn keep_trying(self) {
        let pauses = ExponentialBuilder::default()
            .with_min_delay(OPEN_PAUSE_MIN)
            .with_max_delay(OPEN_PAUSE_MAX)
            .with_jitter()
            .without_max_times();
        for pause in pauses.build() {
            tokio::time::sleep(pause).await;
            if self.attempt().await.is_ok() {
                return;
            }
        }
    }

    /// One attempt, whose result applications see.
    async fn attempt(&self) -> state::Result<()> {
        let Component { name, component_type, version, properties, init_timeout, .. } =
            &self.component;
        let opening = (self.driver.open)(properties.clone());
        let opened = tokio::time::timeout(*init_timeout, opening).await.unwrap_or_else(|_| {
            let message = format!("init timeout: it was not open within {init_timeout:?}");
            Err(Error::new(FailureKind::Unavailable, message))
        });
        let store: Arc<dyn Store> = opened.inspect_err(|e| {
            self.metrics.as_ref().inspect(|it| it.init_failed(name, component_type, "init"));
            self.slot.failed(e);
        })?;
        self.metrics.as_ref().inspect(|it| it.initialized(component_type));
        self.slot.opened(state_layers::stack(store, self.plan.clone()));
        info!("Component loaded: {name} ({component_type}/{version})");
        Ok(())
    }

    fn describe(&self, message: &str) -> String {
        let Component { name, source, .. } = &self.component;
        format!("{}:{}: component `{name}`: {message}", source.file.display(), source.line)
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
