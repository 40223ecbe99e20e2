//! A cluster: servers that share the slots of keys among them, and pass them on.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::{Mutex, RwLock};
use redis::{Pipeline, Value, from_redis_value};
use state::{Error, FailureKind, Result};
use tokio::{
    sync::Notify,
    task::JoinSet,
    time::{Instant, sleep, timeout},
};

use super::{
    address::Address,
    connector::Connector,
    election::Election,
    info,
    line::Silence,
    node::Node,
    renewal::{Renewal, Trouble},
};

#[derive(Debug)]
pub(super) struct Cluster {
    shared: Arc<Shared>,
    /// Ends with this.
    _keeper: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    seeds: Vec<Address>,
    connector: Connector,
    /// Every server that is a member or was needed lately, and when that was.
    nodes: Mutex<HashMap<Address, (Arc<Node>, Instant)>>,
    map: RwLock<Map>,
    outdated: Notify,
    /// The one that made the servers what they are in the map.
    election: Mutex<Election>,
    renewal: Renewal,
    trouble: Trouble,
}

/// Which server has which slots: without overlaps, in the order of the slots.
#[derive(Debug, Default)]
struct Map {
    ranges: Vec<Range>,
    /// Everybody who is in the map, replicas included.
    members: Vec<Address>,
}

#[derive(Debug)]
struct Range {
    first: u16,
    last: u16,
    primary: Arc<Node>,
}

/// What one server says of the cluster.
#[derive(Debug, PartialEq, Eq)]
struct View {
    /// Whether it believes the cluster to be well. One that was cut off from the others does not.
    is_ok: bool,
    /// The number of the newest election that it knows of.
    epoch: u64,
    /// From the first to the last slot: the primary, then its replicas.
    ranges: Vec<(u16, u16, Vec<Address>)>,
}

/// How long one server may take to say what it knows.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for others after the first answer: they may know of a newer election.
const GRACE: Duration = Duration::from_millis(100);

/// How many servers are asked at once.
const ASKED_MAX: usize = 8;

/// The shortest time between two looks that nobody waits for.
const PAUSE: Duration = Duration::from_millis(100);

/// After how long a server is forgotten that nobody needs and that is no member.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(60);

impl Cluster {
    /// Asks the servers that are named who else there is.
    ///
    /// # Errors
    ///
    /// If none of them can be reached, or none is part of a cluster.
    pub(super) async fn open(seeds: Vec<Address>, connector: Connector) -> Result<Cluster> {
        let shared = Arc::new(Shared {
            seeds,
            connector,
            nodes: Mutex::default(),
            map: RwLock::default(),
            outdated: Notify::new(),
            election: Mutex::default(),
            renewal: Renewal::default(),
            trouble: Trouble::default(),
        });
        let view = shared.look().await.map_err(|it| Error::new(FailureKind::Unavailable, it))?;
        shared.election.lock().admits(view.epoch);
        shared.adopt(view);
        let mut keeper = JoinSet::new();
        keeper.spawn(shared.clone().keep());
        Ok(Cluster { shared, _keeper: keeper })
    }

    pub(super) fn primary(&self, slot: u16) -> Option<Arc<Node>> {
        let map = self.shared.map.read();
        let range = map.ranges.get(map.ranges.partition_point(|it| it.last < slot))?;
        (range.first <= slot).then(|| range.primary.clone())
    }

    pub(super) fn primaries(&self) -> Vec<Arc<Node>> {
        let map = self.shared.map.read();
        let mut primaries: Vec<Arc<Node>> = Vec::new();
        for range in &map.ranges {
            if !primaries.iter().any(|it| Arc::ptr_eq(it, &range.primary)) {
                primaries.push(range.primary.clone());
            }
        }
        primaries
    }

    pub(super) fn node_at(&self, address: &Address) -> Arc<Node> {
        self.shared.node_at(address)
    }

    pub(super) fn is_outdated(&self) {
        self.shared.outdated.notify_one();
    }

    pub(super) async fn renew(&self) {
        self.shared.renew().await;
    }
}

