//! What a server refuses was not applied, and is told apart from what may have been.

use std::time::Duration;

use real_servers::redis::{Options, Redis};
use state::{Outcome, Store};

use crate::support::{arrange, delete, get, open, outcome, put, serves_again, value};

/// Tries every kind of write, of which none is applied.
async fn refuses(store: &std::sync::Arc<dyn Store>, word: &str) {
    let big = "1".repeat(2000);
    for write in [put("a", &big), put("new", &big)] {
        let error = store.write(&write).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains(word), "{error}");
    }
    let transaction = [put("a", &big), delete("b"), put("new", &big)];
    let error = store.transact(&transaction).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    for answer in store.write_many(&[put("a", &big), put("new", &big)]).await {
        assert_eq!(outcome(answer), Outcome::NotApplied);
    }
    assert_eq!(value(store, "a").await, "1");
    assert_eq!(value(store, "b").await, "1");
    assert_eq!(get(store, "new").await, None);
}

#[tokio::test]
async fn a_server_without_memory_refuses_writes_whole() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[("redisMaxRetries", "0")]).await;
    store.transact(&[put("a", "1"), put("b", "1")]).await.unwrap();
    arrange(&server, &[&["CONFIG", "SET", "maxmemory", "1"]]).await;
    refuses(&store, "maxmemory").await;
    // What frees memory is not refused.
    store.write(&delete("b")).await.unwrap();
    arrange(&server, &[&["CONFIG", "SET", "maxmemory", "0"]]).await;
    store.write(&put("a", "2")).await.unwrap();
}

#[tokio::test]
async fn a_replica_refuses_writes_whole() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[("redisMaxRetries", "0")]).await;
    store.transact(&[put("a", "1"), put("b", "1")]).await.unwrap();
    // Nobody is at that port, so it keeps what it has.
    arrange(&server, &[&["REPLICAOF", "127.0.0.1", "1"]]).await;
    refuses(&store, "replica").await;
    arrange(&server, &[&["REPLICAOF", "NO", "ONE"]]).await;
    store.write(&put("a", "2")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_misses_replicas_refuses_writes_whole() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let store = open(server.address(), &[("redisMaxRetries", "0")]).await;
    store.transact(&[put("a", "1"), put("b", "1")]).await.unwrap();
    arrange(&server, &[&["CONFIG", "SET", "min-replicas-to-write", "1"]]).await;
    refuses(&store, "min-replicas-to-write").await;
    arrange(&server, &[&["CONFIG", "SET", "min-replicas-to-write", "0"]]).await;
    store.write(&put("a", "2")).await.unwrap();
}

#[tokio::test]
async fn a_server_that_is_busy_with_a_script_refuses_writes_until_it_is_done() {
    let server = Redis::start(&Options::default().setting("busy-reply-threshold", "50")).await;
    // Before Redis 7 it has another name.
    let server = match server {
        Ok(it) => it,
        Err(_) => Redis::start(&Options::default().setting("lua-time-limit", "50")).await.unwrap(),
    };
    let store = open(server.address(), &[("redisMaxRetries", "0")]).await;
    store.write(&put("a", "1")).await.unwrap();
    let mut client = server.client().await.unwrap();
    client.send(&["EVAL", "while true do end", "0"]).await.unwrap();
    let refused = async || match store.write(&put("a", "2")).await {
        Err(e) => e.outcome() == Outcome::NotApplied && e.to_string().contains("SCRIPT KILL"),
        Ok(_) => false,
    };
    crate::support::within(Duration::from_secs(10), "a refusal", refused).await;
    arrange(&server, &[&["SCRIPT", "KILL"]]).await;
    serves_again(&store, &put("a", "3")).await;
    assert_eq!(value(&store, "a").await, "3");
}

#[tokio::test]
async fn a_right_that_is_taken_away_later_leaves_nothing_half_done() {
    let server = Redis::start(&Options::default()).await.unwrap();
    arrange(&server, &[&["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"]]).await;
    let login = [("redisUsername", "app"), ("redisPassword", "secret"), ("redisMaxRetries", "0")];
    let store = open(server.address(), &login).await;
    store.transact(&[put("a", "1"), put("b", "1")]).await.unwrap();
    arrange(&server, &[&["ACL", "SETUSER", "app", "-hset"]]).await;
    for answer in [store.write(&put("a", "2")).await, store.write(&put("new", "2")).await] {
        let error = answer.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("redisUsername"), "{error}");
    }
    assert_eq!(value(&store, "a").await, "1");
}
