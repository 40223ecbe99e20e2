//! A component's metadata for etcd, with Dapr's names and defaults.

use std::{fmt, sync::Arc, time::Duration};

use rustls::ClientConfig;
use serde::Deserialize;
use state::{Error, FailureKind, Result};
use state_config::{GoDuration, Properties};
use tracing::warn;

use super::layout::{Layout, Version};
use crate::tls::{self, FieldNames, Trust};

/// As the component file has them.
#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    endpoints: Option<String>,
    #[serde(default, rename = "keyprefixpath")]
    key_prefix_path: String,
    #[serde(default, rename = "tlsenable")]
    tls_enable: bool,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    #[serde(rename = "maxtxnops")]
    operations_max: Option<usize>,
    username: Option<String>,
    password: Option<String>,
    timeout: Option<GoDuration>,
}

/// Checked and ready to connect.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoints: Vec<Endpoint>,
    pub(super) login: Option<Login>,
    pub(super) layout: Layout,
    /// The most operations of one transaction.
    pub(super) operations_max: usize,
    /// How long a request may take before its outcome counts as unknown.
    pub(super) timeout: Duration,
}

/// Where a member takes connections.
#[derive(Clone)]
pub(super) struct Endpoint {
    pub(super) host: String,
    pub(super) port: u16,
    pub(super) tls: Option<Arc<ClientConfig>>,
}

#[derive(Clone)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

/// Dapr's default, which is etcd's.
const OPERATIONS_MAX: usize = 128;

/// Dapr's, for each request.
const TIMEOUT: Duration = Duration::from_secs(5);

/// Where etcd listens unless it is told otherwise.
const PORT: u16 = 2379;

const TLS_NAMES: FieldNames = FieldNames { authorities: "ca", certificate: "cert", key: "key" };

impl Settings {
    /// Checks what a component file says, before anything is connected.
    pub(super) fn parse(properties: &Properties, version: Version) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| invalid(e.to_string()))?;
        for unknown in properties.unknown::<Fields>() {
            warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field");
        }
        let timeout = fields.timeout.map_or(Some(TIMEOUT), GoDuration::to_duration);
        let timeout = timeout.filter(|it| *it >= Duration::from_secs(1));
        let timeout = timeout.ok_or_else(|| invalid("timeout must be at least 1s".to_owned()))?;
        let operations_max = fields.operations_max.unwrap_or(OPERATIONS_MAX);
        if operations_max == 0 {
            return Err(invalid("maxTxnOps must be at least 1".to_owned()));
        }
        Ok(Settings {
            endpoints: endpoints(&fields)?,
            login: login(&fields)?,
            layout: Layout { version, prefix: format!("{}/", fields.key_prefix_path) },
            operations_max,
            timeout,
        })
    }
}

fn invalid(message: String) -> Error {
    Error::new(FailureKind::Invalid, message)
}

fn given(text: &Option<String>) -> Option<&str> {
    text.as_deref().map(str::trim).filter(|it| !it.is_empty())
}

fn login(fields: &Fields) -> Result<Option<Login>> {
    let password = fields.password.clone().filter(|it| !it.is_empty());
    match (given(&fields.username), password) {
        (None, None) => Ok(None),
        (Some(username), Some(password)) => {
            Ok(Some(Login { username: username.to_owned(), password }))
        }
        _ => Err(invalid("username and password need each other".to_owned())),
    }
}

