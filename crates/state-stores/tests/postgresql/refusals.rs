//! What a server refuses was not applied, and is told apart from what may have been.

use std::{sync::Arc, time::Duration};

use real_servers::postgres::{Options, Postgres};
use state::{FailureKind, Outcome, Store};

use crate::support::{
    configure, delete, get, kind, open, outcome, put, serves_again, try_open, value,
};

/// Tries every kind of write, of which none is applied.
async fn refuses(store: &Arc<dyn Store>, word: &str) {
    for write in [put("a", "2"), put("new", "2"), delete("b")] {
        let error = store.write(&write).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let error = store.transact(&[put("a", "2"), delete("b"), put("new", "2")]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    for answer in store.write_many(&[put("a", "2"), put("new", "2")]).await {
        assert_eq!(outcome(answer), Outcome::NotApplied);
    }
    assert_eq!(value(store, "a").await, "1");
    assert_eq!(value(store, "b").await, "1");
    assert_eq!(get(store, "new").await, None);
}

async fn with_values(options: &Options) -> (Postgres, Arc<dyn Store>) {
    let server = Postgres::start(options).await.unwrap();
    let store = open(&server.url(), "v2", &[("timeout", "2s")]).await;
    store.transact(&[put("a", "1"), put("b", "1")]).await.unwrap();
    (server, store)
}

/// Ends the sessions of everybody else, so that they come with new settings.
async fn end_sessions(server: &Postgres) {
    let others =
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <> pg_backend_pid()";
    server.run(others).await.unwrap();
}

#[tokio::test]
async fn a_server_that_takes_no_writes_refuses_them_whole() {
    let (server, store) = with_values(&Options::default()).await;
    configure(&server, "SET default_transaction_read_only = on").await;
    let read_only =
        || async { Ok(server.ask("SHOW default_transaction_read_only").await? == "on") };
    real_servers::until("the setting", read_only).await.unwrap();
    refuses(&store, "name all servers").await;
    configure(&server, "RESET default_transaction_read_only").await;
    serves_again(&store, &put("a", "2")).await;
}

#[tokio::test]
async fn a_user_without_rights_is_told_so() {
    let (server, _store) = with_values(&Options::default()).await;
    server.run("CREATE ROLE app LOGIN; GRANT SELECT ON v2_state, meta TO app").await.unwrap();
    let url = server.url().replace("postgres@", "app@");
    let store = open(&url, "v2", &[]).await;
    refuses(&store, "permission denied").await;
}

#[tokio::test]
async fn a_statement_that_waits_for_too_long_was_not_applied() {
    let (server, store) = with_values(&Options::default()).await;
    let mut other = server.client().await.unwrap();
    let transaction = other.transaction().await.unwrap();
    transaction.batch_execute("SELECT key FROM v2_state WHERE key = 'a' FOR UPDATE").await.unwrap();
    let error = store.write(&put("a", "2")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("longer than the timeout"), "{error}");
    let error = store.transact(&[put("b", "2"), put("a", "2")]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    // Others do not wait for the same.
    store.write(&put("b", "3")).await.unwrap();
    transaction.rollback().await.unwrap();
    assert_eq!((value(&store, "a").await, value(&store, "b").await), ("1".into(), "3".into()));
}

#[tokio::test]
async fn a_server_without_connections_to_spare_was_asked_nothing() {
    let options = Options::default()
        .setting("max_connections", "10")
        .setting("superuser_reserved_connections", "1");
    let (server, _) = with_values(&options).await;
    server
        .run("CREATE ROLE app LOGIN; GRANT ALL ON ALL TABLES IN SCHEMA public TO app")
        .await
        .unwrap();
    let url = server.url().replace("postgres@", "app@");
    let store = open(&url, "v2", &[("timeout", "2s")]).await;
    end_sessions(&server).await;
    let mut others = Vec::new();
    while let Ok((client, connection)) = tokio_postgres::connect(&url, tokio_postgres::NoTls).await
    {
        tokio::spawn(connection);
        others.push(client);
    }
    let _ = store.write(&put("other", "1")).await;
    for _ in 0..3 {
        let error = store.write(&put("a", "2")).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("53300"), "{error}");
        let error = store.transact(&[put("a", "2"), put("b", "2")]).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    }
    drop(others);
    serves_again(&store, &put("a", "2")).await;
}

#[tokio::test]
async fn a_key_that_is_too_long_for_the_index_is_the_caller_s_mistake() {
    let (_server, store) = with_values(&Options::default()).await;
    // Letters of no order, which cannot be made shorter.
    let long: String = (0..9000).map(|_| fastrand::alphanumeric()).collect();
    let error = store.write(&put(&long, "1")).await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Invalid, "{error}");
    // In a bulk request, that of the others is not affected.
    let answers = store.write_many(&[put("a", "2"), put(&long, "1"), put("b", "2")]).await;
    let fine: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(fine, [true, false, true]);
}

#[tokio::test]
async fn sessions_that_the_server_ends_are_replaced() {
    let (server, store) = with_values(&Options::default()).await;
    for _ in 0..5 {
        end_sessions(&server).await;
        serves_again(&store, &put("a", "2")).await;
        assert_eq!(value(&store, "a").await, "2");
        end_sessions(&server).await;
        store.transact(&[put("a", "3"), put("b", "3")]).await.unwrap();
    }
}

#[tokio::test]
async fn a_table_that_was_changed_under_a_prepared_statement_is_still_served() {
    let (server, store) = with_values(&Options::default()).await;
    get(&store, "a").await;
    server.run("ALTER TABLE v2_state ALTER COLUMN key TYPE varchar(3000)").await.unwrap();
    assert_eq!(value(&store, "a").await, "1");
    store.write(&put("a", "2")).await.unwrap();
    server.run("DROP TABLE v2_state").await.unwrap();
    let error = store.write(&put("a", "3")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("does not exist"), "{error}");
}

#[tokio::test]
async fn nobody_and_nothing_at_an_address_are_told_apart() {
    let server = Postgres::start(&Options::default().password("right")).await.unwrap();
    for (url, word) in [
        (server.url().replace("right", "hunter2"), "28P01"),
        (server.url().replace("/postgres", "/nowhere"), "nowhere"),
        ("postgres://me:hunter2@127.0.0.1:1/db".to_owned(), "cannot be reached"),
    ] {
        let error = try_open("v2", &[("connectionString", &url)]).await.unwrap_err();
        assert!(error.to_string().contains(word), "{error}");
        assert!(!format!("{error} {error:?}").contains("hunter2"), "{error:?}");
    }
    server.process().pause().unwrap();
    let url = server.url();
    let properties = [("connectionString", url.as_str())];
    let opening = try_open("v2", &properties);
    let error = tokio::time::timeout(Duration::from_secs(10), opening).await.unwrap().unwrap_err();
    assert_eq!(kind(&error), FailureKind::Unavailable, "{error}");
}
