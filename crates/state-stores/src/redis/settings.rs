//! A component's metadata for `state.redis`, with Dapr's names and defaults.

use std::{fmt, path::PathBuf, sync::Arc, time::Duration};

use redis::ProtocolVersion;
use serde::Deserialize;
use state::{Error, FailureKind, Result};
use state_config::Properties;
use tokio_rustls::TlsConnector;
use tracing::{info, warn};

use super::{
    address::Address,
    values::{duration, number, switch},
};
use crate::tls::{self, FieldNames, Trust};

/// As the component file has them. Read strictly, as Dapr does for Redis and no other store.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    #[serde(rename = "redishost")]
    host: Option<String>,
    #[serde(rename = "redisport")]
    port: Option<String>,
    #[serde(rename = "redisusername")]
    username: Option<String>,
    #[serde(rename = "redispassword")]
    password: Option<String>,
    #[serde(rename = "redisdb")]
    database: Option<String>,
    #[serde(rename = "redistype")]
    kind: Option<String>,
    failover: Option<String>,
    #[serde(rename = "sentinelmastername")]
    sentinel_master_name: Option<String>,
    #[serde(rename = "sentinelusername")]
    sentinel_username: Option<String>,
    #[serde(rename = "sentinelpassword")]
    sentinel_password: Option<String>,
    #[serde(rename = "enabletls")]
    enable_tls: Option<String>,
    #[serde(rename = "insecureskiptlsverify")]
    skip_verify: Option<String>,
    #[serde(rename = "cacert")]
    ca_cert: Option<String>,
    #[serde(rename = "clientcert")]
    client_cert: Option<String>,
    #[serde(rename = "clientkey")]
    client_key: Option<String>,
    #[serde(rename = "redismaxretries")]
    retries: Option<String>,
    #[serde(rename = "maxretries")]
    legacy_retries: Option<String>,
    #[serde(rename = "redisminretryinterval")]
    retry_pause_min: Option<String>,
    #[serde(rename = "maxretrybackoff")]
    legacy_retry_pause: Option<String>,
    #[serde(rename = "redismaxretryinterval")]
    retry_pause_max: Option<String>,
    #[serde(rename = "dialtimeout")]
    dial_timeout: Option<String>,
    #[serde(rename = "readtimeout")]
    read_timeout: Option<String>,
    #[serde(rename = "writetimeout")]
    write_timeout: Option<String>,
    #[serde(rename = "ttlinseconds")]
    ttl_s: Option<String>,
    protocol: Option<String>,
    #[serde(rename = "strongreplicas")]
    strong_replicas: Option<String>,
    #[serde(rename = "readfrom")]
    read_from: Option<String>,
    #[serde(rename = "hashtag")]
    hash_tag: Option<String>,
}

/// Checked and ready to connect.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) layout: Layout,
    pub(super) login: Login,
    /// The number of the database; 0 in a cluster, which has no other.
    pub(super) database: i64,
    pub(super) tls: Option<Tls>,
    pub(super) protocol: ProtocolVersion,
    pub(super) timing: Timing,
    /// The lifetime of values that are saved without one.
    pub(super) ttl: Option<Duration>,
    /// How many replicas must have what a strong write has written and a strong read tells, even if fewer are
    /// connected.
    pub(super) strong_replicas: u32,
    /// Whether eventual reads may go to replicas.
    pub(super) reads_from_replicas: bool,
    /// Whether the part of a key before `||` is put in braces, so that a cluster keeps the keys of an
    /// application in one slot.
    pub(super) tags_keys: bool,
}

/// What makes a stream secure. The same for every connection.
#[derive(Clone)]
pub(super) struct Tls(pub(super) TlsConnector);

/// How the servers stand to each other.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One server that takes writes, with replicas or without.
    Node(Address),
    /// Sentinels that know who takes writes.
    Sentinel { sentinels: Vec<Address>, group: String, login: Login },
    /// Servers that share the keys among them, some of which are named.
    Cluster(Vec<Address>),
}

