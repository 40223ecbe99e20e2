//! From flags and component files to a sidecar that listens, with its stores on their way.

use std::{net::TcpListener, path::PathBuf, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use backon::{BackoffBuilder, ExponentialBuilder};
use futures::future::join_all;
use sidecar_api::{
    AppConnection, Component as Slot, Identity, Service, Sidecar,
    http::{Front, Limits, Protection, Token},
};
use state::{Error, FailureKind, Store};
use state_config::{Component, KeyPrefix, Resources, SkipReason};
use state_layers::Plan;
use state_stores::{DRIVERS, Driver};
use tracing::{debug, error, info, warn};

use crate::{cli::SidecarArgs, ports};

const HTTP_PORT: u16 = 3500;
const GRPC_PORT: u16 = 50001;
const METRICS_PORT: u16 = 9090;

/// The pause between two attempts to open a store.
const OPEN_PAUSE_MIN: Duration = Duration::from_millis(100);
const OPEN_PAUSE_MAX: Duration = Duration::from_secs(5);

/// How long stores may take to be put in order at the end.
const CLOSE_PATIENCE: Duration = Duration::from_secs(5);

/// The pause between two attempts to reach the application. Source: Dapr.
const APP_PAUSE: Duration = Duration::from_millis(100);

/// A sidecar that listens, but neither serves nor has opened anything.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) sidecar: Arc<Sidecar>,
    pub(crate) ports: Ports,
    front: Arc<Front>,
    listeners: Vec<TcpListener>,
    openings: Vec<Opening>,
    grace: Duration,
}

/// What applications are told.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Ports {
    pub(crate) http: u16,
    pub(crate) grpc: u16,
    pub(crate) metrics: u16,
}

/// Everything it takes to open one store, again and again.
#[derive(Clone, Debug)]
struct Opening {
    slot: Arc<Slot>,
    driver: &'static Driver,
    component: Component,
    plan: Plan,
}

impl Launched {
    /// Takes the ports. What is wrong on the command line or in a file ends it here.
    pub(crate) fn prepare(
        args: &SidecarArgs,
        app_id: &str,
        components: Vec<Component>,
    ) -> anyhow::Result<Launched> {
        check_addresses(args)?;
        let openings = openings(app_id, components)?;
        let (http, listeners) = ports::listen(
            &args.dapr_listen_addresses,
            args.dapr_http_port,
            HTTP_PORT,
            "--dapr-http-port",
        )?;
        let ports = Ports {
            http,
            grpc: ports::announce(args.dapr_grpc_port, GRPC_PORT, "--dapr-grpc-port")?,
            metrics: ports::announce(args.metrics_port, METRICS_PORT, "--metrics-port")?,
        };
        let service = Service::new(app_id, openings.iter().map(|it| it.slot.clone()));
        let sidecar = Arc::new(Sidecar::new(identity(args, app_id), service));
        let limits = Limits {
            body_bytes_max: args.max_body_size.0,
            head_bytes_max: args.read_buffer_size,
            ..Limits::default()
        };
        let protection = Protection {
            hosts: hosts(args),
            origins: args.allowed_origins.clone(),
            token: token(),
        };
        let front = Arc::new(Front { sidecar: sidecar.clone(), limits, protection });
        for flag in args.accepted.given() {
            match flag.missed {
                true => warn!("--{} has no effect yet", flag.name),
                false => debug!("--{} means nothing to a sidecar for state", flag.name),
            }
        }
        Ok(Launched { sidecar, ports, front, listeners, openings, grace: args.grace() })
    }

    /// Serves until the sidecar is told to stop; returns whether all requests could be finished.
    pub(crate) fn serve(&mut self) -> anyhow::Result<impl Future<Output = bool> + use<>> {
        let listeners = std::mem::take(&mut self.listeners).into_iter().map(|it| {
            it.set_nonblocking(true)?;
            tokio::net::TcpListener::from_std(it)
        });
        let listeners = listeners.collect::<Result<Vec<_>, _>>().context("cannot listen")?;
        let (front, sidecar, grace) = (self.front.clone(), self.sidecar.clone(), self.grace);
        info!("HTTP server is running on port {}", self.ports.http);
        Ok(async move {
            let stopped = async {
                sidecar.stopped().await;
            };
            sidecar_api::http::serve(front, listeners, stopped, grace).await
        })
    }

