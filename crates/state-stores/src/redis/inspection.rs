//! What a server is and permits, looked at once when the store is opened.

use std::collections::{BTreeMap, HashMap};

use redis::{Pipeline, ServerError, Value, cmd, from_redis_value};
use state::{Error, FailureKind, Result};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    confirmed::Census,
    info,
    line::Silence,
    node::Node,
    refusal::{Intent, Refusal},
    script,
};

/// What there is to know about one server.
#[derive(Clone, Debug, Default)]
pub(super) struct Inspection {
    /// The settings that decide what becomes of acknowledged writes, as far as it tells.
    pub(super) settings: BTreeMap<&'static str, String>,
    /// How its replicas can be counted.
    pub(super) census: Option<Census>,
    /// How many follow it now.
    pub(super) replicas: Option<u32>,
    pub(super) can_wait: bool,
    pub(super) can_scan: bool,
    pub(super) has_json: bool,
}

/// The settings that decide what becomes of acknowledged writes.
const SETTINGS: [&str; 5] =
    ["appendonly", "appendfsync", "maxmemory", "maxmemory-policy", "min-replicas-to-write"];

impl Inspection {
    /// Asks one server everything.
    ///
    /// # Errors
    ///
    /// If it cannot be reached, or does not permit what no operation can do without. What can be done without
    /// is missing from the result, and the log says so.
    pub(super) async fn of(node: &Node, in_cluster: bool) -> Result<Inspection> {
        check_rights(node, in_cluster).await?;
        let mut questions = Pipeline::new();
        questions.cmd("ROLE");
        questions.cmd("INFO").arg("replication");
        questions.cmd("WAIT").arg(0).arg(1);
        questions.cmd("SCAN").arg(0).arg("COUNT").arg(1);
        questions.cmd("COMMAND").arg("INFO").arg("JSON.SET");
        questions.cmd("INFO").arg("persistence");
        questions.cmd("CLUSTER").arg("INFO");
        let len = questions.len();
        for it in SETTINGS {
            questions.cmd("CONFIG").arg("GET").arg(it);
        }
        let mut replies = node.ask_all(&questions).await.map_err(|it| it.error(Intent::Read))?;
        let configured = replies.split_off(len);
        let [role, replication, wait, scan, json, persistence, cluster] =
            <[Value; 7]>::try_from(replies).expect("one reply for each question");
        if !in_cluster && is_shared(&cluster) {
            let message = format!(
                "redis at {} has only a part of the keys of a cluster: set redisType to cluster",
                node.address()
            );
            return Err(Error::new(FailureKind::Invalid, message));
        }
        let (census, replicas) = census(&role, &replication);
        let inspection = Inspection {
            settings: settings(configured, &persistence),
            census,
            replicas,
            can_wait: matches!(wait, Value::Int(_)),
            can_scan: !matches!(scan, Value::ServerError(_)),
            has_json: has_command(&json),
        };
        inspection.report_gaps(node);
        Ok(inspection)
    }

    fn report_gaps(&self, node: &Node) {
        let server = node.address();
        if !self.can_wait {
            warn!(%server, "WAIT is not permitted: strong writes are refused unless there is no replica");
        }
        if self.census.is_none() {
            warn!(%server, "neither ROLE nor INFO is permitted: strong writes need strongReplicas");
        }
        if !self.can_scan {
            warn!(%server, "SCAN is not permitted: keys cannot be listed");
        }
        let missing: Vec<_> =
            SETTINGS.iter().filter(|it| !self.settings.contains_key(*it)).collect();
        if !missing.is_empty() {
            warn!(%server, ?missing, "CONFIG GET is not permitted: durability is not known, and not claimed");
        }
    }
}

