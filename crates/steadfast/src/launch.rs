//! From flags and components to a sidecar that listens, with its stores on their way.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use futures::future::join_all;
use sidecar_api::{
    AppConnection, Front, Identity, Limits, Listener, Protection, Service, Sidecar, grpc, http,
    scrape::{self, Exposition},
};
use state_config::Component;
use tracing::{debug, info, warn};

use crate::{
    access::Access,
    cli::{Address, Port, SidecarArgs},
    metrics::Metrics,
    opening::{Opening, openings},
    ports,
    sockets::{self, Socket},
    spans::Tracer,
    telemetry::{Telemetry, TelemetryOptions},
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
    pub(crate) places: Places,
    pub(crate) metrics_port: u16,
    metrics: Option<Arc<Metrics>>,
    tracer: Option<Arc<Tracer>>,
    metrics_listeners: Vec<TcpListener>,
    /// Whether other machines can read them.
    metrics_are_exposed: bool,
    front: Arc<Front>,
    listening: Listening,
    openings: Vec<Opening>,
    grace: Duration,
}

/// Where applications find it.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    Ports { http: u16, grpc: u16 },
    Sockets { http: PathBuf, grpc: PathBuf },
}

/// What a sidecar listens on, until it serves.
#[derive(Debug)]
enum Listening {
    Ports { http: Vec<TcpListener>, grpc: Vec<TcpListener> },
    Sockets { http: Socket, grpc: Socket },
}

impl Launched {
    /// Takes the ports. What is wrong on the command line or in a file ends it here.
    pub(crate) fn prepare(
        args: &SidecarArgs,
        app_id: &str,
        components: Vec<Component>,
        access: Access,
    ) -> anyhow::Result<Launched> {
        check_addresses(args, &access)?;
        if components.is_empty() {
            warn!("no state store is configured: every request for state will be refused");
        }
        let telemetry = Telemetry::new(args, app_id, TelemetryOptions::default());
        let (metrics, tracer) = (telemetry.metrics.clone(), telemetry.tracer.clone());
        let openings = openings(app_id, components, metrics.as_ref())?;
        let (places, listening) = match args.socket_folder() {
            Some(folder) => Listening::at_sockets(folder, app_id)?,
            None => Listening::at_ports(args)?,
        };
        if let Places::Ports { http, grpc } = places
            && let Some(app) = identity(args, app_id).app.port
            && (app == http || app == grpc)
        {
            let flag = if app == http { "--dapr-http-port" } else { "--dapr-grpc-port" };
            bail!("--app-port and {flag} are the same: the application has port {app}");
        }
        info!("The request body size parameter is: {} bytes", args.max_body_size.0);
        let (metrics_port, metrics_listeners) = metrics_listeners(args)?;
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
            any_host: matches!(places, Places::Sockets { .. }),
            origins: args.allowed_origins.clone(),
            tokens: access.tokens,
            trusts_own_user: access.trusts_own_user,
        };
        let spans = tracer.as_ref().map(|it| it.counts().clone());
        metrics.as_ref().inspect(|it| it.watch(sidecar.clone(), spans));
        let observer = telemetry.observer();
        let front = Arc::new(Front { sidecar: sidecar.clone(), limits, protection, observer });
        for flag in args.accepted.given() {
            match flag.missed {
                true => warn!("--{} has no effect yet", flag.name),
                false => debug!("--{} means nothing to a sidecar for state", flag.name),
            }
        }
        let grace = args.grace();
        Ok(Launched {
            sidecar,
            places,
            metrics_port,
            metrics,
            tracer,
            metrics_listeners,
            metrics_are_exposed: args.metrics_listen_address.iter().any(|it| !it.0.is_loopback()),
            front,
            listening,
            openings,
            grace,
        })
    }

    /// Serves until the sidecar is told to stop; returns whether all requests could be finished.
    pub(crate) fn serve(&mut self) -> anyhow::Result<impl Future<Output = bool> + use<>> {
        let (http, grpc) = self.listening.take().context("cannot listen")?;
        let (front, sidecar, grace) = (self.front.clone(), self.sidecar.clone(), self.grace);
        match &self.places {
            Places::Ports { http, grpc } => {
                info!("API gRPC server is running on port {grpc}");
                info!("HTTP server is running on port {http}");
            }
            Places::Sockets { http, grpc } => {
                info!("API gRPC server is running on {}", grpc.display());
                info!("HTTP server is running on {}", http.display());
            }
        }
        let stopped = |sidecar: Arc<Sidecar>| async move {
            sidecar.stopped().await;
        };
        self.serve_metrics()?;
        Ok(async move {
            let (http, grpc) = tokio::join!(
                http::serve(front.clone(), http, stopped(sidecar.clone()), grace),
                grpc::serve(front, grpc, stopped(sidecar), grace),
            );
            http && grpc
        })
    }

    /// Serves the metrics, if there are any, for as long as the process lives.
    fn serve_metrics(&mut self) -> anyhow::Result<()> {
        /// A few scrapers, and no more.
        const CONNECTIONS_MAX: usize = 16;
        let listeners = listeners(&mut self.metrics_listeners).context("cannot listen")?;
        let Some(metrics) = self.metrics.clone().filter(|_| !listeners.is_empty()) else {
            return Ok(());
        };
        let Protection { hosts, .. } = &self.front.protection;
        let protection = Protection {
            hosts: hosts.clone(),
            // Scrapers on other machines know this one by names that only they know.
            any_host: self.metrics_are_exposed,
            ..Protection::default()
        };
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        let front = Front { sidecar: self.sidecar.clone(), limits, protection, observer: None };
        let exposition = Arc::new(Exposition { front, render: Box::new(move || metrics.text()) });
        info!("metrics server is running on port {}", self.metrics_port);
        tokio::spawn(scrape::serve(exposition, listeners, std::future::pending()));
        Ok(())
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
        if let Some(tracer) = &self.tracer {
            tracer.flush().await;
        }
        let stores = self.openings.iter().filter_map(|it| it.slot.store());
        let closing = join_all(stores.map(|it| it.close()));
        if tokio::time::timeout(CLOSE_PATIENCE, closing).await.is_err() {
            warn!("the stores take long to close; nothing depends on it");
        }
    }
}