    /// Opens the stores. Those that cannot be reached are tried again in the background.
    ///
    /// # Errors
    ///
    /// If a store's settings are wrong: no second attempt would help.
    pub(crate) async fn open(&self) -> anyhow::Result<()> {
        if let Some(port) = self.sidecar.identity.app.port {
            tokio::spawn(reach_app(self.sidecar.clone(), port));
        }
        let first_attempts = join_all(self.openings.iter().map(Opening::first_attempt)).await;
        let mistakes: Vec<_> = first_attempts.into_iter().flatten().collect();
        if mistakes.is_empty() {
            return Ok(());
        }
        bail!("{}", mistakes.join("\n"))
    }
}

impl Launched {
    /// Puts the stores in order before the end, if that does not take long.
    pub(crate) async fn close(&self) {
        let stores = self.openings.iter().filter_map(|it| it.slot.store());
        let closing = join_all(stores.map(|it| it.close()));
        if tokio::time::timeout(CLOSE_PATIENCE, closing).await.is_err() {
            warn!("the stores take long to close; nothing depends on it");
        }
    }
}

impl Opening {
    /// Opens the store, or says what is wrong in its file.
    async fn first_attempt(&self) -> Option<String> {
        let Err(e) = self.attempt().await else { return None };
        let invalid = matches!(&e, Error::Failure(it) if it.kind() == FailureKind::Invalid);
        if invalid && !self.component.ignore_errors {
            return Some(self.describe(&e.to_string()));
        }
        let name = &self.component.name;
        error!(component = name, error = %e, "cannot open the store; trying again in the background");
        if !invalid {
            tokio::spawn(self.clone().keep_trying());
        }
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
        let store: Arc<dyn Store> = opened.inspect_err(|e| self.slot.failed(e))?;
        self.slot.opened(state_layers::stack(store, self.plan.clone()));
        info!("Component loaded: {name} ({component_type}/{version})");
        Ok(())
    }

    fn describe(&self, message: &str) -> String {
        let Component { name, source, .. } = &self.component;
        format!("{}:{}: component `{name}`: {message}", source.file.display(), source.line)
    }
}

/// The state stores of these folders that this application may use.
///
/// # Errors
///
/// If a file is wrong, unless the component says `ignoreErrors`. All mistakes are reported.
pub(crate) fn load(app_id: &str, folders: &[PathBuf]) -> anyhow::Result<Vec<Component>> {
    let context = state_config::Context::from_process(app_id);
    let Resources { components, skipped, problems, warnings } =
        state_config::load(folders, &context);
    for it in skipped {
        let (name, component_type) = (&it.name, &it.component_type);
        match it.reason {
            SkipReason::NotAStateStore => {
                info!("{name} ({component_type}) is not a state store: passed over");
            }
            reason => info!("{name} ({component_type}) is passed over: {reason}"),
        }
    }
    for it in warnings {
        warn!("{it}");
    }
    let (ignored, problems): (Vec<_>, Vec<_>) = problems.into_iter().partition(|it| it.ignorable);
    for it in ignored {
        error!("{it}");
    }
    if problems.is_empty() {
        return Ok(components);
    }
    let problems: Vec<_> = problems.iter().map(ToString::to_string).collect();
    bail!("the component files cannot be used:\n{}", problems.join("\n"))
}

/// Checks an application's id: it becomes part of every key.
///
/// # Errors
///
/// If it is empty, too long, or has anything but letters, digits, `-` and `_`.
pub(crate) fn check_app_id(app_id: &str) -> anyhow::Result<()> {
    /// Source: the limit of a DNS label, which app ids have to be on Kubernetes.
    const LEN_MAX: usize = 63;
    if app_id.is_empty() {
        bail!("parameter app-id cannot be empty");
    }
    if app_id.contains('.') {
        bail!("parameter app-id cannot contain dots");
    }
    // Differs from Dapr: it takes anything, and `a||b` can read the keys of `a`.
    let good = |it: char| it.is_ascii_alphanumeric() || it == '-' || it == '_';
    if app_id.len() > LEN_MAX || !app_id.chars().all(good) {
        bail!("app-id {app_id:?} must be at most {LEN_MAX} letters, digits, '-' and '_'");
    }
    Ok(())
}