impl Shared {
    fn node_at(&self, address: &Address) -> Arc<Node> {
        let mut nodes = self.nodes.lock();
        let (node, needed) = nodes.entry(address.clone()).or_insert_with(|| {
            (Arc::new(Node::new(address.clone(), self.connector.clone())), Instant::now())
        });
        *needed = Instant::now();
        node.clone()
    }

    async fn renew(&self) {
        self.renewal.run(self.look_and_adopt()).await;
    }

    async fn look_and_adopt(&self) {
        let view = self.look().await;
        self.trouble.note(view.as_ref().err(), "cannot find out who has which keys");
        if let Ok(view) = view
            && self.election.lock().admits(view.epoch)
        {
            self.adopt(view);
        }
    }

    /// Looks again when a server is slow to answer, or has pointed to another.
    async fn keep(self: Arc<Shared>) {
        loop {
            tokio::select! {
                () = self.connector.suspicion.notified() => {}
                () = self.outdated.notified() => {}
            }
            self.renewal.run_anew(self.look_and_adopt()).await;
            sleep(PAUSE).await;
        }
    }

    /// Asks several servers, and believes the one that knows of the newest election.
    async fn look(&self) -> Result<View, String> {
        let mut addresses = self.map.read().members.clone();
        fastrand::shuffle(&mut addresses);
        addresses.truncate(ASKED_MAX);
        let seeds = self.seeds.iter().filter(|it| !addresses.contains(it)).take(ASKED_MAX);
        let seeds: Vec<_> = seeds.cloned().collect();
        addresses.extend(seeds);
        let nodes: Vec<_> = addresses.iter().map(|it| self.node_at(it)).collect();
        let mut asked: FuturesUnordered<_> = nodes.iter().map(|it| ask(it)).collect();
        let (mut best, mut troubles) = (None::<View>, Vec::new());
        loop {
            let patience = if best.is_some() { GRACE } else { PATIENCE };
            match timeout(patience, asked.next()).await {
                Ok(Some(Ok(view))) => {
                    let is_better = |it: &View| (it.is_ok, it.epoch) < (view.is_ok, view.epoch);
                    if best.as_ref().is_none_or(is_better) {
                        best = Some(view);
                    }
                }
                Ok(Some(Err(trouble))) => troubles.push(trouble),
                Ok(None) | Err(_) => break,
            }
        }
        best.ok_or_else(|| match troubles.as_slice() {
            [] => format!("no server of the redis cluster gave an answer within {PATIENCE:?}"),
            _ => troubles.join("; "),
        })
    }

    fn adopt(&self, view: View) {
        let mut members = Vec::new();
        let mut ranges = Vec::with_capacity(view.ranges.len());
        for (first, last, servers) in view.ranges {
            let Some(primary) = servers.first() else { continue };
            ranges.push(Range { first, last, primary: self.node_at(primary) });
            members
                .extend(servers.into_iter().filter(|it| !members.contains(it)).collect::<Vec<_>>());
        }
        ranges.sort_unstable_by_key(|it| it.first);
        let before = {
            let mut map = self.map.write();
            // One that gets its first slot is no member yet, and keys are sent to it already.
            let is_needed = |address: &Address, needed: &Instant| {
                members.contains(address) || needed.elapsed() < FORGOTTEN_AFTER
            };
            self.nodes.lock().retain(|address, (_, needed)| is_needed(address, needed));
            std::mem::replace(&mut *map, Map { ranges, members })
        };
        let map = self.map.read();
        let takes_writes =
            |it: &Arc<Node>| map.ranges.iter().any(|range| Arc::ptr_eq(&range.primary, it));
        for range in before.ranges {
            if !takes_writes(&range.primary) {
                range.primary.supersede();
                // It may become a primary again, and is then met as another.
                let mut nodes = self.nodes.lock();
                if nodes
                    .get(range.primary.address())
                    .is_some_and(|it| Arc::ptr_eq(&it.0, &range.primary))
                {
                    nodes.remove(range.primary.address());
                }
            }
        }
    }
}

