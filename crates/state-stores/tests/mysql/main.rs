//! What the conformance suite cannot ask of MySQL and MariaDB: Dapr's layout, locks, statements and TLS.
//! `cargo test -p state-stores --test mysql`
//!
//! The tests start their servers themselves, from the package `mariadb-server`, and fail without it.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../injection.rs"]
mod injection;
#[path = "../words.rs"]
mod words;

use std::{net::SocketAddr, sync::Arc, time::Duration};

use futures::future::join_all;
use real_servers::{
    Certificates,
    mysql::{Mysql, Options, PASSWORD, USER},
};
use state::{Change, Format, Key, Outcome, Read, Result, Store, Ttl, Write};

async fn try_open(address: SocketAddr, more: &[(&str, &str)]) -> Result<Arc<dyn Store>> {
    let dsn = format!("{USER}:{PASSWORD}@tcp({address})/");
    let properties = [&[("connectionString", dsn.as_str())], more].concat();
    (state_stores::driver("state.mysql").unwrap().open)(properties.into_iter().collect()).await
}

fn put(name: &str, value: &str) -> Write {
    let value = value.to_owned().into();
    let change = Change::Put { value, format: Format::Json, ttl: Ttl::Unsaid };
    Write::new(Key::stored(name), change)
}

async fn value(store: &Arc<dyn Store>, name: &str) -> Option<String> {
    let item = store.get(&Read::new(Key::stored(name))).await.unwrap()?;
    Some(String::from_utf8(item.value.to_vec()).unwrap())
}

#[tokio::test]
async fn a_table_that_folds_keys_is_refused_until_it_is_mended() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    server.query("CREATE DATABASE dapr_state_store").await.unwrap();
    // As Dapr made it before it knew lifetimes.
    let table = "CREATE TABLE dapr_state_store.state (id varchar(255) CHARACTER SET utf8mb4 NOT NULL PRIMARY KEY, \
                 value json NOT NULL, isbinary boolean NOT NULL, insertDate timestamp NOT NULL DEFAULT \
                 CURRENT_TIMESTAMP, updateDate timestamp NOT NULL DEFAULT CURRENT_TIMESTAMP ON UPDATE \
                 CURRENT_TIMESTAMP, eTag varchar(36) NOT NULL)";
    server.query(table).await.unwrap();
    let row = "INSERT INTO dapr_state_store.state (id, value, isbinary, eTag) VALUES ('a', '\"AAE=\"', 1, 'e')";
    server.query(row).await.unwrap();
    let error = try_open(server.address(), &[]).await.unwrap_err().to_string();
    let (_, remedy) = error.split_once("run: ").unwrap();
    server.query(remedy).await.unwrap();
    let (one, other) =
        tokio::join!(try_open(server.address(), &[]), try_open(server.address(), &[]));
    let (one, other) = (one.unwrap(), other.unwrap());
    let item = one.get(&Read::new(Key::stored("a"))).await.unwrap().unwrap();
    assert_eq!((&item.value[..], item.etag.unwrap().as_str()), (&[0u8, 1][..], "e"));
    other.write(&put("A ", "{\"b\": 1}")).await.unwrap();
    let stored = "SELECT value FROM dapr_state_store.state WHERE id = 'A ' AND isbinary = 0";
    assert_eq!(server.value(stored).await.unwrap(), "{\"b\": 1}");
}

#[tokio::test]
async fn a_server_that_takes_no_writes_says_so() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let store = try_open(server.address(), &[]).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    server.query("SET GLOBAL read_only = ON").await.unwrap();
    for error in [
        store.write(&put("k", "2")).await.unwrap_err(),
        store.transact(&[put("k", "2"), put("l", "2")]).await.unwrap_err(),
    ] {
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("replica"), "{error}");
    }
    server.query("SET GLOBAL read_only = OFF").await.unwrap();
    store.write(&put("k", "3")).await.unwrap();
}

#[tokio::test]
async fn a_lock_of_somebody_else_is_waited_for_and_then_not_applied() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let store = try_open(server.address(), &[("timeoutInSeconds", "4")]).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    let mut other = server.client().await.unwrap();
    other.query("BEGIN").await.unwrap();
    other.query("SELECT id FROM dapr_state_store.state FOR UPDATE").await.unwrap();
    let error = store.write(&put("k", "2")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("1205"), "{error}");
    other.query("COMMIT").await.unwrap();
    tokio::time::timeout(Duration::from_secs(5), store.write(&put("k", "3")))
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_wrong_password_is_refused_and_never_shown() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let dsn = format!("{USER}:hunter2@tcp({})/", server.address());
    let properties = [("connectionString", dsn.as_str())].into_iter().collect();
    let open = state_stores::driver("state.mysql").unwrap().open;
    let error = open(properties).await.unwrap_err();
    assert!(error.to_string().contains("connectionString"), "{error}");
    let store = try_open(server.address(), &[]).await.unwrap();
    let text = format!("{error:?} {store:?}");
    assert!(!text.contains("hunter2") && !text.contains(PASSWORD), "{text}");
}

