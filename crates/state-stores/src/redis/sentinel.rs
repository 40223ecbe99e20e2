//! Sentinels: they know which server takes the writes, and tell when that changes.

use std::{collections::HashMap, sync::Arc, time::Duration};

use futures::{StreamExt, stream::FuturesUnordered};
use parking_lot::RwLock;
use redis::{Pipeline, Value, from_redis_value};
use state::{Error, FailureKind, Result};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::info;

use super::{
    address::Address,
    connector::{Connector, Greeting},
    election::Election,
    line::{Line, Silence},
    node::Node,
    renewal::{Renewal, Trouble},
};

#[derive(Debug)]
pub(super) struct Sentinel {
    shared: Arc<Shared>,
    /// End with this.
    _watchers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    group: String,
    sentinels: Vec<Line>,
    to_primary: Connector,
    primary: RwLock<Current>,
    renewal: Renewal,
    trouble: Trouble,
}

/// The primary, and the number of the election that made it one.
#[derive(Debug)]
struct Current {
    node: Arc<Node>,
    election: Election,
}

/// What a sentinel says.
#[derive(Debug, PartialEq, Eq)]
struct View {
    address: Address,
    epoch: u64,
}

/// What is said when another primary takes the place of one, and when a group is set up anew.
const CHANGES: [&str; 2] = ["+switch-master", "+monitor"];

/// How long sentinels may take to answer.
const PATIENCE: Duration = Duration::from_secs(1);

/// How long to wait for others after the first answer: they may know of a newer election.
const GRACE: Duration = Duration::from_millis(100);

/// The pause before a sentinel is listened to again.
const PAUSE: Duration = Duration::from_millis(200);

impl Sentinel {
    /// Asks the sentinels for the primary of `group`.
    ///
    /// # Errors
    ///
    /// If none of them can be reached, or none knows the group.
    pub(super) async fn open(
        sentinels: Vec<Address>,
        group: &str,
        to_sentinels: Connector,
        to_data: Connector,
    ) -> Result<Sentinel> {
        let sentinels = sentinels.into_iter().map(|it| Line::new(it, to_sentinels.clone()));
        let sentinels: Vec<Line> = sentinels.collect();
        let (View { address, epoch }, _) = ask_all(&sentinels, group)
            .await
            .map_err(|message| Error::new(FailureKind::Unavailable, message))?;
        let mut election = Election::default();
        election.admits(epoch);
        let to_primary = to_data.greeting(Greeting::IsPrimary);
        let node = Arc::new(Node::new(address, to_primary.clone()));
        let shared = Arc::new(Shared {
            group: group.to_owned(),
            sentinels,
            to_primary,
            primary: RwLock::new(Current { node, election }),
            renewal: Renewal::default(),
            trouble: Trouble::default(),
        });
        let mut watchers = JoinSet::new();
        watchers.spawn(shared.clone().follow_suspicions());
        for number in 0..shared.sentinels.len() {
            watchers.spawn(shared.clone().follow_switches(number));
        }
        Ok(Sentinel { shared, _watchers: watchers })
    }

    pub(super) fn primary(&self) -> Arc<Node> {
        self.shared.primary.read().node.clone()
    }

    pub(super) async fn renew(&self) {
        self.shared.renew().await;
    }
}

impl Shared {
    async fn renew(&self) {
        self.renewal.run(self.look()).await;
    }

    async fn look(&self) {
        let view = ask_all(&self.sentinels, &self.group).await;
        self.trouble.note(view.as_ref().err(), "cannot find out who the primary is");
        if let Ok((view, told_by)) = view {
            self.adopt(view, 2 * told_by > self.sentinels.len());
        }
    }

    /// Believes a view, unless it is older than what is known: a sentinel that was cut off from the others still
    /// names the primary of before. Only most of them together can have begun to count anew.
    fn adopt(&self, view: View, told_by_most: bool) {
        let mut primary = self.primary.write();
        let is_older = primary.election.is_newer_than(view.epoch);
        if (is_older && !told_by_most) || !primary.election.admits(view.epoch) {
            // To find out soon which of the two it is.
            self.to_primary.suspicion.notify_one();
            return;
        }
        if *primary.node.address() != view.address {
            info!(from = %primary.node.address(), to = %view.address, "redis has another primary");
            let node = Arc::new(Node::new(view.address, self.to_primary.clone()));
            std::mem::replace(&mut primary.node, node).supersede();
        }
    }