async fn ask(node: &Node) -> Result<View, String> {
    let mut commands = Pipeline::new();
    commands.cmd("CLUSTER").arg("INFO");
    commands.cmd("CLUSTER").arg("SLOTS");
    let replies = node.ask_all(&commands).await.map_err(|it| match it {
        Silence::NotSent(message) | Silence::Lost(message) => message,
    })?;
    View::parse(&replies, node.address()).ok_or_else(|| {
        format!(
            "redis at {} does not say that it is part of a cluster: check redisType",
            node.address()
        )
    })
}

impl View {
    fn parse(replies: &[Value], teller: &Address) -> Option<View> {
        let [info, slots] = replies else { return None };
        let info: String = from_redis_value(info.clone()).ok()?;
        let Value::Array(slots) = slots else { return None };
        let ranges: Vec<_> = slots.iter().filter_map(|it| range(it, teller)).collect();
        if ranges.is_empty() {
            return None;
        }
        Some(View {
            is_ok: info::field(&info, "cluster_state")? == "ok",
            epoch: info::field(&info, "cluster_current_epoch")?.parse().ok()?,
            ranges,
        })
    }
}

/// Reads `[first, last, [host, port, ...], ...]`.
fn range(reply: &Value, teller: &Address) -> Option<(u16, u16, Vec<Address>)> {
    let Value::Array(parts) = reply else { return None };
    let [Value::Int(first), Value::Int(last), servers @ ..] = parts.as_slice() else { return None };
    let servers: Vec<_> = servers.iter().map(|it| server(it, teller)).collect();
    // Without the first, which takes the writes, the others are of no use.
    servers.first()?.as_ref()?;
    let servers = servers.into_iter().flatten().collect();
    Some((u16::try_from(*first).ok()?, u16::try_from(*last).ok()?, servers))
}

fn server(reply: &Value, teller: &Address) -> Option<Address> {
    let Value::Array(parts) = reply else { return None };
    let [host, Value::Int(port), ..] = parts.as_slice() else { return None };
    let host = match host {
        Value::BulkString(it) => String::from_utf8(it.clone()).ok()?,
        Value::Nil => String::new(),
        _ => return None,
    };
    // One that does not know its own address leaves it out.
    let host = match host.as_str() {
        "" => teller.host().to_owned(),
        // Its address is not known to the teller.
        "?" => return None,
        _ => host,
    };
    Some(Address::Tcp { host, port: u16::try_from(*port).ok()? })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(it: &str) -> Value {
        Value::BulkString(it.as_bytes().to_vec())
    }

    #[test]
    fn a_view_lists_the_primary_of_each_range_first() {
        let node = |host: &str, port| Value::Array(vec![text(host), Value::Int(port), text("id")]);
        let range = |first, last, nodes: Vec<Value>| {
            Value::Array([vec![Value::Int(first), Value::Int(last)], nodes].concat())
        };
        let slots = vec![
            range(0, 5460, vec![node("", 7000), node("10.0.0.2", 7003)]),
            range(5461, 16383, vec![node("10.0.0.2", 7001), node("?", 0)]),
        ];
        let info =
            "cluster_state:ok\r\ncluster_slots_assigned:16384\r\ncluster_current_epoch:6\r\n";
        let at = |host: &str, port| Address::Tcp { host: host.to_owned(), port };
        let view = View::parse(&[text(info), Value::Array(slots)], &at("h", 1)).unwrap();
        let expected = View {
            is_ok: true,
            epoch: 6,
            ranges: vec![
                (0, 5460, vec![at("h", 7000), at("10.0.0.2", 7003)]),
                (5461, 16383, vec![at("10.0.0.2", 7001)]),
            ],
        };
        assert_eq!(view, expected);
    }

    #[test]
    fn a_server_without_a_cluster_has_no_view() {
        let at = Address::Tcp { host: "h".to_owned(), port: 1 };
        assert_eq!(View::parse(&[text("cluster_state:fail"), Value::Nil], &at), None);
    }
}