fn endpoints(fields: &Fields) -> Result<Vec<Endpoint>> {
    let list = given(&fields.endpoints).unwrap_or_default().split(',').map(str::trim);
    let list: Vec<&str> = list.filter(|it| !it.is_empty()).collect();
    if list.is_empty() {
        let message =
            "endpoints is missing: give the host:port of each member, with commas between";
        return Err(invalid(message.to_owned()));
    }
    let is_secure = fields.tls_enable || list.iter().any(|it| it.starts_with("https://"));
    let config = match is_secure {
        true => Some(Arc::new(tls(fields)?)),
        false => None,
    };
    list.into_iter()
        .map(|text| {
            let (is_plain, rest) = match text.split_once("://") {
                Some(("http", rest)) => (!fields.tls_enable, rest),
                Some(("https", rest)) => (false, rest),
                Some(_) => return Err(no_endpoint()),
                None => (!fields.tls_enable, text),
            };
            let (host, port) = address(rest.trim_end_matches('/')).ok_or_else(no_endpoint)?;
            let tls = config.clone().filter(|_| !is_plain);
            Ok(Endpoint { host, port, tls })
        })
        .collect()
}

/// Without the text: some people put a password there.
fn no_endpoint() -> Error {
    let message = "endpoints must be host:port, or http://host:port, or https://host:port, with commas between";
    invalid(message.to_owned())
}

fn address(text: &str) -> Option<(String, u16)> {
    if text.contains(['@', '/', '?', ' ']) {
        return None;
    }
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) if !host.contains(':') || host.ends_with(']') => {
            (host, port.parse().ok()?)
        }
        Some(_) => return None,
        None => (text, PORT),
    };
    let host = host.strip_prefix('[').and_then(|it| it.strip_suffix(']')).unwrap_or(host);
    (!host.is_empty()).then(|| (host.to_owned(), port))
}

fn tls(fields: &Fields) -> Result<ClientConfig> {
    let client = match (given(&fields.cert), given(&fields.key)) {
        (Some(certificate), Some(key)) => Some((certificate, key)),
        (None, None) => None,
        _ => return Err(invalid("cert and key need each other".to_owned())),
    };
    // Differs from Dapr: it wants all three.
    let mut config =
        tls::configure(Trust::Named(given(&fields.ca)), client, &TLS_NAMES).map_err(invalid)?;
    config.alpn_protocols = vec![b"h2".to_vec()];
    Ok(config)
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "etcd at [{}]:{}", self.host, self.port),
            false => write!(f, "etcd at {}:{}", self.host, self.port),
        }
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(fields: &[(&str, &str)]) -> Result<Settings> {
        Settings::parse(&fields.iter().copied().collect(), Version::V1)
    }

    #[test]
    fn endpoints_are_given_with_and_without_a_scheme() {
        let settings = parse(&[("endpoints", "a:1, http://b, http://[::1]:3/")]).unwrap();
        let labels: Vec<_> = settings.endpoints.iter().map(ToString::to_string).collect();
        assert_eq!(labels, ["etcd at a:1", "etcd at b:2379", "etcd at [::1]:3"]);
        assert_eq!(settings.layout.prefix, "/");
        assert_eq!((settings.operations_max, settings.timeout), (128, Duration::from_secs(5)));
        let settings = parse(&[("endpoints", "a"), ("keyPrefixPath", "dapr")]).unwrap();
        assert_eq!(settings.layout.prefix, "dapr/");
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
        for (fields, word) in [
            (vec![], "endpoints is missing"),
            (vec![("endpoints", "http://me:hunter2@host")], "host:port"),
            (vec![("endpoints", "ftp://host")], "host:port"),
            (vec![("endpoints", "a"), ("password", "hunter2")], "username and password"),
            (vec![("endpoints", "a"), ("maxTxnOps", "0")], "maxTxnOps"),
            (vec![("endpoints", "a"), ("timeout", "10ms")], "timeout"),
            (vec![("endpoints", "a"), ("tlsEnable", "true"), ("ca", "hunter2")], "ca is not"),
            (vec![("endpoints", "https://a"), ("cert", "hunter2")], "cert and key"),
        ] {
            let error = parse(&fields).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("hunter2"), "{error}");
        }
        let fields = [("endpoints", "a"), ("username", "me"), ("password", "hunter2")];
        assert!(!format!("{:?}", parse(&fields).unwrap()).contains("hunter2"));
    }
}