/// Makes sure that the scripts can be run, with all that they need.
async fn check_rights(node: &Node, in_cluster: bool) -> Result<()> {
    let server = node.address();
    let name = format!("steadfast-rights-{}", Uuid::new_v4());
    // In a cluster all keys have to be named, and be of this server; that is as much as can be found out.
    let keys = if in_cluster { Vec::new() } else { vec![name.as_str()] };
    let command = |by_text| {
        script::RIGHTS.call(by_text, std::iter::empty(), keys.iter().map(|it| it.as_bytes()))
    };
    let by_text = match in_cluster {
        true => {
            let mut command = cmd("EVAL");
            command.arg("return ''").arg(0);
            command
        }
        false => command(true),
    };
    let refused = |e: &ServerError, what: &str| {
        let unknown = e.details().is_some_and(|it| it.contains("unknown command"));
        let denied = e.code() == "NOPERM" || unknown;
        let message = format!(
            "redis at {server} does not permit {what}, which every operation needs: permit +@scripting to \
             the user of redisUsername"
        );
        match Refusal::of(e, server, Intent::Read) {
            _ if denied => Error::new(FailureKind::Unavailable, message),
            Refusal::NotNow(e) | Refusal::Final(e) => e,
            Refusal::NoScript | Refusal::Moved(_) | Refusal::Ask(_) => {
                Error::new(FailureKind::Unavailable, message)
            }
        }
    };
    let ask = async |command| match node.ask(&command).await {
        Ok(it) => Ok(it),
        Err(it @ (Silence::NotSent(_) | Silence::Lost(_))) => Err(it.error(Intent::Read)),
    };
    let denied = match ask(by_text).await? {
        Value::ServerError(e) => return Err(refused(&e, "EVAL")),
        reply => from_redis_value::<String>(reply).unwrap_or_default(),
    };
    if !denied.is_empty() {
        let message = format!(
            "redis at {server} does not permit its user {denied}: an operation could be carried out by half, so \
             none is; permit +{}",
            denied.to_lowercase().replace(' ', " +")
        );
        return Err(Error::new(FailureKind::Unavailable, message));
    }
    if let Value::ServerError(e) = ask(command(false)).await?
        && e.code() != "NOSCRIPT"
    {
        return Err(refused(&e, "EVALSHA"));
    }
    Ok(())
}

/// How replicas can be counted, and how many there are.
fn census(role: &Value, replication: &Value) -> (Option<Census>, Option<u32>) {
    [(Census::Role, role), (Census::Info, replication)]
        .into_iter()
        .find(|(_, reply)| !matches!(reply, Value::ServerError(_)))
        .map_or((None, None), |(census, reply)| (Some(census), census.count(reply)))
}

/// Whether `CLUSTER INFO` tells of other servers that have a part of the keys.
fn is_shared(cluster: &Value) -> bool {
    let text: String = from_redis_value(cluster.clone()).unwrap_or_default();
    info::field(&text, "cluster_size").and_then(|it| it.parse().ok()).is_some_and(|it: u32| it > 1)
}

/// Whether `COMMAND INFO` knows the command.
fn has_command(reply: &Value) -> bool {
    matches!(reply, Value::Array(it) if matches!(it.as_slice(), [Value::Array(_)]))
}

/// Name and value of each setting that the server tells.
fn settings(configured: Vec<Value>, persistence: &Value) -> BTreeMap<&'static str, String> {
    let mut settings = BTreeMap::new();
    for (name, reply) in SETTINGS.iter().zip(configured) {
        let told: HashMap<String, String> = from_redis_value(reply).unwrap_or_default();
        if let Some(value) = told.get(*name) {
            settings.insert(*name, value.clone());
        }
    }
    // Who may not be asked for its configuration may still say whether there is a log.
    if !settings.contains_key("appendonly")
        && let Ok(text) = from_redis_value::<String>(persistence.clone())
    {
        debug!("the configuration is not told; INFO is");
        let is_on = info::field(&text, "aof_enabled") == Some("1");
        settings.insert("appendonly", if is_on { "yes" } else { "no" }.to_owned());
    }
    settings
}
