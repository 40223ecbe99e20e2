//! The port on which metrics are read.

use std::{net::TcpListener, sync::Arc};

use sidecar_api::{
    Front, Limits, Listener, Protection, Sidecar,
    scrape::{self, Exposition},
};
use tracing::info;

use crate::{cli::SidecarArgs, launch::METRICS_PORT, metrics::Metrics, ports};

/// A few scrapers, and no more.
const CONNECTIONS_MAX: usize = 16;

/// The port, which is taken and not served yet.
#[derive(Debug)]
pub(crate) struct MetricsPort {
    pub(crate) port: u16,
    listeners: Vec<TcpListener>,
    /// Host names that it is asked for by.
    hosts: Vec<String>,
    /// Whether other machines can reach it.
    is_exposed: bool,
}

impl MetricsPort {
    /// Takes the port. If there are no metrics, it is only told to applications.
    pub(crate) fn take(args: &SidecarArgs) -> anyhow::Result<MetricsPort> {
        let addresses: Vec<_> = args.metrics_listen_address.iter().map(|it| it.0).collect();
        let asked = args.metrics_port.and_then(|it| it.0);
        let (port, listeners) = ports::listen(&addresses, asked, METRICS_PORT, "--metrics-port")?;
        let is_exposed = addresses.iter().any(|it| !it.is_loopback());
        let hosts = args.allowed_hosts.clone();
        let listeners = if args.enable_metrics { listeners } else { Vec::new() };
        Ok(MetricsPort { port, listeners, hosts, is_exposed })
    }

    /// Serves the metrics, if there are any, for as long as the process lives.
    pub(crate) fn serve(
        &mut self,
        sidecar: &Arc<Sidecar>,
        metrics: Option<Arc<Metrics>>,
    ) -> anyhow::Result<()> {
        let listeners = ports::asynchronous(std::mem::take(&mut self.listeners))?;
        let listeners: Vec<_> = listeners.into_iter().map(Listener::from).collect();
        let Some(metrics) = metrics.filter(|_| !listeners.is_empty()) else { return Ok(()) };
        let protection = Protection {
            hosts: self.hosts.clone(),
            // Scrapers on other machines know this one by names that only they know.
            any_host: self.is_exposed,
            ..Protection::default()
        };
        let limits = Limits { connections_max: CONNECTIONS_MAX, ..Limits::default() };
        let front = Front::new(sidecar.clone(), limits, protection);
        let exposition = Arc::new(Exposition { front, render: Box::new(move || metrics.text()) });
        info!("metrics server is running on port {}", self.port);
        tokio::spawn(scrape::serve(exposition, listeners));
        Ok(())
    }
}
