//! Ways to a server: passwords, TLS, other databases.

use std::fs;

use real_servers::{
    Certificates,
    postgres::{Options, Postgres},
};
use tempfile::TempDir;

use crate::support::{open, put, try_open, value};

#[tokio::test]
async fn passwords_are_given_in_every_form() {
    let password = "p@s s'w:or/d\\";
    let server = Postgres::start(&Options::default().password(password)).await.unwrap();
    let address = server.address();
    let keywords = format!(
        r"host={} port={} user=postgres password='p@s s\'w:or/d\\' dbname=postgres",
        address.ip(),
        address.port()
    );
    let url = format!("postgres://postgres:p%40s%20s%27w%3Aor%2Fd%5C@{address}/postgres");
    let bare = format!("postgres://postgres@{address}/postgres");
    for (text, more) in [(&keywords, &[][..]), (&url, &[]), (&bare, &[("password", password)])] {
        let store = open(text, "v2", more).await;
        store.write(&put("k", "1")).await.unwrap();
        assert_eq!(value(&store, "k").await, "1");
    }
}

#[tokio::test]
async fn tls_is_as_strict_as_it_was_asked_for() {
    let certificates = Certificates::generate().unwrap();
    let folder = TempDir::new().unwrap();
    let file = |name: &str, text: &str| {
        let path = folder.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let authority = file("authority.pem", &certificates.authority);
    let other = file("other.pem", &Certificates::generate().unwrap().authority);
    let (client, key) =
        (file("client.pem", &certificates.client), file("key.pem", &certificates.client_key));
    let server = Postgres::start(&Options::default().tls(certificates)).await.unwrap();
    let port = server.address().port();
    let at = |host: &str, rest: &str| format!("postgres://postgres@{host}:{port}/postgres?{rest}");
    let works = async |text: String| {
        let properties = [("connectionString", text.as_str())];
        try_open("v2", &properties).await.map(drop).map_err(|e| e.to_string())
    };
    // The name of the certificate is that of this machine, and 127.0.0.2 is not in it.
    for (mode, authorities, host, is_good) in [
        ("prefer", "", "127.0.0.1", true),
        ("allow", "", "127.0.0.1", true),
        ("require", "", "127.0.0.1", true),
        ("require", &*authority, "127.0.0.1", true),
        ("require", &*other, "127.0.0.1", false),
        ("verify-ca", &*authority, "127.0.0.1", true),
        ("verify-ca", &*other, "127.0.0.1", false),
        ("verify-full", &*authority, "127.0.0.1", true),
        ("verify-full", &*authority, "localhost", true),
        ("verify-full", &*other, "127.0.0.1", false),
        ("disable", "", "127.0.0.1", false),
    ] {
        let root = if authorities.is_empty() {
            String::new()
        } else {
            format!("&sslrootcert={authorities}")
        };
        let answer = works(at(host, &format!("sslmode={mode}{root}"))).await;
        assert_eq!(answer.is_ok(), is_good, "{mode} {authorities} {host}: {answer:?}");
    }
    let store = open(
        &at(
            "127.0.0.1",
            &format!("sslmode=verify-full&sslrootcert={authority}&sslcert={client}&sslkey={key}"),
        ),
        "v2",
        &[],
    )
    .await;
    store.write(&put("k", "1")).await.unwrap();
    let seen = "SELECT client_dn FROM pg_stat_ssl WHERE client_dn IS NOT NULL";
    let rows = server_rows(&at("127.0.0.1", "sslmode=require"), seen).await;
    assert!(rows > 0, "the server has seen no certificate of a client");
    let half =
        works(at("127.0.0.1", &format!("sslmode=require&sslcert={client}"))).await.unwrap_err();
    assert!(half.contains("need each other"), "{half}");
}

/// How many rows a statement returns, asked with TLS.
async fn server_rows(url: &str, statement: &str) -> usize {
    let text = url.replace("postgres://", "postgresql://");
    let program = "psql";
    let output = std::process::Command::new(program)
        .args([text.as_str(), "-At", "-c", statement])
        .output()
        .unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).unwrap().lines().count()
}