/// Who one is to a server.
#[derive(Clone, Default, PartialEq, Eq)]
pub(super) struct Login {
    pub(super) username: Option<String>,
    pub(super) password: Option<String>,
}

/// How long things may take, and how often they are tried.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Timing {
    /// For a connection to be made, the login included.
    pub(super) connect: Duration,
    /// For a reply to come before its outcome counts as unknown.
    pub(super) reply: Duration,
    /// For replicas to confirm a strong write; part of the time for a reply.
    pub(super) confirm: Duration,
    /// How often an operation that was certainly not applied is tried again.
    pub(super) retries: u32,
    /// The pause before that, which doubles each time from the first to the last of these.
    pub(super) pause: (Duration, Duration),
}

const PORT: u16 = 6379;

/// Source: go-redis, which Dapr uses.
const DIAL_TIMEOUT: Duration = Duration::from_secs(5);
const REPLY_TIMEOUT: Duration = Duration::from_secs(3);
const RETRIES: u32 = 3;
const PAUSE_MAX: Duration = Duration::from_millis(512);

/// Differs from Dapr: it has 2 s, which its client cuts to the maximum of 512 ms.
const PAUSE_MIN: Duration = Duration::from_millis(50);

/// "No time-out", which no request should have: far longer than anybody waits.
const NEVER: Duration = Duration::from_secs(24 * 3600);

/// How long replicas may take to confirm. Source: Dapr's WAIT.
const CONFIRM_TIMEOUT: Duration = Duration::from_secs(1);

/// Settings of Dapr that mean something else than this store: of its pool of connections, and of other
/// building blocks that share the file format.
const WITHOUT_EFFECT: &[&str] = &[
    "concurrency",
    "consumerid",
    "idlecheckfrequency",
    "idletimeout",
    "maxconnage",
    "maxlenapprox",
    "minidleconns",
    "poolsize",
    "pooltimeout",
    "processingtimeout",
    "queuedepth",
    "redeliverinterval",
    "streamttl",
];

const TLS_NAMES: FieldNames =
    FieldNames { authorities: "caCert", certificate: "clientCert", key: "clientKey" };

/// Logins of cloud services, which this program cannot make.
const CLOUD_SWITCHES: &[&str] = &["useEntraID", "useAzureAD", "useOIDC"];

impl Settings {
    /// Checks what a component file says, before anything is connected.
    pub(super) fn parse(properties: &Properties) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| invalid(e.to_string()))?;
        refuse_cloud_logins(properties)?;
        note_unknown(properties);
        let layout = layout(&fields)?;
        let database = match &layout {
            Layout::Cluster(_) => 0,
            _ => number("redisDB", &fields.database)?.unwrap_or(0),
        };
        let login = Login { username: fields.username.clone(), password: fields.password.clone() };
        if login.username.is_some() && login.password.is_none() {
            return Err(invalid("redisUsername needs redisPassword".to_owned()));
        }
        Ok(Settings {
            layout,
            login,
            database,
            tls: tls(&fields)?,
            protocol: protocol(&fields)?,
            timing: timing(&fields)?,
            ttl: ttl(&fields)?,
            strong_replicas: number("strongReplicas", &fields.strong_replicas)?.unwrap_or(0),
            reads_from_replicas: match fields.read_from.as_deref() {
                None | Some("primary") => false,
                Some("replica") => true,
                Some(_) => return Err(invalid("readFrom must be primary or replica".to_owned())),
            },
            tags_keys: match fields.hash_tag.as_deref() {
                None | Some("none") => false,
                Some("app") => true,
                Some(_) => return Err(invalid("hashTag must be app or none".to_owned())),
            },
        })
    }
}

