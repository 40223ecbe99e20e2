//! A component's metadata for `state.etcd`, with Dapr's names and defaults.

use std::{fmt, time::Duration};

use serde::Deserialize;
use state::{Error, FailureKind, Result};
use state_config::{GoDuration, Properties};
use tonic::transport::{Certificate, ClientTlsConfig, Endpoint, Identity};
use tracing::warn;

use crate::tls::{self, FieldNames, Trust};

/// As the component file has them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    endpoints: Option<String>,
    #[serde(rename = "keyprefixpath", default)]
    key_prefix_path: String,
    #[serde(rename = "tlsenable", default)]
    tls_enable: bool,
    ca: Option<String>,
    cert: Option<String>,
    key: Option<String>,
    #[serde(rename = "maxtxnops")]
    max_txn_ops: Option<usize>,
    username: Option<String>,
    password: Option<String>,
    timeout: Option<GoDuration>,
}

/// Checked and ready to connect.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) endpoints: Vec<Endpoint>,
    /// What stands before every key, with the `/` that ends it.
    pub(super) prefix: String,
    pub(super) transaction_len_max: usize,
    pub(super) login: Option<Login>,
    /// For an operation, all its tries included.
    pub(super) timeout: Duration,
}

/// Who one is to etcd.
#[derive(Clone)]
pub(super) struct Login {
    pub(super) username: String,
    pub(super) password: String,
}

/// Source: Dapr, and etcd's own `--max-txn-ops`.
const TRANSACTION_LEN_MAX: usize = 128;

/// Source: Dapr, where it is fixed.
const TIMEOUT: Duration = Duration::from_secs(5);

/// For a connection to one endpoint, after which another is tried.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);

const TLS_NAMES: FieldNames = FieldNames { authorities: "ca", certificate: "cert", key: "key" };

impl Settings {
    pub(super) fn parse(properties: &Properties) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| invalid(e.to_string()))?;
        for unknown in properties.unknown::<Fields>() {
            warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field");
        }
        let login = match (&fields.username, &fields.password) {
            (Some(username), Some(password)) => {
                Some(Login { username: username.clone(), password: password.clone() })
            }
            (None, None) => None,
            _ => return Err(invalid("username and password need each other")),
        };
        let transaction_len_max = fields.max_txn_ops.unwrap_or(TRANSACTION_LEN_MAX);
        if transaction_len_max == 0 {
            return Err(invalid("maxTxnOps must be at least 1"));
        }
        let timeout = match fields.timeout {
            None => TIMEOUT,
            Some(it) => positive(it)?,
        };
        Ok(Settings {
            endpoints: endpoints(&fields)?,
            prefix: format!("{}/", fields.key_prefix_path),
            transaction_len_max,
            login,
            timeout,
        })
    }
}

fn positive(it: GoDuration) -> Result<Duration> {
    it.to_duration()
        .filter(|it| !it.is_zero())
        .ok_or_else(|| invalid("timeout must be a positive duration, such as 5s"))
}

fn endpoints(fields: &Fields) -> Result<Vec<Endpoint>> {
    let tls = tls(fields)?;
    let scheme = if tls.is_some() { "https" } else { "http" };
    let named = fields.endpoints.as_deref().unwrap_or_default().split(',').map(str::trim);
    let endpoint = |text: &str| {
        let host = match text.split_once("://") {
            None => text,
            Some(("http" | "https", host)) => host,
            Some(_) => return Err(invalid(NO_ENDPOINT)),
        };
        if host.contains('@') {
            return Err(invalid(NO_ENDPOINT));
        }
        let endpoint = Endpoint::from_shared(format!("{scheme}://{host}"))
            .map_err(|_| invalid(NO_ENDPOINT))?
            .connect_timeout(CONNECT_TIMEOUT)
            .tcp_nodelay(true);
        match &tls {
            None => Ok(endpoint),
            Some(tls) => endpoint
                .tls_config(tls.clone())
                .map_err(|e| invalid("TLS cannot be used").with_source(e)),
        }
    };
    let endpoints: Vec<Endpoint> =
        named.filter(|it| !it.is_empty()).map(endpoint).collect::<Result<_>>()?;
    if endpoints.is_empty() {
        return Err(invalid(
            "missing endpoints: add the metadata field endpoints with host:port, several separated by commas",
        ));
    }
    Ok(endpoints)
}

/// Without what was written there, which may hold a password.
const NO_ENDPOINT: &str = "endpoints must be host:port, with http:// or https:// before it or not, separated by commas: \
                           user and password have fields of their own, username and password";

fn tls(fields: &Fields) -> Result<Option<ClientTlsConfig>> {
    if !fields.tls_enable {
        return Ok(None);
    }
    let (Some(ca), Some(cert), Some(key)) = (&fields.ca, &fields.cert, &fields.key) else {
        return Err(invalid("tlsEnable needs ca, cert and key, each a text in PEM"));
    };
    // Only here do errors name the field; the connection is made with the same texts.
    tls::configure(Trust::Named(Some(ca)), Some((cert, key)), &TLS_NAMES).map_err(invalid)?;
    let identity = Identity::from_pem(cert, key);
    Ok(Some(ClientTlsConfig::new().ca_certificate(Certificate::from_pem(ca)).identity(identity)))
}

fn invalid(message: impl Into<String>) -> Error {
    Error::new(FailureKind::Invalid, message.into())
}

impl fmt::Debug for Login {
    /// Hides the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Login").field("username", &self.username).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(properties: &[(&str, &str)]) -> String {
        let properties = properties.iter().copied().collect();
        Settings::parse(&properties).unwrap_err().to_string()
    }

    #[test]
    fn endpoints_are_needed_and_must_be_addresses() {
        assert!(refusal(&[]).starts_with("missing endpoints"));
        let with_password = refusal(&[("endpoints", "http://u:secret@h:1")]);
        assert!(!with_password.contains("secret"), "{with_password}");
    }

    #[test]
    fn schemes_are_taken_or_left() {
        let properties = [("endpoints", "a:1, http://b:2,https://c:3")].into_iter().collect();
        assert_eq!(Settings::parse(&properties).unwrap().endpoints.len(), 3);
    }

    #[test]
    fn fields_that_need_each_other_say_so() {
        let a = ("endpoints", "a:1");
        assert!(refusal(&[a, ("tlsEnable", "true")]).contains("ca, cert and key"));
        assert!(refusal(&[a, ("username", "u")]).contains("need each other"));
        assert!(refusal(&[a, ("maxTxnOps", "0")]).contains("maxTxnOps"));
    }

    #[test]
    fn passwords_are_not_shown() {
        let properties = [("endpoints", "a:1"), ("username", "u"), ("password", "secret")];
        let settings = Settings::parse(&properties.into_iter().collect()).unwrap();
        assert!(!format!("{settings:?}").contains("secret"));
    }
}
