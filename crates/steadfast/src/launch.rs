//! From flags and components to a sidecar that listens, with its stores on their way.

use std::{net::TcpListener, sync::Arc, time::Duration};

use anyhow::{Context, bail};
use futures::future::join_all;
use sidecar_api::{
    AppConnection, Identity, Service, Sidecar,
    http::{Front, Limits, Protection, Token},
};
use state_config::Component;
use tracing::{debug, info, warn};

use crate::{
    cli::{Address, Port, SidecarArgs},
    opening::{Opening, openings},
    ports,
};

const HTTP_PORT: u16 = 3500;
const GRPC_PORT: u16 = 50001;
const METRICS_PORT: u16 = 9090;

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

impl Launched {
    /// Takes the ports. What is wrong on the command line or in a file ends it here.
    pub(crate) fn prepare(
        args: &SidecarArgs,
        app_id: &str,
        components: Vec<Component>,
    ) -> anyhow::Result<Launched> {
        check_addresses(args)?;
        let addresses: Vec<_> = args.dapr_listen_addresses.iter().map(|it| it.0).collect();
        if components.is_empty() {
            warn!("no state store is configured: every request for state will be refused");
        }
        let openings = openings(app_id, components)?;
        let (http, listeners) =
            ports::listen(&addresses, port(args.dapr_http_port), HTTP_PORT, "--dapr-http-port")?;
        if identity(args, app_id).app.port == Some(http) {
            bail!("--app-port and --dapr-http-port are the same: the application has port {http}");
        }
        let ports = Ports {
            http,
            grpc: ports::announce(port(args.dapr_grpc_port), GRPC_PORT, "--dapr-grpc-port")?,
            metrics: ports::announce(port(args.metrics_port), METRICS_PORT, "--metrics-port")?,
        };
        let service = Service::new(app_id, openings.iter().map(|it| it.slot.clone()));
        let sidecar = Arc::new(Sidecar::new(identity(args, app_id), service));
        let limits = Limits {
            body_bytes_max: args.max_body_size.0,
            head_bytes_max: args.read_buffer_size,
            ..Limits::default()
        };
        let protection = Protection {
            hosts: args.allowed_hosts.clone(),
            any_address: args.dapr_listen_addresses.iter().any(|it| !it.0.is_loopback()),
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

fn check_addresses(args: &SidecarArgs) -> anyhow::Result<()> {
    let exposed = args.dapr_listen_addresses.iter().find(|it| !it.0.is_loopback());
    let Some(Address(address)) = exposed else { return Ok(()) };
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

/// The port that was asked for, if one was.
fn port(flag: Option<Port>) -> Option<u16> {
    flag.and_then(|it| it.0)
}

fn identity(args: &SidecarArgs, app_id: &str) -> Identity {
    Identity {
        app_id: app_id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        app: AppConnection {
            port: port(args.app_port).filter(|it| *it != 0),
            protocol: match args.app_protocol.as_str() {
                "" => "http".to_owned(),
                other => other.to_lowercase(),
            },
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