fn layout(fields: &Fields) -> Result<Layout> {
    let hosts =
        fields.host.as_deref().map(str::trim).filter(|it| !it.is_empty()).ok_or_else(|| {
            invalid("missing redisHost: add the metadata field redisHost with host:port".to_owned())
        })?;
    let port: Option<u16> = number("redisPort", &fields.port)?.filter(|it| *it != 0);
    let addresses = addresses(hosts, port)?;
    let failover = switch("failover", &fields.failover)?;
    let cluster = match fields.kind.as_deref() {
        None | Some("node") => false,
        Some("cluster") => true,
        Some(_) => return Err(invalid("redisType must be node or cluster".to_owned())),
    };
    match (cluster, failover) {
        (true, true) => Err(invalid(
            "failover and redisType cluster exclude each other: a cluster needs no Sentinel; remove \
             failover"
                .to_owned(),
        )),
        (true, false) => Ok(Layout::Cluster(addresses)),
        (false, true) => {
            let group = fields.sentinel_master_name.clone().ok_or_else(|| {
                invalid("failover needs sentinelMasterName, the name that Sentinel monitors".to_owned())
            })?;
            let login = Login {
                username: fields.sentinel_username.clone(),
                password: fields.sentinel_password.clone(),
            };
            Ok(Layout::Sentinel { sentinels: addresses, group, login })
        }
        (false, false) => match <[Address; 1]>::try_from(addresses) {
            Ok([address]) => Ok(Layout::Node(address)),
            Err(_) => Err(invalid(
                "redisHost names several servers: set redisType cluster, or failover true for Sentinel"
                    .to_owned(),
            )),
        },
    }
}

fn addresses(hosts: &str, port: Option<u16>) -> Result<Vec<Address>> {
    if let Some(path) = hosts.strip_prefix("unix://") {
        return Ok(vec![Address::Unix(PathBuf::from(path))]);
    }
    let parse = |host: &str| {
        let host = host.trim();
        let (name, own) = Address::split(host).ok_or_else(|| invalid(NO_ADDRESS.to_owned()))?;
        match (own, port) {
            (Some(own), Some(port)) if own != port => Err(invalid(format!(
                "redisHost has port {own} and redisPort is {port}: remove one of them"
            ))),
            _ => Ok(Address::Tcp { host: name.to_owned(), port: own.or(port).unwrap_or(PORT) }),
        }
    };
    hosts.split(',').filter(|it| !it.trim().is_empty()).map(parse).collect()
}

/// Without what was written there, which may be a URL with a password.
const NO_ADDRESS: &str = "redisHost must be host:port, not a URL: user, password, database and TLS have fields of their \
                          own, redisUsername, redisPassword, redisDB and enableTLS";

fn tls(fields: &Fields) -> Result<Option<Tls>> {
    let enabled = switch("enableTLS", &fields.enable_tls)?;
    let skip_verify = switch("insecureSkipTLSVerify", &fields.skip_verify)?;
    let client = match (&fields.client_cert, &fields.client_key) {
        (Some(cert), Some(key)) => Some((cert.as_str(), key.as_str())),
        (None, None) => None,
        _ => return Err(invalid("clientCert and clientKey need each other".to_owned())),
    };
    if !enabled {
        if client.is_some() || fields.ca_cert.is_some() {
            return Err(invalid(
                "clientCert, clientKey and caCert need enableTLS: set it to true".to_owned(),
            ));
        }
        return Ok(None);
    }
    if skip_verify {
        warn!(
            "insecureSkipTLSVerify: whoever is between here and Redis can read and change everything"
        );
    }
    let authorities = fields.ca_cert.as_deref();
    let trust = if skip_verify { Trust::Anyone } else { Trust::Named(authorities) };
    let config = tls::configure(trust, client, &TLS_NAMES).map_err(invalid)?;
    Ok(Some(Tls(TlsConnector::from(Arc::new(config)))))
}

