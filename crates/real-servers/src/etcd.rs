//! etcd: one node, and clusters of three.

mod gateway;
mod node;

use std::{net::SocketAddr, path::Path, sync::Arc};

use anyhow::{Context, Result};
use futures::future::try_join_all;

use self::node::Node;
use crate::{
    Certificates, found,
    process::{Place, Process},
    until,
};

/// How nodes are set up.
#[derive(Clone, Debug, Default)]
pub struct Options {
    certificates: Option<Arc<Certificates>>,
    settings: Vec<String>,
}

/// Nodes that agree on what is written: one or more.
#[derive(Debug)]
pub struct Etcd {
    nodes: Vec<Process>,
    /// The ports by which the nodes know each other, which have to be known before the first is started.
    _peers: Vec<Place>,
}

impl Options {
    /// Lets clients in only with TLS, and with a certificate of the same authority.
    pub fn tls(mut self, certificates: Certificates) -> Options {
        self.certificates = Some(Arc::new(certificates));
        self
    }

    /// An argument of the program, such as `--max-txn-ops=16`.
    pub fn setting(mut self, argument: &str) -> Options {
        self.settings.push(argument.to_owned());
        self
    }
}

impl Etcd {
    /// Starts so many nodes, and waits until each of them knows a leader.
    pub async fn start(nodes: usize, options: &Options) -> Result<Etcd> {
        let mut etcd = Etcd { nodes: Vec::new(), _peers: Etcd::peers(nodes)? };
        let cluster = cluster(&etcd._peers);
        let started = etcd._peers.iter().enumerate().map(|(i, peer)| {
            Process::start(Node {
                name: name(i),
                peer: peer.address(),
                cluster: cluster.clone(),
                options: options.clone(),
            })
        });
        etcd.nodes = try_join_all(started).await?;
        Ok(etcd)
    }

    /// Starts one node in a folder that exists and is not removed.
    pub async fn start_in(folder: &Path, options: &Options) -> Result<Etcd> {
        let peers = Etcd::peers(1)?;
        let node = Node {
            name: name(0),
            peer: peers[0].address(),
            cluster: cluster(&peers),
            options: options.clone(),
        };
        Ok(Etcd { nodes: vec![Process::start_in(folder, node).await?], _peers: peers })
    }

    fn peers(nodes: usize) -> Result<Vec<Place>> {
        (0..nodes).map(|_| Place::find(Path::new("/"))).collect()
    }

    /// The nodes, to kill them, pause them and start them again.
    pub fn nodes(&self) -> &[Process] {
        &self.nodes
    }

    /// Where clients find the first node.
    pub fn address(&self) -> SocketAddr {
        self.nodes[0].address()
    }

    /// What clients of all nodes are told.
    pub fn endpoints(&self) -> String {
        let addresses: Vec<_> = self.nodes.iter().map(|it| it.address().to_string()).collect();
        addresses.join(",")
    }

    /// Asks a node without TLS what is asked in JSON, and returns its answer, also in JSON.
    ///
    /// # Errors
    ///
    /// If it does not answer, or not with what was asked for.
    pub async fn ask(&self, node: usize, path: &str, question: &str) -> Result<String> {
        gateway::post(self.nodes[node].address(), path, question).await
    }

    /// Asks the first node.
    pub async fn post(&self, path: &str, question: &str) -> Result<String> {
        self.ask(0, path, question).await
    }

    /// Lets clients in only with this password of the user `root`.
    pub async fn require_password(&self, password: &str) -> Result<()> {
        let user = format!(r#"{{"name":"root","password":"{password}"}}"#);
        self.post("/v3/auth/user/add", &user).await?;
        self.post("/v3/auth/user/grant", r#"{"user":"root","role":"root"}"#).await?;
        self.post("/v3/auth/enable", "{}").await?;
        Ok(())
    }

    /// The number of the node that leads, as the nodes that run and are not paused see it.
    pub async fn leader(&self) -> Result<usize> {
        found("a leader", || async {
            for (i, node) in self.nodes.iter().enumerate() {
                if !node.is_running()? || node.is_paused() {
                    continue;
                }
                let Ok(status) = self.ask(i, "/v3/maintenance/status", "{}").await else {
                    continue;
                };
                if gateway::field(&status, "leader")? == gateway::field(&status, "member_id")? {
                    return Ok(Some(i));
                }
            }
            Ok(None)
        })
        .await
    }

    /// Waits until another node than this leads, and returns its number.
    pub async fn leader_after(&self, previous: usize) -> Result<usize> {
        found("another leader", || async {
            Ok(Some(self.leader().await?).filter(|it| *it != previous))
        })
        .await
    }

    /// Has another node lead, and returns its number.
    pub async fn move_leader(&self) -> Result<usize> {
        let (from, to) = (self.leader().await?, self.nodes.len() - 1);
        let to = if from == to { 0 } else { to };
        let status = self.ask(to, "/v3/maintenance/status", "{}").await?;
        let id = gateway::field(&status, "member_id")?;
        // This call has no place in the gateway, so it is made as its clients make it.
        gateway::move_leader(self.nodes[from].address(), id.parse().context("no number")?).await?;
        until("the other to lead", || async { Ok(self.leader().await? == to) }).await?;
        Ok(to)
    }
}

fn name(i: usize) -> String {
    format!("node{i}")
}

fn cluster(peers: &[Place]) -> String {
    let members = peers.iter().enumerate();
    let members: Vec<_> =
        members.map(|(i, peer)| format!("{}=http://{}", name(i), peer.address())).collect();
    members.join(",")
}
