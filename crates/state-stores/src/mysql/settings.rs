//! A component's metadata for `state.mysql`, with Dapr's names and defaults.

use std::{fs, time::Duration};

use mysql_async::SslOpts;
use serde::Deserialize;
use state::Result;
use state_config::{GoDuration, Properties};
use tracing::warn;

use super::dsn::{Address, Dsn, TlsMode};
use crate::sql::{Identifier, identifier, interval, invalid};

/// As the component file has them.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "lowercase")]
struct Fields {
    #[serde(rename = "connectionstring", alias = "url")]
    connection_string: Option<String>,
    #[serde(rename = "schemaname")]
    schema_name: Option<String>,
    #[serde(rename = "tablename")]
    table_name: Option<String>,
    #[serde(rename = "metadatatablename")]
    metadata_table_name: Option<String>,
    #[serde(rename = "timeoutinseconds", alias = "timeout")]
    timeout: Option<GoDuration>,
    #[serde(rename = "cleanupinterval", alias = "cleanupintervalinseconds")]
    cleanup_interval: Option<GoDuration>,
    #[serde(rename = "pempath")]
    pem_path: Option<String>,
    #[serde(rename = "pemcontents")]
    pem_contents: Option<String>,
    #[serde(rename = "maxconns")]
    connections_max: Option<u32>,
}

/// Checked and ready to connect.
#[derive(Debug)]
pub(super) struct Settings {
    pub(super) dsn: Dsn,
    pub(super) tls: Option<SslOpts>,
    pub(super) names: Names,
    /// How long an operation may take before its outcome counts as unknown.
    pub(super) timeout: Duration,
    /// How long of that a connection may take to be made.
    pub(super) connect_timeout: Duration,
    /// How often expired rows are removed; `None` for never.
    pub(super) cleanup_interval: Option<Duration>,
    /// How many connections there may be.
    pub(super) connections_max: usize,
}

/// What the tables are called.
#[derive(Clone, Debug)]
pub(super) struct Names {
    pub(super) schema: Identifier,
    pub(super) state_table: Identifier,
    pub(super) metadata_table: Identifier,
}

/// 20 s and an hour are Dapr's defaults.
const TIMEOUT: Duration = Duration::from_secs(20);
const CLEANUP_INTERVAL: Duration = Duration::from_secs(3600);

/// Differs from Dapr: its driver waits for as long as the system does, which can be minutes.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Differs from Dapr: its driver opens as many as there are requests. A server allows 151 for everybody by default, and a
/// statement takes a millisecond, most of it for the flush that those of several connections share.
const CONNECTIONS_MAX: u32 = 10;

impl Settings {
    /// Checks what a component file says, before anything is connected.
    pub(super) fn parse(properties: &Properties) -> Result<Settings> {
        let fields: Fields = properties.parse().map_err(|e| {
            let place = e.line().map_or_else(String::new, |it| format!(" (line {it})"));
            invalid(format!("{e}{place}"))
        })?;
        for unknown in properties.unknown::<Fields>() {
            warn!(field = unknown.name, meant = unknown.meant, "unknown metadata field");
        }
        let text = fields
            .connection_string
            .as_deref()
            .map(str::trim)
            .filter(|it| !it.is_empty())
            .ok_or_else(|| {
            invalid(
                "missing connection string: add the metadata field connectionString with \
                     user:password@tcp(host:3306)/"
                    .to_owned(),
            )
        })?;
        let dsn = Dsn::parse(text).map_err(invalid)?;
        let authorities = authorities(&fields)?;
        let names = Names {
            schema: identifier("schemaName", fields.schema_name, "dapr_state_store")?,
            state_table: identifier("tableName", fields.table_name, "state")?,
            metadata_table: identifier(
                "metadataTableName",
                fields.metadata_table_name,
                "dapr_metadata",
            )?,
        };
        let connections_max = fields.connections_max.unwrap_or(CONNECTIONS_MAX);
        if connections_max == 0 {
            return Err(invalid("maxConns must be at least 1".to_owned()));
        }
        let timeout = timeout(fields.timeout, &dsn)?;
        Ok(Settings {
            tls: tls(&dsn, authorities)?,
            names,
            timeout,
            connect_timeout: dsn.connect_timeout.unwrap_or(CONNECT_TIMEOUT).min(timeout),
            cleanup_interval: interval(fields.cleanup_interval, CLEANUP_INTERVAL),
            connections_max: usize::try_from(connections_max).unwrap_or(usize::MAX),
            dsn,
        })
    }
}

fn timeout(field: Option<GoDuration>, dsn: &Dsn) -> Result<Duration> {
    // Zero and less mean the default, as in Dapr.
    let given = field.and_then(GoDuration::to_duration).filter(|it| !it.is_zero());
    let timeout = given.unwrap_or(TIMEOUT);
    let timeout = dsn.read_timeout.map_or(timeout, |it| it.min(timeout));
    if timeout < Duration::from_secs(1) {
        return Err(invalid("timeoutInSeconds and readTimeout must be at least 1s".to_owned()));
    }
    Ok(timeout)
}