    /// Asks again when the primary is slow to answer.
    async fn follow_suspicions(self: Arc<Shared>) {
        loop {
            self.to_primary.suspicion.notified().await;
            self.renewal.run_anew(self.look()).await;
            sleep(PAUSE).await;
        }
    }

    /// Listens to one sentinel for as long as it lives, and again when it is back.
    async fn follow_switches(self: Arc<Shared>, number: usize) {
        let Line { address, connector, .. } = &self.sentinels[number];
        loop {
            if let Ok(messages) = connector.subscribe(address, &CHANGES).await {
                let mut messages = messages.into_on_message();
                // What was said before anybody listened, and then whenever something is.
                self.renewal.run_anew(self.look()).await;
                while messages.next().await.is_some() {
                    self.renewal.run_anew(self.look()).await;
                }
            }
            sleep(PAUSE).await;
        }
    }
}

/// Asks all sentinels. Returns what the one says that knows of the newest election, and how many have answered.
async fn ask_all(sentinels: &[Line], group: &str) -> Result<(View, usize), String> {
    let mut asked: FuturesUnordered<_> = sentinels.iter().map(|it| ask(it, group)).collect();
    let (mut best, mut troubles, mut answers) = (None::<View>, Vec::new(), 0);
    loop {
        let patience = if best.is_some() { GRACE } else { PATIENCE };
        match timeout(patience, asked.next()).await {
            Ok(Some(Ok(view))) => {
                answers += 1;
                if best.as_ref().is_none_or(|it| it.epoch < view.epoch) {
                    best = Some(view);
                }
            }
            Ok(Some(Err(trouble))) => troubles.push(trouble),
            Ok(None) | Err(_) => break,
        }
    }
    best.map(|it| (it, answers)).ok_or_else(|| match troubles.as_slice() {
        [] => format!("no sentinel gave an answer within {PATIENCE:?}"),
        _ => troubles.join("; "),
    })
}

async fn ask(sentinel: &Line, group: &str) -> Result<View, String> {
    let address = &sentinel.address;
    let mut commands = Pipeline::new();
    // While replicas are told of a new primary, the first has its number already, and still the old address. The
    // second has both right; and nothing comes between them.
    commands.cmd("SENTINEL").arg("MASTER").arg(group);
    commands.cmd("SENTINEL").arg("GET-MASTER-ADDR-BY-NAME").arg(group);
    let replies = sentinel.ask_all(&commands).await.map_err(|it| match it {
        Silence::NotSent(message) | Silence::Lost(message) => message,
    })?;
    match replies.as_slice() {
        [_, Value::Nil] => {
            Err(format!("sentinel {address} monitors no {group:?}: check sentinelMasterName"))
        }
        replies => View::parse(replies)
            .ok_or_else(|| format!("{address} gave no answer of a sentinel: check redisHost")),
    }
}

impl View {
    fn parse(replies: &[Value]) -> Option<View> {
        let [master, address] = replies else { return None };
        let master: HashMap<String, String> = from_redis_value(master.clone()).ok()?;
        let (host, port) = from_redis_value(address.clone()).ok()?;
        let epoch = master.get("config-epoch")?.parse().ok()?;
        Some(View { address: Address::Tcp { host, port }, epoch })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sentinel_tells_the_primary_and_its_election() {
        let text = |it: &str| Value::BulkString(it.as_bytes().to_vec());
        let list = |it: &[&str]| Value::Array(it.iter().map(|it| text(it)).collect());
        let master = list(&["name", "m", "ip", "10.0.0.9", "port", "6379", "config-epoch", "7"]);
        let view = View::parse(&[master.clone(), list(&["10.0.0.1", "6380"])]).unwrap();
        let address = Address::Tcp { host: "10.0.0.1".to_owned(), port: 6380 };
        assert_eq!(view, View { address, epoch: 7 });
        assert_eq!(View::parse(&[master, Value::Nil]), None);
    }
}
