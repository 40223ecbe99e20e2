use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use serde_json::{Value, json};
use state::Capabilities;
use tokio::sync::watch;
use tracing::error;

use crate::{ApiError, Component, Load, Service, Status};

/// Everything that the fronts of one running sidecar share.
#[derive(Debug)]
pub struct Sidecar {
    /// Who this is.
    pub identity: Identity,
    /// The state API.
    pub service: Service,
    /// How much there is to do at this moment.
    pub load: Load,
    extended: Mutex<BTreeMap<String, String>>,
    resiliencies: Mutex<Vec<String>>,
    app_reached: AtomicBool,
    app_is_well: watch::Sender<bool>,
    panics: AtomicU64,
    stop: watch::Sender<Option<Stop>>,
}

/// Who a sidecar is, and whom it stands beside.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// The application's id.
    pub app_id: String,
    /// The sidecar's own version.
    pub version: String,
    /// How the application can be reached.
    pub app: AppConnection,
}

/// How the application can be reached, as it was told on the command line.
#[derive(Clone, Debug, Default)]
pub struct AppConnection {
    /// The port it listens on; `None` if it was not told.
    pub port: Option<u16>,
    /// `http`, `grpc`, ...
    pub protocol: String,
    /// Its host name or address.
    pub address: String,
    /// How many requests it takes at once; `None` for any number.
    pub max_concurrency: Option<u32>,
    /// How it is asked for its health; `None` if it is not.
    pub health: Option<AppHealth>,
}

/// How the application is asked for its health.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AppHealth {
    /// The path that is asked for.
    pub path: String,
    /// The pause between two questions.
    pub interval: Duration,
    /// How long it may take to answer.
    pub timeout: Duration,
    /// After how many failures it counts as unhealthy.
    pub threshold: u32,
}

/// In Go's notation, as Dapr has it in the metadata.
pub(crate) fn go_duration(it: Duration) -> String {
    match it.subsec_millis() {
        0 => format!("{}s", it.as_secs()),
        _ if it.as_secs() == 0 => format!("{}ms", it.as_millis()),
        _ => format!("{}s", it.as_secs_f64()),
    }
}

/// A request to end the sidecar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// Finish what is under way, then exit with 0.
    Gracefully,
    /// Exit with 1 at once.
    AtOnce,
}

/// What `PUT /v1.0/metadata` may fill, so that no caller can fill the memory.
const EXTENDED_LEN_MAX: usize = 256;
const EXTENDED_BYTES_MAX: usize = 64 << 10;

/// What Dapr says of actors where they are switched off.
pub(crate) const NO_PLACEMENT: &str = "placement: disconnected";

impl Sidecar {
    /// A sidecar that has not been told to stop.
    pub fn new(identity: Identity, service: Service) -> Sidecar {
        let app_reached = AtomicBool::new(identity.app.port.is_none());
        let (stop, _) = watch::channel(None);
        Sidecar {
            identity,
            service,
            load: Load::default(),
            extended: Mutex::default(),
            resiliencies: Mutex::default(),
            app_reached,
            app_is_well: watch::Sender::new(false),
            panics: AtomicU64::new(0),
            stop,
        }
    }

    /// Notes that the application accepts connections.
    pub fn reached_app(&self) {
        self.app_reached.store(true, Ordering::Release);
    }

    /// Notes the names of the Resiliency resources that are in use.
    pub fn set_resiliencies(&self, names: &[String]) {
        *self.resiliencies.lock() = names.to_vec();
    }

    /// Notes what the application says of its health.
    pub fn set_app_health(&self, is_well: bool) {
        self.app_is_well.send_replace(is_well);
    }

    /// Waits until the application is unhealthy. If it is not asked for its health, that is never.
    pub async fn app_unwell(&self) {
        let mut is_well = self.app_is_well.subscribe();
        if self.identity.app.health.is_none() || is_well.wait_for(|it| !it).await.is_err() {
            std::future::pending().await
        }
    }

    /// Notes that a request met a bug of ours.
    pub(crate) fn panicked(&self) {
        let count = self.panics.fetch_add(1, Ordering::Relaxed) + 1;
        error!(count, "a request made the sidecar panic; this is a bug");
    }

    /// How many requests have met a bug of ours.
    pub fn panics(&self) -> u64 {
        self.panics.load(Ordering::Relaxed)
    }

    /// Asks the sidecar to end.
    pub fn stop(&self, stop: Stop) {
        self.stop.send_replace(Some(stop));
    }

    /// Waits until somebody asks the sidecar to end.
    pub async fn stopped(&self) -> Stop {
        let mut stop = self.stop.subscribe();
        let asked = stop.wait_for(Option::is_some).await;
        asked.ok().and_then(|it| *it).expect("the sender lives as long as the sidecar")
    }

