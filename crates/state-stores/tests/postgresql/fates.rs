//! A commit whose answer is lost: the server is asked what became of it.

use std::sync::Arc;

use fault_proxy::{AtMark, Fault, Proxy};
use real_servers::postgres::{Options, Postgres};
use state::{Outcome, Store};

use crate::support::{configure, get, open, put, value};

/// Sends a transaction, and heals the proxy as soon as it has done something.
async fn transact(
    proxy: &Proxy,
    store: &Arc<dyn Store>,
    fault: Fault,
) -> state::Result<Vec<state::Written>> {
    let before = proxy.counts().hit;
    proxy.set(fault);
    let writes = [put("k", "\"new\""), put("l", "\"new\"")];
    let healing = async {
        while proxy.counts().hit == before {
            tokio::task::yield_now().await;
        }
        proxy.heal();
    };
    tokio::join!(store.transact(&writes), healing).0
}

#[tokio::test]
async fn a_transaction_whose_commit_was_not_answered_is_known_to_be_committed() {
    for version in crate::support::VERSIONS {
        let server = Postgres::start(&Options::default()).await.unwrap();
        let proxy = Proxy::start(server.address()).await.unwrap();
        let store = open(&server.url_at(proxy.address()), version, &[]).await;
        // The answer to COMMIT is lost, and the server has done it.
        let answer = transact(
            &proxy,
            &store,
            Fault::OnMark { mark: b"COMMIT\0".into(), then: AtMark::LoseReply },
        )
        .await;
        assert_eq!(answer.unwrap().len(), 2);
        assert_eq!(value(&store, "l").await, "\"new\"");
    }
}

#[tokio::test]
async fn a_commit_that_never_arrived_is_known_to_be_none_and_is_sent_again() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let store = open(&server.url_at(proxy.address()), "v2", &[]).await;
    let number = "SELECT txid_current()::text";
    let before: i64 = server.ask(number).await.unwrap().parse().unwrap();
    let answer =
        transact(&proxy, &store, Fault::OnMark { mark: b"COMMIT\0".into(), then: AtMark::Cut })
            .await;
    assert_eq!(answer.unwrap().len(), 2);
    assert_eq!(value(&store, "k").await, "\"new\"");
    // The first, what asked about it, the second, and this.
    let after: i64 = server.ask(number).await.unwrap().parse().unwrap();
    assert!(after - before >= 4, "{before} {after}");
}

#[tokio::test]
async fn in_another_history_the_number_means_nothing() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let standby = server.standby("one").await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let both = format!("{},{}", proxy.address(), standby.address());
    let url = format!("postgres://postgres@{both}/postgres");
    let store = open(&url, "v2", &[("timeout", "10s")]).await;
    store.write(&put("k", "\"old\"")).await.unwrap();
    real_servers::until("the standby to have it", || async {
        Ok(standby.ask("SELECT count(*)::text FROM v2_state").await? == "1")
    })
    .await
    .unwrap();
    // The standby takes over without the transaction, and gives the same number to another one.
    configure(&standby, "SET primary_conninfo = 'host=127.0.0.1 port=1'").await;
    real_servers::until("the standby to hear nothing", || async {
        Ok(standby.ask("SELECT count(*)::text FROM pg_stat_wal_receiver").await? == "0")
    })
    .await
    .unwrap();
    let writes = [put("k", "\"new\""), put("l", "\"new\"")];
    proxy.set(Fault::OnMark { mark: b"COMMIT\0".into(), then: AtMark::LoseReply });
    let failover = async {
        while proxy.counts().hit == 0 {
            tokio::task::yield_now().await;
        }
        server.process().kill().unwrap();
        standby.ask("SELECT pg_promote()::text").await.unwrap();
        for n in 0..20 {
            standby.run(&format!("CREATE TABLE t{n} ()")).await.unwrap();
        }
    };
    let (answer, ()) = tokio::join!(store.transact(&writes), failover);
    let error = answer.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert_eq!(get(&store, "l").await, None);
}