#[tokio::test]
async fn nothing_that_callers_write_becomes_a_part_of_a_statement() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    injection::is_data(&try_open(server.address(), &[]).await.unwrap()).await;
}

#[tokio::test]
async fn tls_is_as_strict_as_it_was_asked_for() {
    let certificates = Certificates::generate().unwrap();
    let (right, wrong) =
        (certificates.authority.clone(), Certificates::generate().unwrap().authority);
    let server = Mysql::start(&Options::default().tls(certificates)).await.unwrap();
    let address = server.address();
    for (mode, authority, is_good) in [
        ("custom", Some(&right), true),
        ("custom", Some(&wrong), false),
        // The system does not know the authority.
        ("true", None, false),
        ("skip-verify", None, true),
        ("preferred", None, true),
        ("false", None, true),
    ] {
        let source = format!("{USER}:{PASSWORD}@tcp({address})/?tls={mode}");
        let mut properties = vec![("connectionString", source.as_str())];
        properties.extend(authority.map(|it| ("pemContents", it.as_str())));
        let driver = state_stores::driver("state.mysql").unwrap();
        let opened = (driver.open)(properties.into_iter().collect()).await;
        assert_eq!(opened.is_ok(), is_good, "{mode}: {opened:?}");
        if let Ok(store) = opened {
            store.write(&put("k", "1")).await.unwrap();
            assert_eq!(value(&store, "k").await.as_deref(), Some("1"));
        }
    }
}

#[tokio::test]
async fn several_may_come_first() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let stores = join_all((0..6).map(|_| try_open(server.address(), &[]))).await;
    for store in stores {
        store.unwrap().write(&put("k", "1")).await.unwrap();
    }
}

#[tokio::test]
async fn transactions_that_delete_keys_which_are_absent_do_not_mix_with_others() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let store = try_open(server.address(), &[]).await.unwrap();
    let work = |n: usize| {
        let store = store.clone();
        tokio::spawn(async move {
            for i in 0..100 {
                let text = format!("1{n}{i}");
                let first = match n % 2 {
                    0 => Write::delete(Key::stored("a")),
                    _ => put("a", &text),
                };
                store.transact(&[first, put("b", &text)]).await.unwrap();
            }
        })
    };
    let done = std::sync::atomic::AtomicBool::new(false);
    let working = async {
        join_all((0..8).map(work)).await.into_iter().for_each(|it| it.unwrap());
        done.store(true, std::sync::atomic::Ordering::Relaxed);
    };
    let watching = async {
        // Both keys at one instant: one is absent, or they are equal.
        let query =
            "SELECT COUNT(DISTINCT value) FROM dapr_state_store.state WHERE id IN ('a', 'b')";
        while !done.load(std::sync::atomic::Ordering::Relaxed) {
            let values: u32 = server.value(query).await.unwrap().parse().unwrap();
            assert!(values <= 1, "{values} values");
        }
    };
    tokio::join!(working, watching);
}

#[tokio::test]
async fn bulk_requests_are_a_few_statements() {
    let server = Mysql::start(&Options::default()).await.unwrap();
    let store = try_open(server.address(), &[]).await.unwrap();
    let names: Vec<String> = (0..500).map(|n| format!("key-{n}")).collect();
    let puts: Vec<_> = names.iter().map(|it| put(it, "1")).collect();
    let deletes: Vec<_> = names.iter().map(|it| Write::delete(Key::stored(it))).collect();
    let count = async |name: &str| {
        let query = format!(
            "SELECT variable_value FROM information_schema.global_status WHERE variable_name = '{name}'"
        );
        server.value(&query).await.unwrap().parse::<u64>().unwrap()
    };
    let (inserts, removals) = (count("Com_insert").await, count("Com_delete").await);
    for answer in store.write_many(&puts).await {
        assert!(answer.unwrap().etag.is_some());
    }
    assert_eq!(server.value("SELECT COUNT(*) FROM dapr_state_store.state").await.unwrap(), "500");
    assert!(count("Com_insert").await - inserts <= 16);
    for answer in store.write_many(&deletes).await {
        answer.unwrap();
    }
    assert!(count("Com_delete").await - removals <= 16);
    assert_eq!(server.value("SELECT COUNT(*) FROM dapr_state_store.state").await.unwrap(), "0");
}
