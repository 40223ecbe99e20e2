//! Replicas that eventual reads may go to: those that are known to be hardly behind.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    time::Duration,
};

use futures::future::join_all;
use parking_lot::RwLock;
use redis::{cmd, from_redis_value};
use tokio::{
    task::JoinSet,
    time::{MissedTickBehavior, interval, timeout},
};

use super::{
    address::Address, connector::Connector, info, line::SUSPICION, node::Node, topology::Topology,
};

/// The replicas of each primary, looked at every second.
///
/// A replica is chosen only if it answers, and has confirmed all that its primary had written by the look before.
/// So what it tells was current at most three looks ago, which is within the five seconds of the contract.
#[derive(Debug)]
pub(super) struct Replicas {
    chosen: Arc<RwLock<HashMap<Address, Vec<Arc<Node>>>>>,
    turns: AtomicUsize,
    /// Ends with this.
    _watcher: JoinSet<()>,
}

const INTERVAL: Duration = Duration::from_secs(1);

/// How long ago a replica may have confirmed anything. It does so every second.
const LAG_MAX_S: u64 = 2;

/// What is known of a primary from the look before.
#[derive(Default)]
struct Before {
    /// How far it was.
    offset: Option<u64>,
    nodes: HashMap<Address, Arc<Node>>,
}

impl Replicas {
    /// Starts to look at the replicas of all primaries. Connections to them are made by `connector`.
    pub(super) fn start(topology: Arc<Topology>, connector: Connector) -> Replicas {
        let chosen = Arc::new(RwLock::default());
        let mut watcher = JoinSet::new();
        watcher.spawn(watch(topology, connector, chosen.clone()));
        Replicas { chosen, turns: AtomicUsize::new(0), _watcher: watcher }
    }

    /// Leaves out a replica until it is looked at again.
    pub(super) fn avoid(&self, replica: &Arc<Node>) {
        for nodes in self.chosen.write().values_mut() {
            nodes.retain(|it| !Arc::ptr_eq(it, replica));
        }
    }

    /// One of the replicas of this primary, in turn; `None` if none is fit.
    pub(super) fn choose(&self, primary: &Address) -> Option<Arc<Node>> {
        let chosen = self.chosen.read();
        let nodes = chosen.get(primary).filter(|it| !it.is_empty())?;
        let turn = self.turns.fetch_add(1, Relaxed);
        Some(nodes[turn % nodes.len()].clone())
    }
}

async fn watch(
    topology: Arc<Topology>,
    connector: Connector,
    chosen: Arc<RwLock<HashMap<Address, Vec<Arc<Node>>>>>,
) {
    let mut before: HashMap<Address, Before> = HashMap::new();
    let mut ticks = interval(INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let surveys = topology.primaries().into_iter().map(|primary| {
            let last = before.remove(primary.address()).unwrap_or_default();
            let connector = &connector;
            async move {
                let surveyed = survey(&primary, last, connector).await;
                (primary.address().clone(), surveyed)
            }
        });
        let surveys: Vec<_> = surveys.collect();
        let mut fit = HashMap::new();
        for (address, (now, fit_here)) in join_all(surveys).await {
            before.insert(address.clone(), now);
            fit.insert(address, fit_here);
        }
        *chosen.write() = fit;
    }
}

/// How far a primary is, and which of its replicas are fit to be read from.
async fn survey(primary: &Node, last: Before, connector: &Connector) -> (Before, Vec<Arc<Node>>) {
    // One that does not say how far it is has no replicas that could be trusted.
    let Some(replication) = look(primary).await else { return Default::default() };
    let mut nodes = HashMap::new();
    let mut candidates: Vec<Arc<Node>> = Vec::new();
    for replica in replication.replicas {
        let known = last.nodes.get(&replica.address).cloned();
        let node = known
            .unwrap_or_else(|| Arc::new(Node::new(replica.address.clone(), connector.clone())));
        let has_caught_up = last.offset.is_some_and(|it| replica.offset >= it);
        if replica.is_online && replica.lag_s <= LAG_MAX_S && has_caught_up {
            candidates.push(node.clone());
        }
        nodes.insert(replica.address, node);
    }
    let answers = join_all(candidates.iter().map(|it| answers(it))).await;
    let answering = candidates.into_iter().zip(answers).filter_map(|(it, is)| is.then_some(it));
    (Before { offset: Some(replication.offset), nodes }, answering.collect())
}

async fn look(primary: &Node) -> Option<info::Replication> {
    let mut command = cmd("INFO");
    command.arg("replication");
    let reply = timeout(INTERVAL, primary.ask(&command)).await.ok()?.ok()?;
    info::Replication::parse(&from_redis_value::<String>(reply).ok()?)
}

/// Whether a replica can be reached from here, and follows a primary that it hears from.
async fn answers(replica: &Node) -> bool {
    let mut command = cmd("INFO");
    command.arg("replication");
    let Ok(Ok(reply)) = timeout(SUSPICION, replica.ask(&command)).await else { return false };
    let text: String = from_redis_value(reply).unwrap_or_default();
    info::field(&text, "master_link_status") == Some("up")
}
