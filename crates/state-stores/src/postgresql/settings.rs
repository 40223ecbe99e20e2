//! A component's metadata for PostgreSQL, with Dapr's names and defaults.

use std::{fmt, fs, time::Duration};

use serde::Deserialize;
use state::Result;
use state_config::{GoDuration, Properties};
use tokio_postgres::{
    Config,
    config::{Host, SslMode, TargetSessionAttrs},
};
use tokio_postgres_rustls::MakeRustlsConnect;
use tracing::{info, warn};

use super::{
    connection_string::ConnectionString,
    layout::{Columns, Layout},
};
use crate::{
    sql::{TableName, interval, invalid, positive},
    tls::{self, FieldNames, Trust},
};

/// As the component file has them.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    #[serde(rename = "connectionstring", alias = "url")]
    connection_string: Option<String>,
    host: Option<String>,
    hostaddr: Option<String>,
    port: Option<String>,
    database: Option<String>,
    user: Option<String>,
    password: Option<String>,
    #[serde(rename = "sslrootcert")]
    ssl_root_cert: Option<String>,
    #[serde(rename = "tablename")]
    table_name: Option<String>,
    #[serde(rename = "tableprefix")]
    table_prefix: Option<String>,
    #[serde(rename = "metadatatablename")]
    metadata_table_name: Option<String>,
    #[serde(alias = "timeoutinseconds")]
    timeout: Option<GoDuration>,
    #[serde(rename = "cleanupinterval", alias = "cleanupintervalinseconds")]
    cleanup_interval: Option<GoDuration>,
    #[serde(rename = "maxconns")]
    connections_max: Option<usize>,
    #[serde(rename = "connectionmaxidletime")]
    idle_max: Option<GoDuration>,
    #[serde(rename = "queryexecmode")]
    query_exec_mode: Option<String>,
    #[serde(rename = "readfrom")]
    read_from: Option<String>,
    #[serde(default, rename = "useazuread")]
    use_azure_ad: bool,
    #[serde(default, rename = "useawsiam")]
    use_aws_iam: bool,
}

/// Checked and ready to connect.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) servers: Servers,
    pub(super) layout: Layout,
    /// How long a request may take before its outcome counts as unknown.
    pub(super) timeout: Duration,
    /// How often expired rows are removed; `None` for never.
    pub(super) cleanup_interval: Option<Duration>,
    /// How many connections there may be, at least 2.
    pub(super) connections_max: usize,
    /// How long a connection for transactions may be of no use before it is closed.
    pub(super) idle_max: Duration,
    /// Whether statements are prepared, and the session has settings of ours. Not so if there is a pooler in between that
    /// gives each transaction another session.
    pub(super) owns_session: bool,
    /// Whether eventual reads may go to hot standbys.
    pub(super) reads_from_standby: bool,
}

/// Where the servers are, and how they are trusted.
#[derive(Clone)]
pub(super) struct Servers {
    /// Each way to connect is tried in turn.
    pub(super) ways: Vec<Way>,
    /// What they are called in messages.
    pub(super) label: String,
}

#[derive(Clone)]
pub(super) struct Way {
    pub(super) config: Config,
    pub(super) tls: Option<MakeRustlsConnect>,
}

/// Dapr's default.
const TIMEOUT: Duration = Duration::from_secs(20);

/// Dapr's default.
const CLEANUP_INTERVAL: Duration = Duration::from_secs(3600);

/// Differs from Dapr: it has one for each processor, and four at least, with one request each. These take many.
const CONNECTIONS_MAX: usize = 8;

/// Source: pgx, which Dapr uses.
const IDLE_MAX: Duration = Duration::from_secs(30 * 60);

/// For a connection to be made: long enough for a distant server, and so short that one which takes connections and
/// nothing else is given up before clients are.
pub(super) const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);

/// How long a peer may be silent before the system gives a connection up.
const TCP_USER_TIMEOUT: Duration = Duration::from_secs(10);

const TLS_NAMES: FieldNames =
    FieldNames { authorities: "sslrootcert", certificate: "sslcert", key: "sslkey" };

