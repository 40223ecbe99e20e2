//! Which server takes the writes for a key, and how that is found out anew.

use std::sync::Arc;

use state::{Error, FailureKind, Result};

use super::{
    address::Address,
    cluster::Cluster,
    connector::Connector,
    node::Node,
    sentinel::Sentinel,
    settings::{Layout, Settings},
};

/// The servers, in whichever way they stand to each other.
#[derive(Debug)]
pub(super) enum Topology {
    Node(Arc<Node>),
    Sentinel(Sentinel),
    Cluster(Cluster),
}

impl Topology {
    /// Finds out who is there.
    pub(super) async fn open(settings: &Settings) -> Result<Topology> {
        let connector = Connector::to_data(settings);
        match &settings.layout {
            Layout::Node(address) => {
                Ok(Topology::Node(Arc::new(Node::new(address.clone(), connector))))
            }
            Layout::Sentinel { sentinels, group, login } => {
                let to_sentinels = Connector::to_sentinels(settings, login);
                let sentinels = sentinels.clone();
                Sentinel::open(sentinels, group, to_sentinels, connector)
                    .await
                    .map(Topology::Sentinel)
            }
            Layout::Cluster(seeds) => {
                Cluster::open(seeds.clone(), connector).await.map(Topology::Cluster)
            }
        }
    }

    /// The server that takes the writes for the keys of `slot`, as far as is known.
    pub(super) fn primary(&self, slot: u16) -> Result<Arc<Node>> {
        match self {
            Topology::Node(it) => Ok(it.clone()),
            Topology::Sentinel(it) => Ok(it.primary()),
            Topology::Cluster(it) => it.primary(slot).ok_or_else(|| {
                let message = format!("no server of the redis cluster has slot {slot}");
                Error::new(FailureKind::Unavailable, message)
            }),
        }
    }

    /// Every server that takes writes.
    pub(super) fn primaries(&self) -> Vec<Arc<Node>> {
        match self {
            Topology::Node(it) => vec![it.clone()],
            Topology::Sentinel(it) => vec![it.primary()],
            Topology::Cluster(it) => it.primaries(),
        }
    }

    /// The server at an address to which another has pointed.
    pub(super) fn node_at(&self, address: &Address, asked: &Arc<Node>) -> Arc<Node> {
        match self {
            Topology::Cluster(it) => it.node_at(address),
            // Only clusters point to others.
            Topology::Node(_) | Topology::Sentinel(_) => asked.clone(),
        }
    }

    /// Notes that a server has pointed to another: what is known is out of date.
    pub(super) fn is_outdated(&self) {
        match self {
            Topology::Node(_) | Topology::Sentinel(_) => {}
            Topology::Cluster(it) => it.is_outdated(),
        }
    }

    /// Finds out who takes writes now. All who ask at the same time share the answer.
    pub(super) async fn renew(&self) {
        match self {
            Topology::Node(_) => {}
            Topology::Sentinel(it) => it.renew().await,
            Topology::Cluster(it) => it.renew().await,
        }
    }

    /// Whether keys of several slots can be changed at once.
    pub(super) fn is_cluster(&self) -> bool {
        matches!(self, Topology::Cluster(_))
    }
}