fn protocol(fields: &Fields) -> Result<ProtocolVersion> {
    match fields.protocol.as_deref() {
        None | Some("2") => Ok(ProtocolVersion::RESP2),
        Some("3") => Ok(ProtocolVersion::RESP3),
        Some(_) => Err(invalid("protocol must be 2 or 3".to_owned())),
    }
}

fn timing(fields: &Fields) -> Result<Timing> {
    let time = |name: &str, text: &Option<String>, default: Duration| {
        let nanoseconds = duration(name, text)?;
        Ok::<_, Error>(match nanoseconds {
            None | Some(0) => default,
            // A driver takes a negative time as none.
            Some(it) => u64::try_from(it).map_or(NEVER, Duration::from_nanos),
        })
    };
    let reply = time("readTimeout", &fields.read_timeout, REPLY_TIMEOUT)?;
    // A request is written and answered in one; the longer of the two is the time for both.
    let reply = reply.max(time("writeTimeout", &fields.write_timeout, reply)?);
    let retries = match &fields.retries {
        Some(_) => number("redisMaxRetries", &fields.retries)?,
        None => number::<i64>("maxRetries", &fields.legacy_retries)?,
    };
    // In Dapr the older name means nanoseconds, and the shortest pause in spite of what it says.
    let legacy: Option<u64> = number("maxRetryBackoff", &fields.legacy_retry_pause)?;
    let legacy = legacy.map_or(PAUSE_MIN, Duration::from_nanos);
    let pause = |name: &str, text: &Option<String>, default: Duration| {
        let pause = time(name, text, default)?;
        // A negative pause is none.
        Ok::<_, Error>(if pause == NEVER { Duration::ZERO } else { pause })
    };
    let longest = pause("redisMaxRetryInterval", &fields.retry_pause_max, PAUSE_MAX)?;
    let shortest = pause("redisMinRetryInterval", &fields.retry_pause_min, legacy)?;
    Ok(Timing {
        connect: time("dialTimeout", &fields.dial_timeout, DIAL_TIMEOUT)?,
        reply,
        confirm: CONFIRM_TIMEOUT.min(reply / 2),
        retries: match retries {
            None => RETRIES,
            Some(it) => u32::try_from(it).unwrap_or(0),
        },
        pause: (shortest.min(longest), longest),
    })
}

fn ttl(fields: &Fields) -> Result<Option<Duration>> {
    let seconds: Option<i64> = number("ttlInSeconds", &fields.ttl_s)?;
    match seconds.filter(|it| *it > 0).map(i32::try_from) {
        None => Ok(None),
        Some(Ok(seconds)) => Ok(Some(Duration::from_secs(u64::from(seconds.unsigned_abs())))),
        Some(Err(_)) => Err(invalid("ttlInSeconds must be at most 2147483647".to_owned())),
    }
}

fn refuse_cloud_logins(properties: &Properties) -> Result<()> {
    for name in CLOUD_SWITCHES {
        let value = properties.get(name).map(str::to_owned);
        if switch(name, &value.filter(|it| !it.is_empty()))? {
            return Err(invalid(format!(
                "{name} is not supported: log in with redisUsername and redisPassword"
            )));
        }
    }
    Ok(())
}

fn note_unknown(properties: &Properties) {
    for unknown in properties.unknown::<Fields>() {
        let name = unknown.name.to_lowercase();
        if WITHOUT_EFFECT.contains(&name.as_str()) {
            info!(
                field = unknown.name,
                "has no effect: there is no pool of connections, and no queue"
            );
        } else if name == "queryindexes" {
            warn!(field = unknown.name, "has no effect: there is no query API");
        } else if !name.starts_with("oidc")
            && !CLOUD_SWITCHES.iter().any(|it| it.eq_ignore_ascii_case(&name))
        {
            warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field");
        }
    }
}

fn invalid(message: String) -> Error {
    Error::new(FailureKind::Invalid, message)
}

impl fmt::Debug for Tls {
    /// Hides the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls")
    }
}

impl fmt::Debug for Login {
    /// Hides the password, and with it who has none.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
