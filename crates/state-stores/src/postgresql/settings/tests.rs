use real_servers::Certificates;
use tempfile::TempDir;
use tokio_postgres::config::SslMode;

use super::*;
use crate::postgresql::layout::{V1, V2};

fn parse(fields: &[(&str, &str)]) -> Result<Settings> {
    Settings::parse(&fields.iter().copied().collect(), &V2)
}

fn refused(fields: &[(&str, &str)]) -> String {
    parse(fields).unwrap_err().to_string()
}

const SERVER: (&str, &str) = ("connectionString", "host=one user=me password=hunter2 dbname=shop");

#[test]
fn defaults_are_those_of_dapr() {
    let it = parse(&[SERVER]).unwrap();
    assert_eq!(it.timeout, Duration::from_secs(20));
    assert_eq!(it.cleanup_interval, Some(Duration::from_secs(3600)));
    assert_eq!((it.connections_max, it.owns_session), (8, true));
    assert_eq!(it.layout.state.to_string(), "state");
    assert_eq!(it.layout.metadata.to_string(), "dapr_metadata");
    assert_eq!(it.servers.label, "postgresql at one:5432");
    assert!(!format!("{it:?}").contains("hunter2"));
}

#[test]
fn aliases_and_fields_replace_what_the_connection_string_says() {
    let it = parse(&[
        ("url", "postgres://me:old@one/shop"),
        ("password", "new"),
        ("user", "other"),
        ("database", "store"),
        ("timeoutInSeconds", "5"),
        ("cleanupIntervalInSeconds", "0"),
    ])
    .unwrap();
    let config = &it.servers.ways[0].config;
    assert_eq!(config.get_password(), Some(&b"new"[..]));
    assert_eq!((config.get_user(), config.get_dbname()), (Some("other"), Some("store")));
    assert_eq!((it.timeout, it.cleanup_interval), (Duration::from_secs(5), None));
    let it = parse(&[SERVER, ("host", "two"), ("port", "5433")]).unwrap();
    assert_eq!(it.servers.label, "postgresql at two:5433");
    assert!(refused(&[("url", "postgres://one/shop"), ("host", "two")]).contains("leave one"));
}

#[test]
fn settings_of_dapr_s_pool_are_understood() {
    let text = "host=h pool_max_conns=20 pool_max_conn_idle_time=1m default_query_exec_mode=exec";
    let it = parse(&[("connectionString", text)]).unwrap();
    assert_eq!((it.connections_max, it.idle_max), (20, Duration::from_secs(60)));
    assert!(!it.owns_session);
    let it = parse(&[
        ("connectionString", text),
        ("maxConns", "1"),
        ("queryExecMode", "cache_statement"),
    ]);
    let it = it.unwrap();
    assert_eq!((it.connections_max, it.owns_session), (CONNECTIONS_MAX, true));
}

#[test]
fn tables_may_have_a_schema_and_nothing_that_is_no_name() {
    let it =
        parse(&[SERVER, ("tablePrefix", "shop.my_"), ("metadataTableName", "shop.meta")]).unwrap();
    assert_eq!(it.layout.state.to_string(), "shop.my_state");
    assert_eq!(it.layout.metadata.to_string(), "shop.meta");
    for (field, wrong) in [
        ("tablePrefix", "a b"),
        ("tablePrefix", "a.b.c"),
        ("tablePrefix", "\"x\""),
        ("metadataTableName", "m; DROP TABLE m"),
    ] {
        assert!(refused(&[SERVER, (field, wrong)]).contains(field), "{field}: {wrong}");
    }
    let v1 = [SERVER, ("tableName", "items"), ("tablePrefix", "unused_")].into_iter().collect();
    let v1 = Settings::parse(&v1, &V1).unwrap();
    assert_eq!(v1.layout.state.to_string(), "items");
}

#[test]
fn nonsense_is_refused_without_showing_it() {
    for (field, wrong) in [
        ("timeout", "0.5s"),
        ("timeout", "soon"),
        ("queryExecMode", "quick"),
        ("readFrom", "anywhere"),
        ("useAzureAD", "true"),
        ("useAWSIAM", "on"),
    ] {
        let message = refused(&[SERVER, (field, wrong)]);
        assert!(message.to_lowercase().contains(&field.to_lowercase()), "{message}");
        assert!(!message.contains("hunter2"), "{message}");
    }
    assert!(refused(&[]).contains("connectionString"));
    assert!(refused(&[("connectionString", "host=h sslmode=maybe")]).contains("sslmode"));
}

#[test]
fn of_several_servers_the_one_that_takes_writes_is_looked_for() {
    let it = parse(&[("connectionString", "postgres://me@one:1,two:2/shop")]).unwrap();
    assert_eq!(it.servers.label, "postgresql at one:1, two:2");
    let wanted = it.servers.ways[0].config.get_target_session_attrs();
    assert_eq!(wanted, TargetSessionAttrs::ReadWrite);
}

#[test]
fn sslmode_means_what_libpq_says() {
    let modes = |text: &str| {
        let it = parse(&[("connectionString", text)]).unwrap();
        let way = |it: &Way| (it.config.get_ssl_mode(), it.tls.is_some());
        it.servers.ways.iter().map(way).collect::<Vec<_>>()
    };
    assert_eq!(modes("host=h sslmode=disable"), [(SslMode::Disable, false)]);
    assert_eq!(modes("host=h"), [(SslMode::Prefer, true)]);
    let allow = [(SslMode::Disable, false), (SslMode::Require, true)];
    assert_eq!(modes("host=h sslmode=allow"), allow);
    let folder = TempDir::new().unwrap();
    let root = folder.path().join("root.pem");
    fs::write(&root, Certificates::generate().unwrap().authority).unwrap();
    for mode in ["require", "verify-ca", "verify-full"] {
        let text = format!("host=h sslmode={mode} sslrootcert={}", root.display());
        assert_eq!(modes(&text), [(SslMode::Require, true)], "{mode}");
    }
    let missing =
        refused(&[("connectionString", "host=h sslmode=verify-full sslrootcert=/nowhere")]);
    assert!(missing.contains("sslrootcert cannot be read"), "{missing}");
}