impl Listening {
    fn at_ports(args: &SidecarArgs) -> anyhow::Result<(Places, Listening)> {
        let addresses: Vec<_> = args.dapr_listen_addresses.iter().map(|it| it.0).collect();
        let listen = |asked, usual, flag| ports::listen(&addresses, port(asked), usual, flag);
        let (http_port, http) = listen(args.dapr_http_port, HTTP_PORT, "--dapr-http-port")?;
        let (grpc_port, grpc) = listen(args.dapr_grpc_port, GRPC_PORT, "--dapr-grpc-port")?;
        let places = Places::Ports { http: http_port, grpc: grpc_port };
        Ok((places, Listening::Ports { http, grpc }))
    }

    fn at_sockets(folder: &Path, app_id: &str) -> anyhow::Result<(Places, Listening)> {
        let (http, grpc) = sockets::listen(folder, app_id)?;
        let places = Places::Sockets { http: http.path.clone(), grpc: grpc.path.clone() };
        Ok((places, Listening::Sockets { http, grpc }))
    }

    /// What to accept connections from. The files of sockets stay with this.
    fn take(&mut self) -> io::Result<(Vec<Listener>, Vec<Listener>)> {
        let one = |socket: &Socket| {
            let listener = socket.listener.try_clone()?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(vec![Listener::Unix(tokio::net::UnixListener::from_std(listener)?)])
        };
        match self {
            Listening::Ports { http, grpc } => Ok((listeners(http)?, listeners(grpc)?)),
            Listening::Sockets { http, grpc } => Ok((one(http)?, one(grpc)?)),
        }
    }
}

/// The same listeners for tokio. None are left.
fn listeners(taken: &mut Vec<TcpListener>) -> io::Result<Vec<Listener>> {
    let listeners = std::mem::take(taken).into_iter().map(|it| {
        it.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(it).map(Listener::from)
    });
    listeners.collect()
}

/// Takes the port of the metrics. If there are none, it is only told to applications.
fn metrics_listeners(args: &SidecarArgs) -> anyhow::Result<(u16, Vec<TcpListener>)> {
    let addresses: Vec<_> = args.metrics_listen_address.iter().map(|it| it.0).collect();
    let asked = port(args.metrics_port);
    let (port, listeners) = ports::listen(&addresses, asked, METRICS_PORT, "--metrics-port")?;
    Ok((port, if args.enable_metrics { listeners } else { Vec::new() }))
}

fn check_addresses(args: &SidecarArgs, access: &Access) -> anyhow::Result<()> {
    let exposed = args.dapr_listen_addresses.iter().find(|it| !it.0.is_loopback());
    let Some(Address(address)) = exposed else { return Ok(()) };
    if args.insecure_listen || !access.tokens.is_empty() || args.socket_folder().is_some() {
        return Ok(());
    }
    // Differs from Dapr: it listens on all addresses unless told otherwise.
    bail!(
        "other machines can reach {address}, and would need no password: set DAPR_API_TOKEN, leave \
         --dapr-listen-addresses out, or add --insecure-listen if the network is closed"
    )
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
    let protocol = &sidecar.identity.app.protocol;
    info!(
        "application protocol: {protocol}. waiting on port {port}.  This will block until the app is \
         listening on that port."
    );
    while tokio::net::TcpStream::connect((address.as_str(), port)).await.is_err() {
        tokio::time::sleep(APP_PAUSE).await;
    }
    info!("application discovered on port {port}");
    sidecar.reached_app();
}
