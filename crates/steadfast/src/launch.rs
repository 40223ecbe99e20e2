//! From flags and components to a sidecar that listens, with its stores on their way.

use std::{
    io,
    net::TcpListener,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use anyhow::{Context, bail};
use futures::FutureExt;
use sidecar_api::{
    AppConnection, Front, Identity, Limits, Listener, Protection, Service, Sidecar, Tls, grpc, http,
};
use state_config::Configuration;
use tracing::{debug, info, warn};

use crate::{
    access::Access,
    app_health,
    cli::{Address, Mode, Port, SidecarArgs},
    components::Components,
    configuration,
    instances::{Facts, Instance, Registered},
    metrics::Metrics,
    metrics_port::MetricsPort,
    other_ports::OtherPorts,
    ports,
    reload::{RECONCILE_INTERVAL, Reloader, Sources},
    sockets::{self, Socket},
    spans::Tracer,
    stores::Stores,
    telemetry::Telemetry,
    tls,
};

pub(crate) const HTTP_PORT: u16 = 3500;
pub(crate) const GRPC_PORT: u16 = 50001;
pub(crate) const METRICS_PORT: u16 = 9090;

/// The pause between two attempts to reach the application. Source: Dapr.
const APP_PAUSE: Duration = Duration::from_millis(100);

/// A sidecar that listens, but neither serves nor has opened anything.
#[derive(Debug)]
pub(crate) struct Launched {
    pub(crate) sidecar: Arc<Sidecar>,
    pub(crate) places: Places,
    pub(crate) metrics_port: MetricsPort,
    /// By which other commands find this sidecar.
    pub(crate) registered: Registered,
    metrics: Option<Arc<Metrics>>,
    tracer: Option<Arc<Tracer>>,
    front: Arc<Front>,
    other_ports: OtherPorts,
    listening: Listening,
    stores: Arc<Stores>,
    reloader: Option<Reloader>,
    grace: Duration,
    /// For how long the shutdown waits after a signal.
    pub(crate) block_shutdown: Option<Duration>,
}

/// What files and flags have made of a sidecar so far.
#[derive(Debug)]
pub(crate) struct Described {
    pub(crate) sources: Sources,
    pub(crate) configuration: Configuration,
    pub(crate) components: Components,
    /// Whether SIGHUP asks for the files to be read again, and not for the end.
    pub(crate) obeys_hangup: bool,
}

/// Where applications find it.
#[derive(Clone, Debug)]
pub(crate) enum Places {
    Ports { http: u16, grpc: u16, tls: bool },
    Sockets { http: PathBuf, grpc: PathBuf },
}

/// What a sidecar listens on, until it serves.
#[derive(Debug)]
enum Listening {
    Ports { http: Vec<TcpListener>, grpc: Vec<TcpListener>, tls: Option<Tls> },
    Sockets { http: Socket, grpc: Socket },
}

impl Launched {
    /// Takes the ports. What is wrong on the command line or in a file ends it here.
    pub(crate) fn prepare(
        args: &SidecarArgs,
        described: Described,
        access: Access,
    ) -> anyhow::Result<Launched> {
        let Described { sources, configuration, components, obeys_hangup } = described;
        let app_id = &sources.context.app_id;
        let tls = tls::Files::of(args);
        check_addresses(args, &access, tls.as_ref())?;
        if components.usable.is_empty() {
            warn!("no state store is configured: every request for state will be refused");
        }
        let service = Service::new(app_id, []).in_flight_max(args.max_in_flight_requests as usize);
        let sidecar = Arc::new(Sidecar::new(identity(args, app_id)?, service));
        let telemetry = Telemetry::new(args, app_id, configuration::telemetry(&configuration));
        let (metrics, tracer) = (telemetry.metrics.clone(), telemetry.tracer.clone());
        let stores = Stores::new(app_id, sidecar.clone(), components, metrics.clone())?;
        let (places, listening) = match args.socket_folder() {
            Some(folder) => Listening::at_sockets(folder, app_id)?,
            None => Listening::at_ports(args, tls)?,
        };
        if let Places::Ports { http, grpc, .. } = places
            && let Some(app) = sidecar.identity.app.port
            && (app == http || app == grpc)
        {
            let flag = if app == http { "--dapr-http-port" } else { "--dapr-grpc-port" };
            bail!("--app-port and {flag} are the same: the application has port {app}");
        }
        let other_ports = OtherPorts::take(&args.daprd)?;
        info!("The request body size parameter is: {} bytes", args.body_bytes_max());
        let metrics_port = MetricsPort::take(args)?;
        let limits = Limits {
            body_bytes_max: args.body_bytes_max(),
            head_bytes_max: args.head_bytes_max(),
            connections_max: args.max_connections as usize,
            in_flight_bytes_max: args.max_in_flight_bytes.max(args.body_bytes_max()),
            ..Limits::default()
        };
        let protection = Protection {
            hosts: args.allowed_hosts.clone(),
            any_address: args.dapr_listen_addresses.iter().any(|it| !it.0.is_loopback()),
            any_host: matches!(places, Places::Sockets { .. }),
            origins: allowed_origins(args, &access),
            tokens: access.tokens,
            trusts_own_user: access.trusts_own_user,
        };
        let mut front = Front::new(sidecar.clone(), limits, protection);
        front.served.store(Arc::new(configuration::served(&configuration)));
        front.http2 = !is_set("DAPR_HTTP_DISABLE_H2C");
        let spans = tracer.as_ref().map(|it| it.counts().clone());
        metrics.as_ref().inspect(|it| it.watch(sidecar.clone(), spans));
        front.observer = telemetry.observer();
        let front = Arc::new(front);
        let reloader = Some(Reloader {
            sources,
            stores: stores.clone(),
            front: front.clone(),
            configuration,
            interval: args
                .hot_reload_reconcile_interval
                .filter(|it| !it.is_zero())
                .unwrap_or(RECONCILE_INTERVAL),
            obeys_hangup,
        });
        if args.daprd.mode == Mode::Kubernetes {
            warn!(
                "components and configurations are read from files in Kubernetes, too: mount them, and name their places with --resources-path and --config"
            );
        }
        for flag in args.accepted.given() {
            match flag.missed {
                true => warn!("--{} has no effect yet", flag.name),
                false => debug!("--{} means nothing to a sidecar for state", flag.name),
            }
        }
        let grace = args.grace();
        let registered = Registered::new(instance(args, &sidecar.identity.app_id, &places));
        Ok(Launched {
            sidecar,
            places,
            metrics_port,
            registered,
            front,
            other_ports,
            listening,
            stores,
            reloader,
            grace,
            block_shutdown: args.daprd.dapr_block_shutdown_duration,
            metrics,
            tracer,
        })
    }

    /// Serves until the sidecar is told to stop; returns whether all requests could be finished.
    pub(crate) fn serve(&mut self) -> anyhow::Result<impl Future<Output = bool> + use<>> {
        let other_ports = std::mem::take(&mut self.other_ports);
        let (http, grpc) = self.listening.take().context("cannot listen")?;
        let (front, sidecar, grace) = (self.front.clone(), self.sidecar.clone(), self.grace);
        match &self.places {
            Places::Ports { http, grpc, .. } => {
                info!("API gRPC server is running on port {grpc}");
                info!("HTTP server is running on port {http}");
            }
            Places::Sockets { http, grpc } => {
                info!("API gRPC server is running on {}", grpc.display());
                info!("HTTP server is running on {}", http.display());
            }
        }
        let stores = self.stores.clone();
        let stopped = move |sidecar: Arc<Sidecar>| {
            let stores = stores.clone();
            async move {
                sidecar.stopped().await;
                stores.end_pauses();
            }
            .boxed()
        };
        self.metrics_port.serve(&self.sidecar, self.metrics.clone())?;
        Ok(async move {
            let limits = front.limits.clone();
            let stopping = stopped(sidecar.clone());
            let (http, grpc, others) = tokio::join!(
                http::serve(front.clone(), http, stopped(sidecar.clone()), grace),
                grpc::serve(front, grpc, stopped(sidecar.clone()), grace),
                other_ports.serve(sidecar, limits, stopping, grace),
            );
            if let Err(e) = others {
                warn!("a port for others could not be served: {e:#}");
            }
            http && grpc
        })
    }

    /// Opens the stores, and follows the files from then on. Stores that cannot be reached are tried again in the background.
    ///
    /// # Errors
    ///
    /// If a store's settings are wrong: no second attempt would help.
    pub(crate) async fn open(&mut self) -> anyhow::Result<()> {
        let app = &self.sidecar.identity.app;
        if let Some(port) = app.port {
            tokio::spawn(reach_app(self.sidecar.clone(), port));
            if let Some(how) = &app.health {
                tokio::spawn(app_health::follow(self.sidecar.clone(), port, how.clone()));
            }
        }
        self.stores.open().await?;
        self.reloader.take().map_or(Ok(()), Reloader::start)
    }

    /// Puts the stores in order before the end.
    pub(crate) async fn close(&self) {
        if let Some(tracer) = &self.tracer {
            tracer.flush().await;
        }
        self.stores.close().await;
    }
}

impl Listening {
    fn at_ports(
        args: &SidecarArgs,
        tls: Option<tls::Files>,
    ) -> anyhow::Result<(Places, Listening)> {
        let tls = tls.map(tls::Files::open).transpose()?;
        let addresses: Vec<_> = args.dapr_listen_addresses.iter().map(|it| it.0).collect();
        let listen = |asked, usual, flag| ports::listen(&addresses, port(asked), usual, flag);
        let (http_port, http) = listen(args.dapr_http_port, HTTP_PORT, "--dapr-http-port")?;
        let (grpc_port, grpc) = listen(args.dapr_grpc_port, GRPC_PORT, "--dapr-grpc-port")?;
        let places = Places::Ports { http: http_port, grpc: grpc_port, tls: tls.is_some() };
        Ok((places, Listening::Ports { http, grpc, tls }))
    }

    fn at_sockets(folder: &Path, app_id: &str) -> anyhow::Result<(Places, Listening)> {
        let (http, grpc) = sockets::listen(folder, app_id)?;
        let places = Places::Sockets { http: http.path.clone(), grpc: grpc.path.clone() };
        Ok((places, Listening::Sockets { http, grpc }))
    }

    /// What to accept connections from. The files of sockets stay with this.
    fn take(&mut self) -> io::Result<(Vec<Listener>, Vec<Listener>)> {
        let all = |listeners: &mut Vec<TcpListener>, tls: &Option<Tls>| {
            let listeners = ports::asynchronous(std::mem::take(listeners))?;
            let listener = |it| match tls.clone() {
                Some(tls) => Listener::Tls(it, tls),
                None => Listener::Tcp(it),
            };
            Ok::<_, io::Error>(listeners.into_iter().map(listener).collect())
        };
        let one = |socket: &Socket| {
            let listener = socket.listener.try_clone()?;
            listener.set_nonblocking(true)?;
            Ok::<_, io::Error>(vec![Listener::Unix(tokio::net::UnixListener::from_std(listener)?)])
        };
        match self {
            Listening::Ports { http, grpc, tls } => Ok((all(http, tls)?, all(grpc, tls)?)),
            Listening::Sockets { http, grpc } => Ok((one(http)?, one(grpc)?)),
        }
    }
}

/// The origins of pages that may call.
fn allowed_origins(args: &SidecarArgs, access: &Access) -> Vec<String> {
    let origins: Vec<_> =
        args.allowed_origins.iter().filter(|it| !it.is_empty()).cloned().collect();
    if access.tokens.is_empty() && origins.iter().any(|it| it == "*") {
        warn!(
            "any page in a browser that can reach this sidecar may read and change everything: name your \
             origins in --allowed-origins in the place of *, or set DAPR_API_TOKEN"
        );
    }
    origins
}

/// Refuses what would let strangers in.
fn check_addresses(
    args: &SidecarArgs,
    access: &Access,
    tls: Option<&tls::Files>,
) -> anyhow::Result<()> {
    if args.socket_folder().is_some() {
        if tls.is_some() {
            bail!(
                "--tls-cert is for ports, and --unix-domain-socket for none: leave one of them out"
            );
        }
        return Ok(());
    }
    let exposed = args.dapr_listen_addresses.iter().find(|it| !it.0.is_loopback());
    let Some(Address(address)) = exposed else { return Ok(()) };
    let asks = !access.tokens.is_empty() || tls.is_some_and(tls::Files::ask_clients);
    if asks && tls.is_none() {
        warn!(
            "whoever is between an application and {address} can read its API token: add --tls-cert, \
             unless the network is closed"
        );
    }
    if asks || args.insecure_listen {
        return Ok(());
    }
    // Differs from Dapr: it listens on all addresses unless told otherwise.
    bail!(
        "other machines can reach {address}, and would need no password: set DAPR_API_TOKEN, ask for \
         certificates with --tls-client-ca, leave --dapr-listen-addresses out, or add --insecure-listen \
         if the network is closed"
    )
}

/// Whether an environment variable says yes. Source: Dapr's words for it.
fn is_set(name: &str) -> bool {
    let value = std::env::var(name).unwrap_or_default().trim().to_lowercase();
    matches!(value.as_str(), "y" | "yes" | "true" | "t" | "on" | "1")
}

/// The port that was asked for, if one was.
fn port(flag: Option<Port>) -> Option<u16> {
    flag.and_then(|it| it.0)
}

/// What others can know from the beginning.
fn instance(args: &SidecarArgs, app_id: &str, places: &Places) -> Instance {
    let instance = Instance {
        app_id: app_id.to_owned(),
        app_port: port(args.app_port).filter(|it| *it != 0),
        max_request_body_size: args.body_bytes_max() as u64,
        http_read_buffer_size: args.head_bytes_max() as u64,
        facts: Facts {
            daprd_log_path: args.log_file.as_deref().and_then(|it| std::path::absolute(it).ok()),
            ..Facts::default()
        },
        ..Instance::default()
    };
    match places {
        Places::Ports { http, grpc, .. } => {
            Instance { http_port: Some(*http), grpc_port: Some(*grpc), ..instance }
        }
        Places::Sockets { http, grpc } => Instance {
            http_socket: Some(http.clone()),
            grpc_socket: Some(grpc.clone()),
            ..instance
        },
    }
}

fn identity(args: &SidecarArgs, app_id: &str) -> anyhow::Result<Identity> {
    Ok(Identity {
        app_id: app_id.to_owned(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        app: AppConnection {
            port: port(args.app_port).filter(|it| *it != 0),
            protocol: match (args.app_protocol.to_lowercase().as_str(), args.daprd.app_ssl) {
                ("" | "http", false) => "http".to_owned(),
                ("" | "http", true) => "https".to_owned(),
                ("grpc", true) => "grpcs".to_owned(),
                (other, _) => other.to_owned(),
            },
            address: args.app_channel_address.clone(),
            max_concurrency: u32::try_from(args.app_max_concurrency).ok().filter(|it| *it > 0),
            health: app_health::of(&args.daprd)?,
        },
    })
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
