use std::{ffi::OsString, net::SocketAddr};

use anyhow::Result;
use async_trait::async_trait;

use super::{Options, gateway};
use crate::{
    certificates::{AUTHORITY, SERVER, SERVER_KEY},
    process::{Kind, Place},
};

/// One member of a cluster.
#[derive(Debug)]
pub(super) struct Node {
    pub(super) name: String,
    pub(super) peer: SocketAddr,
    /// All members, as the program wants them.
    pub(super) cluster: String,
    pub(super) options: Options,
}

#[async_trait]
impl Kind for Node {
    fn program(&self) -> OsString {
        "etcd".into()
    }

    fn package(&self) -> &str {
        "etcd-server"
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        match &self.options.certificates {
            Some(it) => it.write(place.folder()),
            None => Ok(()),
        }
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let scheme = if self.options.certificates.is_some() { "https" } else { "http" };
        let mut arguments = vec![
            format!("--name={}", self.name),
            "--data-dir=data".to_owned(),
            format!("--listen-client-urls={scheme}://{}", place.address()),
            format!("--advertise-client-urls={scheme}://{}", place.address()),
            // Without TLS, also if clients need it.
            format!("--listen-metrics-urls=http://{}", place.second_address()),
            format!("--listen-peer-urls=http://{}", self.peer),
            format!("--initial-advertise-peer-urls=http://{}", self.peer),
            format!("--initial-cluster={}", self.cluster),
            format!("--initial-cluster-token={}", self.cluster),
            "--log-level=warn".to_owned(),
        ];
        if self.options.certificates.is_some() {
            arguments.extend([
                format!("--trusted-ca-file={AUTHORITY}"),
                format!("--cert-file={SERVER}"),
                format!("--key-file={SERVER_KEY}"),
                "--client-cert-auth".to_owned(),
            ]);
        }
        arguments.extend(self.options.settings.iter().cloned());
        arguments.into_iter().map(OsString::from).collect()
    }

    async fn answers(&self, place: &Place) -> bool {
        // Which needs a leader.
        let health = gateway::get(place.second_address(), "/health").await;
        health.is_ok_and(|it| it.contains(r#""health":"true""#))
    }
}