    /// What is not ready for the application to call, by name.
    pub fn outbound_not_ready(&self) -> Vec<String> {
        let waits = |it: &&Arc<Component>| !it.optional && it.status() != Status::Ready;
        self.service.components().iter().filter(waits).map(|it| it.name.clone()).collect()
    }

    /// What is not ready, the application included.
    pub fn not_ready(&self) -> Vec<String> {
        let mut names = self.outbound_not_ready();
        if !self.app_reached.load(Ordering::Acquire) {
            names.push("app".to_owned());
        }
        names
    }

    /// Adds to the `extended` part of the metadata.
    pub fn set_metadata(&self, name: &str, value: String) -> Result<(), ApiError> {
        let mut extended = self.extended.lock();
        let is_new = !extended.contains_key(name);
        if value.len() + name.len() > EXTENDED_BYTES_MAX
            || (is_new && extended.len() >= EXTENDED_LEN_MAX)
        {
            return Err(ApiError::too_large(format!(
                "metadata takes {EXTENDED_LEN_MAX} entries of {EXTENDED_BYTES_MAX} bytes at most"
            )));
        }
        extended.insert(name.to_owned(), value);
        Ok(())
    }

    /// The `extended` part of the metadata.
    pub(crate) fn extended(&self) -> BTreeMap<String, String> {
        let mut extended = self.extended.lock().clone();
        extended.insert("daprRuntimeVersion".to_owned(), self.identity.version.clone());
        if self.panics() > 0 {
            extended.insert("panics".to_owned(), self.panics().to_string());
        }
        extended
    }

    /// The answer to `GET /v1.0/metadata`.
    pub fn metadata(&self) -> Value {
        let Identity { app_id, version, app } = &self.identity;
        let resiliencies = self.resiliencies.lock();
        let resiliencies: Vec<_> = resiliencies.iter().map(|it| json!({ "name": it })).collect();
        let mut connection = json!({ "protocol": app.protocol, "channelAddress": app.address });
        if let Some(port) = app.port {
            connection["port"] = port.into();
        }
        if let Some(max) = app.max_concurrency {
            connection["maxConcurrency"] = max.into();
        }
        if let Some(health) = &app.health {
            connection["health"] = json!({
                "healthCheckPath": health.path,
                "healthProbeInterval": go_duration(health.interval),
                "healthProbeTimeout": go_duration(health.timeout),
                "healthThreshold": health.threshold,
            });
        }
        json!({
            "id": app_id,
            "runtimeVersion": version,
            "components": self.service.components().iter().map(|it| component(it)).collect::<Vec<_>>(),
            "resiliencies": resiliencies,
            "extended": self.extended(),
            "appConnectionProperties": connection,
            "actorRuntime": {
                "runtimeStatus": "DISABLED",
                "hostReady": false,
                "placement": NO_PLACEMENT,
            },
        })
    }
}

/// One entry of `components`: Dapr's fields, and what this store promises.
fn component(it: &Component) -> Value {
    let mut entry = json!({ "name": it.name, "type": it.component_type });
    if !it.version.is_empty() {
        entry["version"] = it.version.as_str().into();
    }
    let status = it.status();
    entry["status"] = status.name().into();
    if let Some(reason) = status.reason() {
        entry["error"] = reason.into();
    }
    if let Some(reason) = it.update_error() {
        entry["updateError"] = reason.into();
    }
    if let Some(store) = it.store() {
        let can = store.capabilities();
        entry["capabilities"] = names(can).into();
        entry["promises"] = promises(can);
    }
    entry
}

/// Dapr's names for capabilities, in the order it lists them.
pub(crate) fn names(can: &Capabilities) -> Vec<&'static str> {
    let transactions = can.transaction_len_max.is_some();
    [
        (can.etag, "ETAG"),
        (transactions, "TRANSACTIONAL"),
        (can.ttl, "TTL"),
        (can.list, "KEYS_LIKE"),
        (can.etag && transactions, "ACTOR"),
    ]
    .into_iter()
    .filter_map(|(has, name)| has.then_some(name))
    .collect()
}

/// What a store promises, for people and tools.
pub(crate) fn promises(can: &Capabilities) -> Value {
    let no = "not offered";
    let consistency = &can.consistency;
    json!({
        "strongWrite": consistency.strong_write.as_deref().unwrap_or(no),
        "strongRead": consistency.strong_read.as_deref().unwrap_or(no),
        "eventualRead": consistency.eventual_read.as_deref().unwrap_or("the same as a strong read"),
        "values": if can.exact_values { "exact" } else { "normalized" },
        "maxTransactionOperations": can.transaction_len_max,
        "maxKeyBytes": can.key_len_max,
        "acknowledgedWritesSurvive": {
            "processCrash": can.durability.process_crash,
            "powerLoss": can.durability.power_loss,
            "failover": can.durability.failover,
            "memoryPressure": can.durability.memory_pressure,
        },
        "serverSettings": can.server_settings,
    })
}