impl Settings {
    /// Checks what a component file says, before anything is connected.
    pub(super) fn parse(properties: &Properties, columns: &'static Columns) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| invalid(e.to_string()))?;
        for (switch, is_on) in
            [("useAzureAD", fields.use_azure_ad), ("useAWSIAM", fields.use_aws_iam)]
        {
            if is_on {
                return Err(invalid(format!("{switch} is not supported: give user and password")));
            }
        }
        for unknown in properties.unknown::<Fields>() {
            let is_clouds = ["aws", "azure", "region", "accesskey", "secretkey", "sessiontoken"]
                .iter()
                .any(|it| unknown.name.to_lowercase().starts_with(it));
            match is_clouds {
                true => info!(field = unknown.name, "the field belongs to a login that is off"),
                false => {
                    warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field")
                }
            }
        }
        let timeout = fields.timeout.map_or(Ok(TIMEOUT), |it| positive("timeout", it))?;
        if timeout < Duration::from_secs(1) {
            return Err(invalid("timeout must be at least 1s".to_owned()));
        }
        let mut text = ConnectionString::parse(fields.connection_string.as_deref().unwrap_or(""))
            .map_err(invalid)?;
        let pool_max = text.take("pool_max_conns").and_then(|it| it.parse().ok());
        let pool_idle = text.take("pool_max_conn_idle_time").and_then(|it| GoDuration::parse(&it));
        let text_mode = text.take("default_query_exec_mode");
        let mode = fields.query_exec_mode.as_deref().or(text_mode.as_deref());
        let idle_max = fields.idle_max.or(pool_idle).and_then(GoDuration::to_duration);
        let named = fields.connections_max.or(pool_max);
        Ok(Settings {
            layout: layout(columns, &fields)?,
            cleanup_interval: interval(fields.cleanup_interval, CLEANUP_INTERVAL),
            // As in Dapr, one is none: a transaction needs one for itself.
            connections_max: named.filter(|it| *it > 1).unwrap_or(CONNECTIONS_MAX),
            idle_max: idle_max.filter(|it| !it.is_zero()).unwrap_or(IDLE_MAX),
            owns_session: owns_session(mode)?,
            reads_from_standby: reads_from_standby(fields.read_from.as_deref())?,
            servers: servers(text, &fields, timeout)?,
            timeout,
        })
    }
}

fn layout(columns: &'static Columns, fields: &Fields) -> Result<Layout> {
    let table = |field: &str, text: String| {
        TableName::new(&text).ok_or_else(|| {
            invalid(format!(
                "{field} must be letters, digits and underscores, not begin with a digit, and may have a schema and a \
                 dot before it"
            ))
        })
    };
    let given = |text: &Option<String>| text.clone().filter(|it| !it.is_empty());
    let prefix = given(&fields.table_prefix).unwrap_or_default();
    let state = match columns.has_prefix {
        true => table("tablePrefix", format!("{prefix}state"))?,
        false => table("tableName", given(&fields.table_name).unwrap_or("state".to_owned()))?,
    };
    let metadata = given(&fields.metadata_table_name).unwrap_or("dapr_metadata".to_owned());
    let metadata = table("metadataTableName", metadata)?;
    Ok(Layout { columns, state, metadata, prefix })
}

/// Source: the names of pgx.
fn owns_session(mode: Option<&str>) -> Result<bool> {
    match mode {
        None | Some("" | "cache_statement") => Ok(true),
        Some("cache_describe" | "describe_exec" | "exec" | "simple_protocol") => Ok(false),
        Some(_) => Err(invalid(
            "queryExecMode must be cache_statement, or, behind a pooler such as PgBouncer, exec; cache_describe, \
             describe_exec and simple_protocol mean exec"
                .to_owned(),
        )),
    }
}

fn reads_from_standby(text: Option<&str>) -> Result<bool> {
    match text {
        None | Some("" | "primary") => Ok(false),
        Some("standby") => Ok(true),
        Some(_) => Err(invalid("readFrom must be primary or standby".to_owned())),
    }
}