fn openings(app_id: &str, components: Vec<Component>) -> anyhow::Result<Vec<Opening>> {
    let (mut openings, mut mistakes) = (Vec::new(), Vec::new());
    for component in components {
        match driver(&component) {
            Ok(driver) => openings.push(Opening::new(app_id, component, driver)),
            Err(mistake) if component.ignore_errors => error!("{mistake}"),
            Err(mistake) => mistakes.push(mistake),
        }
    }
    if mistakes.is_empty() {
        return Ok(openings);
    }
    bail!("{}", mistakes.join("\n"))
}

impl Opening {
    fn new(app_id: &str, component: Component, driver: &'static Driver) -> Opening {
        let Component { name, component_type, version, key_prefix, ignore_errors, .. } = &component;
        let namespace = std::env::var("NAMESPACE").ok().filter(|it| !it.is_empty());
        let prefix = key_prefix.resolve(app_id, name, namespace.as_deref());
        if *key_prefix != KeyPrefix::default() {
            info!(component = name, prefix, "keys are stored with this prefix");
        }
        let plan = Plan { component: name.clone(), key_prefix: prefix };
        let slot = Arc::new(Slot::new(name, component_type, version, *ignore_errors));
        Opening { slot, driver, component, plan }
    }
}

/// The driver for a component, or what to write instead.
fn driver(component: &Component) -> Result<&'static Driver, String> {
    let Component { name, component_type, version, source, .. } = component;
    let place = format!("{}:{}: component `{name}`", source.file.display(), source.line);
    let Some(driver) = state_stores::driver(component_type) else {
        let known: Vec<_> = DRIVERS.iter().map(|it| it.component).collect();
        return Err(format!(
            "{place}: couldn't find state store {component_type}/{version}; this program has {}",
            known.join(", ")
        ));
    };
    let first = component.is_first_version();
    if !first && !driver.versions.contains(&version.as_str()) {
        return Err(format!(
            "{place}: {component_type} has no version {version}; write {}",
            driver.versions.join(" or ")
        ));
    }
    Ok(driver)
}

fn check_addresses(args: &SidecarArgs) -> anyhow::Result<()> {
    let exposed = args.dapr_listen_addresses.iter().find(|it| !it.is_loopback());
    let Some(address) = exposed else { return Ok(()) };
    if args.insecure_listen || token().is_some() {
        return Ok(());
    }
    // Differs from Dapr: it listens on all addresses unless told otherwise.
    bail!(
        "other machines can reach {address}, and would need no password: set DAPR_API_TOKEN, leave \
         --dapr-listen-addresses out, or add --insecure-listen if the network is closed"
    )
}

/// What callers must know. The application finds it in the same variable, as its SDK does.
fn token() -> Option<Token> {
    std::env::var("DAPR_API_TOKEN").ok().as_deref().and_then(Token::new)
}

/// Whoever may reach the sidecar at an address may call it by that address.
fn hosts(args: &SidecarArgs) -> Vec<String> {
    let named = args.dapr_listen_addresses.iter().map(|it| match it.is_ipv6() {
        true => format!("[{it}]"),
        false => it.to_string(),
    });
    args.allowed_hosts.iter().cloned().chain(named).collect()
}

fn identity(args: &SidecarArgs, app_id: &str) -> Identity {
    Identity {
        app_id: app_id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        app: AppConnection {
            port: args.app_port.and_then(|it| it.0),
            protocol: args.app_protocol.to_lowercase(),
            address: args.app_channel_address.clone(),
            max_concurrency: u32::try_from(args.app_max_concurrency).ok().filter(|it| *it > 0),
        },
    }
}

/// Waits until the application accepts connections.
async fn reach_app(sidecar: Arc<Sidecar>, port: u16) {
    let address = sidecar.identity.app.address.clone();
    info!("waiting for the application on port {port}");
    while tokio::net::TcpStream::connect((address.as_str(), port)).await.is_err() {
        tokio::time::sleep(APP_PAUSE).await;
    }
    info!("application discovered on port {port}");
    sidecar.reached_app();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_app_id_is_a_plain_word() {
        for good in ["cart", "order-processor", "App_2", &"a".repeat(63)] {
            assert!(check_app_id(good).is_ok(), "{good}");
        }
        for bad in ["", "a.b", "a||b", "a/b", "a b", "é", "a\nb", &"a".repeat(64)] {
            assert!(check_app_id(bad).is_err(), "{bad:?}");
        }
    }
}
