//! Sentinels: they know which server takes the writes, and tell when that changes.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use parking_lot::{Mutex, RwLock};
use redis::{Value, cmd, from_redis_value};
use state::{Error, FailureKind, Result};
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};
use tracing::{info, warn};

use super::{
    address::Address,
    connector::{Connector, Greeting},
    line::{Line, Silence},
    node::Node,
    renewal::Renewal,
};

#[derive(Debug)]
pub(super) struct Sentinel {
    shared: Arc<Shared>,
    /// Ends with this.
    _watchers: JoinSet<()>,
}

#[derive(Debug)]
struct Shared {
    group: String,
    /// The one that has answered last is first.
    sentinels: Mutex<Vec<Arc<Line>>>,
    to_primary: Connector,
    primary: RwLock<Arc<Node>>,
    renewal: Renewal,
}

const SWITCH: &str = "+switch-master";

/// How long one sentinel may take before the next is asked.
const PATIENCE: Duration = Duration::from_secs(1);

/// The pause before sentinels are asked again by a watcher.
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
        let lines =
            sentinels.iter().map(|it| Arc::new(Line::new(it.clone(), to_sentinels.clone())));
        let lines: Vec<_> = lines.collect();
        let to_primary = to_data.greeting(Greeting::IsPrimary);
        let (first, address) = ask_any(&lines, group)
            .await
            .map_err(|message| Error::new(FailureKind::Unavailable, message))?;
        let shared = Arc::new(Shared {
            group: group.to_owned(),
            sentinels: Mutex::new(lines),
            primary: RwLock::new(Arc::new(Node::new(address, to_primary.clone()))),
            to_primary,
            renewal: Renewal::default(),
        });
        shared.prefer(first);
        let mut watchers = JoinSet::new();
        watchers.spawn(shared.clone().follow_suspicions());
        watchers.spawn(shared.clone().follow_switches(to_sentinels));
        Ok(Sentinel { shared, _watchers: watchers })
    }

    pub(super) fn primary(&self) -> Arc<Node> {
        self.shared.primary.read().clone()
    }

    pub(super) async fn renew(&self) {
        self.shared.renew().await;
    }
}

impl Shared {
    async fn renew(&self) {
        self.renewal
            .run(async {
                let lines = self.sentinels.lock().clone();
                match ask_any(&lines, &self.group).await {
                    Ok((which, address)) => {
                        self.prefer(which);
                        self.switch(address);
                    }
                    Err(message) => warn!(error = message, "cannot find out who the primary is"),
                }
            })
            .await;
    }

    fn prefer(&self, which: usize) {
        self.sentinels.lock()[..=which].rotate_right(1);
    }

    fn switch(&self, address: Address) {
        let mut primary = self.primary.write();
        if *primary.address() == address {
            return;
        }
        info!(from = %primary.address(), to = %address, "redis has another primary");
        let node = Arc::new(Node::new(address, self.to_primary.clone()));
        std::mem::replace(&mut *primary, node).supersede();
    }

    /// Asks again when the primary is slow to answer.
    async fn follow_suspicions(self: Arc<Shared>) {
        loop {
            self.to_primary.suspicion.notified().await;
            self.renew().await;
            sleep(PAUSE).await;
        }
    }

    /// Listens to one sentinel after the other, for as long as each lives.
    async fn follow_switches(self: Arc<Shared>, to_sentinels: Connector) {
        loop {
            let addresses: Vec<_> =
                self.sentinels.lock().iter().map(|it| it.address.clone()).collect();
            for address in addresses {
                if let Ok(messages) = to_sentinels.subscribe(&address, SWITCH).await {
                    // What was said before anybody listened.
                    self.renew().await;
                    let mut messages = messages.into_on_message();
                    while let Some(message) = messages.next().await {
                        self.hear(&message.get_payload::<String>().unwrap_or_default());
                    }
                }
            }
            sleep(PAUSE).await;
        }
    }

    /// Takes in `GROUP OLD-HOST OLD-PORT NEW-HOST NEW-PORT`.
    fn hear(&self, message: &str) {
        let words: Vec<&str> = message.split(' ').collect();
        if let [group, _, _, host, port] = words.as_slice()
            && *group == self.group
            && let Ok(port) = port.parse()
        {
            self.switch(Address::Tcp { host: (*host).to_owned(), port });
        }
    }
}

/// The first answer: who gave it, and the address of the primary.
async fn ask_any(sentinels: &[Arc<Line>], group: &str) -> Result<(usize, Address), String> {
    let mut command = cmd("SENTINEL");
    command.arg("GET-MASTER-ADDR-BY-NAME").arg(group);
    let mut troubles = Vec::new();
    for (i, sentinel) in sentinels.iter().enumerate() {
        let address = &sentinel.address;
        let trouble = match timeout(PATIENCE, sentinel.ask(&command)).await {
            Err(_) => format!("sentinel {address} gave no answer within {PATIENCE:?}"),
            Ok(Err(Silence::NotSent(message) | Silence::Lost(message))) => message,
            Ok(Ok(Value::Nil)) => {
                format!("sentinel {address} monitors no {group:?}: check sentinelMasterName")
            }
            Ok(Ok(reply)) => match from_redis_value::<(String, u16)>(reply) {
                Ok((host, port)) => return Ok((i, Address::Tcp { host, port })),
                Err(e) => format!("sentinel {address} gave another answer than an address: {e}"),
            },
        };
        troubles.push(trouble);
    }
    Err(troubles.join("; "))
}