fn servers(mut text: ConnectionString, fields: &Fields, timeout: Duration) -> Result<Servers> {
    for (field, name, value) in [
        ("host", "host", &fields.host),
        ("hostaddr", "hostaddr", &fields.hostaddr),
        ("port", "port", &fields.port),
    ] {
        if let Some(value) = value {
            if text.is_url() {
                return Err(invalid(format!(
                    "{field} is in the URL of connectionString already: leave one of them out"
                )));
            }
            text.set(name, value.clone());
        }
    }
    let mode = text.take("sslmode");
    let root = fields.ssl_root_cert.clone().or(text.take("sslrootcert"));
    text.take("sslrootcert");
    let client = (text.take("sslcert"), text.take("sslkey"));
    let mut config = text.into_config().map_err(invalid)?;
    if let Some(it) = &fields.user {
        config.user(it);
    }
    if let Some(it) = &fields.password {
        config.password(it);
    }
    if let Some(it) = &fields.database {
        config.dbname(it);
    }
    if config.get_hosts().is_empty() && config.get_hostaddrs().is_empty() {
        return Err(invalid(
            "no server is named: add the metadata field connectionString, such as \
             postgres://user:password@host:5432/database, or host"
                .to_owned(),
        ));
    }
    let servers = config.get_hosts().len().max(config.get_hostaddrs().len());
    if servers > 1 && config.get_target_session_attrs() == TargetSessionAttrs::Any {
        // Which of several takes writes may change.
        config.target_session_attrs(TargetSessionAttrs::ReadWrite);
    }
    let timeout_of_user = config.get_connect_timeout().copied();
    config.connect_timeout(timeout_of_user.unwrap_or(CONNECT_TIMEOUT).min(timeout));
    if config.get_tcp_user_timeout().is_none() {
        config.tcp_user_timeout(TCP_USER_TIMEOUT);
    }
    if config.get_application_name().is_none() {
        config.application_name("steadfast");
    }
    let label = label(&config);
    Ok(Servers { ways: ways(config, mode.as_deref(), root, client)?, label })
}

/// Source: libpq, `sslmode`.
fn ways(
    config: Config,
    mode: Option<&str>,
    root: Option<String>,
    client: (Option<String>, Option<String>),
) -> Result<Vec<Way>> {
    let read = |field: &str, path: &str| {
        fs::read_to_string(path).map_err(|e| invalid(format!("{field} cannot be read: {e}")))
    };
    // "system" stands for the authorities of this machine.
    let root = root.filter(|it| it != "system").map(|it| read("sslrootcert", &it)).transpose()?;
    let client = match client {
        (None, None) => None,
        (Some(certificate), Some(key)) => {
            Some((read("sslcert", &certificate)?, read("sslkey", &key)?))
        }
        _ => return Err(invalid("sslcert and sslkey need each other".to_owned())),
    };
    let client = client.as_ref().map(|(certificate, key)| (certificate.as_str(), key.as_str()));
    let authorities = root.as_deref();
    let way = |mode: SslMode, trust: Option<Trust<'_>>| -> Result<Way> {
        let mut config = config.clone();
        config.ssl_mode(mode);
        let tls = trust.map(|it| tls::configure(it, client, &TLS_NAMES)).transpose();
        Ok(Way { config, tls: tls.map_err(invalid)?.map(MakeRustlsConnect::new) })
    };
    match mode {
        Some("disable") => Ok(vec![way(SslMode::Disable, None)?]),
        Some("allow") => {
            Ok(vec![way(SslMode::Disable, None)?, way(SslMode::Require, Some(Trust::Anyone))?])
        }
        None | Some("" | "prefer") => Ok(vec![way(SslMode::Prefer, Some(Trust::Anyone))?]),
        Some("require") => {
            // Whoever names authorities wants them to be asked.
            let trust = if root.is_some() { Trust::AnyName(authorities) } else { Trust::Anyone };
            Ok(vec![way(SslMode::Require, Some(trust))?])
        }
        Some("verify-ca") => Ok(vec![way(SslMode::Require, Some(Trust::AnyName(authorities)))?]),
        Some("verify-full") => Ok(vec![way(SslMode::Require, Some(Trust::Named(authorities)))?]),
        Some(_) => Err(invalid(
            "sslmode must be disable, allow, prefer, require, verify-ca or verify-full".to_owned(),
        )),
    }
}

/// The servers and the database, without who logs in.
fn label(config: &Config) -> String {
    let hosts: Vec<String> = match config.get_hosts() {
        [] => config.get_hostaddrs().iter().map(ToString::to_string).collect(),
        hosts => hosts
            .iter()
            .map(|it| match it {
                Host::Tcp(name) => name.clone(),
                Host::Unix(path) => path.display().to_string(),
            })
            .collect(),
    };
    let ports = config.get_ports();
    let port = |i: usize| ports.get(i).or(ports.first()).copied().unwrap_or(5432);
    let servers = hosts.iter().enumerate().map(|(i, host)| format!("{host}:{}", port(i)));
    format!("postgresql at {}", servers.collect::<Vec<_>>().join(", "))
}

impl fmt::Debug for Servers {
    /// Hides who logs in.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.label)
    }
}

#[cfg(test)]
mod tests;
