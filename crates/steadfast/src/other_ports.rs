//! Ports besides those of the API, for those who expect them: one for probes, and one that other sidecars of Dapr would call.

use std::{
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener},
    sync::Arc,
    time::Duration,
};

use anyhow::Context;
use futures::future::BoxFuture;
use sidecar_api::{Front, Limits, Protection, Sidecar, http};
use tracing::info;

use crate::{
    cli::{DaprdArgs, Mode},
    ports,
};

/// The ports, which are taken and not served yet.
#[derive(Debug, Default)]
pub(crate) struct OtherPorts {
    public: Vec<TcpListener>,
    internal: Vec<TcpListener>,
}

impl OtherPorts {
    /// Takes those that were asked for.
    pub(crate) fn take(args: &DaprdArgs) -> anyhow::Result<OtherPorts> {
        let loopback = vec![IpAddr::V4(Ipv4Addr::LOCALHOST)];
        // The probes of Kubernetes come to the address of the pod.
        let usual = match args.mode {
            Mode::Kubernetes => vec![Ipv4Addr::UNSPECIFIED.into(), Ipv6Addr::UNSPECIFIED.into()],
            Mode::Standalone => loopback.clone(),
        };
        let named = |it: Option<IpAddr>, usual| it.map_or(usual, |it| vec![it]);
        let public = args.dapr_public_listen_address.and_then(|it| it.0);
        let public = listen(
            named(public, usual),
            args.dapr_public_port.and_then(|it| it.0),
            "--dapr-public-port",
        )?;
        let internal = args.dapr_internal_grpc_listen_address.and_then(|it| it.0);
        let internal = listen(
            named(internal, loopback),
            args.dapr_internal_grpc_port.and_then(|it| it.0),
            "--dapr-internal-grpc-port",
        )?;
        Ok(OtherPorts { public, internal })
    }

    /// Serves them until `stop` resolves.
    pub(crate) async fn serve(
        self,
        sidecar: Arc<Sidecar>,
        limits: Limits,
        stop: BoxFuture<'static, ()>,
        grace: Duration,
    ) -> anyhow::Result<()> {
        for listener in ports::asynchronous(self.internal)? {
            info!("Internal gRPC server is running on {}", listener.local_addr()?);
            // Nobody is to find a closed port there, and nobody has anything to ask.
            tokio::spawn(async move { while listener.accept().await.is_ok() {} });
        }
        let public = ports::asynchronous(self.public)?;
        if public.is_empty() {
            return Ok(());
        }
        for it in &public {
            info!("Public HTTP server is running on {}", it.local_addr()?);
        }
        // What it says is no secret, and probes know no names and no tokens.
        let protection = Protection { any_host: true, ..Protection::default() };
        let mut front = Front::new(sidecar, limits, protection);
        front.is_public = true;
        http::serve(front.into(), public.into_iter().map(Into::into).collect(), stop, grace).await;
        Ok(())
    }
}

fn listen(
    addresses: Vec<IpAddr>,
    port: Option<u16>,
    flag: &str,
) -> anyhow::Result<Vec<TcpListener>> {
    let Some(port) = port.filter(|it| *it != 0) else { return Ok(Vec::new()) };
    let listening = ports::listen(&addresses, Some(port), port, flag);
    listening.map(|(_, it)| it).with_context(|| format!("cannot listen as {flag} says"))
}