fn authorities(fields: &Fields) -> Result<Option<Vec<u8>>> {
    match (&fields.pem_path, &fields.pem_contents) {
        (Some(_), Some(_)) => Err(invalid("pemPath and pemContents exclude each other".to_owned())),
        (Some(path), None) => fs::read(path)
            .map(Some)
            .map_err(|e| invalid("the file of pemPath cannot be read".to_owned()).with_source(e)),
        (None, Some(text)) => Ok(Some(text.clone().into_bytes())),
        (None, None) => Ok(None),
    }
}

fn tls(dsn: &Dsn, authorities: Option<Vec<u8>>) -> Result<Option<SslOpts>> {
    if authorities.is_some() && dsn.tls != TlsMode::Custom {
        return Err(invalid(
            "pemPath and pemContents need tls=custom in connectionString: user:password@tcp(host:3306)/?tls=custom"
                .to_owned(),
        ));
    }
    if matches!(dsn.address, Address::Unix(_)) {
        return Ok(None);
    }
    let of = |pems: Vec<Vec<u8>>| {
        let pems = pems.into_iter().map(Into::into).collect();
        SslOpts::default().with_root_certs(pems).with_disable_built_in_roots(true)
    };
    match dsn.tls {
        TlsMode::Off => Ok(None),
        TlsMode::Custom => {
            let pem = authorities.ok_or_else(|| {
                invalid(
                    "tls=custom needs pemPath or pemContents, the certificate of the authority"
                        .to_owned(),
                )
            })?;
            if !is_certificate(&pem) {
                return Err(invalid(
                    "pemPath or pemContents is not a certificate in PEM".to_owned(),
                ));
            }
            Ok(Some(of(vec![pem])))
        }
        TlsMode::Verified => {
            let found = rustls_native_certs::load_native_certs().certs;
            if found.is_empty() {
                return Err(invalid(
                    "this machine has no certificate authorities: install the package ca-certificates, or set \
                     tls=custom and pemPath"
                        .to_owned(),
                ));
            }
            Ok(Some(of(found.iter().map(|it| it.to_vec()).collect())))
        }
        TlsMode::Unverified | TlsMode::Preferred => {
            warn!(
                "tls={}: whoever is between here and MySQL can read and change everything",
                if dsn.tls == TlsMode::Preferred { "preferred" } else { "skip-verify" }
            );
            Ok(Some(SslOpts::default().with_danger_accept_invalid_certs(true)))
        }
    }
}

fn is_certificate(pem: &[u8]) -> bool {
    use rustls::pki_types::{CertificateDer, pem::PemObject};
    let certificates: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem).collect();
    certificates.is_ok_and(|it| !it.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(more: &[(&str, &str)]) -> Result<Settings> {
        let properties = [&[("connectionString", "root:secret@tcp(db)/")], more].concat();
        Settings::parse(&properties.into_iter().collect())
    }

    #[test]
    fn the_defaults_are_those_of_dapr() {
        let settings = parse(&[]).unwrap();
        assert_eq!(settings.names.schema.to_string(), "dapr_state_store");
        assert_eq!(settings.names.state_table.to_string(), "state");
        assert_eq!(settings.names.metadata_table.to_string(), "dapr_metadata");
        assert_eq!(settings.timeout, Duration::from_secs(20));
        assert_eq!(settings.cleanup_interval, Some(Duration::from_secs(3600)));
        assert!(!format!("{settings:?}").contains("secret"));
    }

    #[test]
    fn names_that_the_documents_have_and_dapr_does_not_read_are_read() {
        let settings = parse(&[("cleanupIntervalInSeconds", "60"), ("timeout", "3s")]).unwrap();
        assert_eq!(settings.cleanup_interval, Some(Duration::from_secs(60)));
        assert_eq!(settings.timeout, Duration::from_secs(3));
        assert_eq!(parse(&[("cleanupInterval", "-1")]).unwrap().cleanup_interval, None);
        assert_eq!(parse(&[("timeoutInSeconds", "0")]).unwrap().timeout, TIMEOUT);
    }

    #[test]
    fn mistakes_are_named() {
        for (field, value, word) in [
            ("schemaName", "a b", "schemaName"),
            ("tableName", "state;--", "tableName"),
            ("metadataTableName", "1", "metadataTableName"),
            ("timeoutInSeconds", "10ms", "at least 1s"),
            ("maxConns", "0", "maxConns"),
            ("pemContents", "secret", "tls=custom"),
            ("pemPath", "/nowhere", "pemPath"),
        ] {
            let error = parse(&[(field, value)]).unwrap_err().to_string();
            assert!(error.contains(word) && !error.contains("secret"), "{field}: {error}");
        }
        let custom = [("connectionString", "root@tcp(db)/?tls=custom"), ("pemContents", "secret")];
        let error = Settings::parse(&custom.into_iter().collect()).unwrap_err().to_string();
        assert_eq!(error, "pemPath or pemContents is not a certificate in PEM");
    }
}
