//! What a server is and permits, looked at once when the store is opened.

use std::collections::{BTreeMap, HashMap};

use redis::{Cmd, Pipeline, ServerError, Value, from_redis_value};
use state::{Error, FailureKind, Result};
use tracing::{debug, warn};
use uuid::Uuid;

use super::{
    confirmed::Census,
    info,
    node::Node,
    refusal::{Intent, Refusal},
    script,
    slot::slot,
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
    /// Whether `WAIT` covers what was read, too, and not only what was written.
    pub(super) waits_for_reads: bool,
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
    pub(super) async fn of(node: &Node, probe: &Probe) -> Result<Inspection> {
        let rights = rights(node, probe).await?;
        let mut questions = Pipeline::new();
        questions.cmd("ROLE");
        questions.cmd("INFO").arg("replication");
        questions.cmd("WAIT").arg(0).arg(1);
        questions.cmd("SCAN").arg(0).arg("COUNT").arg(1);
        questions.cmd("INFO").arg("persistence");
        questions.cmd("CLUSTER").arg("INFO");
        questions.cmd("INFO").arg("server");
        let len = questions.len();
        for it in SETTINGS {
            questions.cmd("CONFIG").arg("GET").arg(it);
        }
        let mut replies = node.ask_all(&questions).await.map_err(|it| it.error(Intent::Read))?;
        let configured = replies.split_off(len);
        let [role, replication, wait, scan, persistence, cluster, server] =
            <[Value; 7]>::try_from(replies).expect("one reply for each question");
        if !probe.is_named && is_shared(&cluster) {
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
            waits_for_reads: waits_for_reads(&server),
            can_scan: !matches!(scan, Value::ServerError(_)),
            has_json: rights == Rights::Enough { has_json: true },
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

/// What the user may do.
#[derive(Debug, PartialEq, Eq)]
enum Rights {
    /// All that operations need, and documents or not.
    Enough { has_json: bool },
    /// Keys of other names than the application's are not permitted, so nothing more can be found out.
    Untold,
}

/// Makes sure that the scripts can be run, with all that they need.
async fn rights(node: &Node, probe: &Probe) -> Result<Rights> {
    let server = node.address();
    let reply = node.ask(&probe.command(true)).await.map_err(|it| it.error(Intent::Read))?;
    let (denied, documents): (String, u8) = match reply {
        Value::ServerError(e) if probe.is_named && is_about_keys(&e) => {
            debug!(%server, "what the user may do cannot be found out without a key to try it on");
            return Ok(Rights::Untold);
        }
        Value::ServerError(e) => return Err(without(&e, node, "EVAL")),
        reply => from_redis_value(reply).unwrap_or_default(),
    };
    if !denied.is_empty() {
        let message = format!(
            "redis at {server} does not permit its user {denied}: an operation could be carried out by half, so \
             none is; permit +{}",
            denied.to_lowercase().replace(' ', " +")
        );
        return Err(Error::new(FailureKind::Unavailable, message));
    }
    let reply = node.ask(&probe.command(false)).await.map_err(|it| it.error(Intent::Read))?;
    match reply {
        Value::ServerError(e) if e.code() != "NOSCRIPT" => Err(without(&e, node, "EVALSHA")),
        _ => Ok(Rights::Enough { has_json: documents == 1 }),
    }
}

/// Why a server does not run scripts.
fn without(e: &ServerError, node: &Node, command: &str) -> Error {
    let is_unknown = e.details().is_some_and(|it| it.contains("unknown command"));
    if e.code() != "NOPERM" && !is_unknown {
        return Refusal::of(e, node.address(), Intent::Read).error();
    }
    let message = format!(
        "redis at {} does not permit {command}, which every operation needs: permit +@scripting to the user of \
         redisUsername",
        node.address()
    );
    Error::new(FailureKind::Unavailable, message)
}

/// Whether it was the key that is not permitted, and not the command.
fn is_about_keys(e: &ServerError) -> bool {
    e.code() == "NOPERM" && e.details().is_some_and(|it| it.contains("key"))
}

/// A key that nobody uses, to try commands on.
#[derive(Debug)]
pub(super) struct Probe {
    key: String,
    /// Whether it has to be named as a key of the script, because it has to be on this server.
    is_named: bool,
}

impl Probe {
    /// For a server that has all keys.
    pub(super) fn anywhere() -> Probe {
        Probe { key: Probe::name(), is_named: false }
    }

    /// For a server of a cluster, which has the slots for which `is_here` says so.
    pub(super) fn here(is_here: impl Fn(u16) -> bool) -> Probe {
        let mut names = std::iter::repeat_with(Probe::name).take(NAMES_MAX);
        let key = names.find(|it| is_here(slot(it))).unwrap_or_else(Probe::name);
        Probe { key, is_named: true }
    }

    fn name() -> String {
        format!("steadfast-rights-{}", Uuid::new_v4())
    }

    fn command(&self, by_text: bool) -> Cmd {
        let key = std::slice::from_ref(&self.key);
        let (keys, arguments) = if self.is_named { (key, &[][..]) } else { (&[][..], key) };
        script::RIGHTS.call(by_text, keys, arguments)
    }
}

/// How many names to try until one is in a slot of a server: one of a thousand servers has it nearly always.
const NAMES_MAX: usize = 16_384;

/// How replicas can be counted, and how many there are.
fn census(role: &Value, replication: &Value) -> (Option<Census>, Option<u32>) {
    [(Census::Role, role), (Census::Info, replication)]
        .into_iter()
        .find(|(_, reply)| !matches!(reply, Value::ServerError(_)))
        .map_or((None, None), |(census, reply)| (Some(census), census.count(reply)))
}

/// Whether a server notes how far it was after every command of a client, and not only after those that were
/// propagated. Source: redis, server.c: processCommand until 7.0, call since 7.2, on which Valkey is built.
fn waits_for_reads(server: &Value) -> bool {
    let text: String = from_redis_value(server.clone()).unwrap_or_default();
    let version = info::field(&text, "redis_version").and_then(|it| it.split_once('.'));
    let minor = |rest: &str| rest.split('.').next().and_then(|it| it.parse::<u32>().ok());
    match version.and_then(|(major, rest)| Some((major.parse::<u32>().ok()?, minor(rest)?))) {
        Some(version) => version < (7, 2),
        None => false,
    }
}

/// Whether `CLUSTER INFO` tells of other servers that have a part of the keys.
fn is_shared(cluster: &Value) -> bool {
    let text: String = from_redis_value(cluster.clone()).unwrap_or_default();
    info::field(&text, "cluster_size").and_then(|it| it.parse().ok()).is_some_and(|it: u32| it > 1)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wait_covers_reads_until_redis_7_0() {
        let waits = |version: &str| {
            let info = format!("# Server\r\nredis_version:{version}\r\nredis_git_sha1:0\r\n");
            waits_for_reads(&Value::BulkString(info.into_bytes()))
        };
        assert!(waits("6.2.14") && waits("7.0.15"));
        assert!(!waits("7.2.4") && !waits("8.0.0") && !waits("255.255.255") && !waits("new"));
        assert!(!waits_for_reads(&Value::Nil));
    }
}
