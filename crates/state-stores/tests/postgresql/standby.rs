//! Hot standbys: reads that may be a little old, strong writes, and a standby that takes over.

use std::{sync::Arc, time::Duration};

use real_servers::postgres::{Options, Postgres};
use state::{Outcome, Read, Store};

use crate::support::{configure, key, open, put, serves_again, strong, value, within};

fn both(primary: &Postgres, standby: &Postgres) -> String {
    format!("postgres://postgres@{},{}/postgres", primary.address(), standby.address())
}

/// What an eventual read shows.
async fn eventually(store: &Arc<dyn Store>, name: &str) -> Option<String> {
    let item = store.get(&Read::new(key(name))).await.unwrap();
    item.map(|it| String::from_utf8(it.value.to_vec()).unwrap())
}

/// How many rows a server has read by its index.
async fn reads(server: &Postgres) -> u64 {
    let reads = "SELECT coalesce(sum(idx_scan), 0)::text FROM pg_stat_user_tables";
    server.ask(reads).await.unwrap().parse().unwrap()
}

#[tokio::test]
async fn eventual_reads_go_to_a_standby_that_keeps_up_and_strong_ones_never() {
    let primary = Postgres::start(&Options::default()).await.unwrap();
    let standby = primary.standby("one").await.unwrap();
    let store = open(&both(&primary, &standby), "v2", &[("readFrom", "standby")]).await;
    assert!(store.capabilities().consistency.eventual_read.is_some());
    store.write(&put("k", "1")).await.unwrap();
    within(Duration::from_secs(20), "a read at the standby", async || {
        let before = reads(&standby).await;
        assert!(eventually(&store, "k").await.is_none_or(|it| it == "1"));
        within(Duration::from_secs(1), "statistics", async || true).await;
        reads(&standby).await > before
    })
    .await;
    // It stands still, and shows less and less: for a while, and then it is not asked any more.
    standby.run("SELECT pg_wal_replay_pause()").await.unwrap();
    store.write(&put("k", "2")).await.unwrap();
    assert_eq!(value(&store, "k").await, "2");
    within(Duration::from_secs(5), "the new value", async || {
        eventually(&store, "k").await.as_deref() == Some("2")
    })
    .await;
    for _ in 0..20 {
        assert_eq!(eventually(&store, "k").await.as_deref(), Some("2"));
    }
    standby.run("SELECT pg_wal_replay_resume()").await.unwrap();
    standby.process().kill().unwrap();
    assert_eq!(eventually(&store, "k").await.as_deref(), Some("2"));
}

#[tokio::test]
async fn strong_writes_are_confirmed_by_synchronous_standbys() {
    let options = Options::default().setting("synchronous_commit", "local");
    let primary = Postgres::start(&options).await.unwrap();
    let standby = primary.standby("one").await.unwrap();
    configure(&primary, "SET synchronous_standby_names = 'one'").await;
    real_servers::until("the standby to count", || async {
        Ok(primary.ask("SELECT sync_state FROM pg_stat_replication").await? == "sync")
    })
    .await
    .unwrap();
    let store = open(&both(&primary, &standby), "v2", &[("timeout", "2s")]).await;
    let meaning = store.capabilities().consistency.strong_write.clone().unwrap();
    assert!(meaning.contains("standbys"), "{meaning}");
    store.write(&strong(put("k", "1"))).await.unwrap();
    // It is there at once: the standby has applied it.
    let stored = "SELECT convert_from(value, 'UTF8') FROM v2_state WHERE key = 'k'";
    assert_eq!(standby.ask(stored).await.unwrap(), "1");
    standby.process().pause().unwrap();
    let error = store.write(&strong(put("k", "2"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    // That one still has the lock of its key. Others, which need no confirmation, go on.
    store.write(&put("l", "3")).await.unwrap();
    // Nor is one whose wait somebody has ended.
    let cancelling = async {
        let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event = 'SyncRep'";
        within(Duration::from_secs(10), "a wait", async || {
            primary.ask(waits).await.unwrap() != "0"
        })
        .await;
        primary
            .run("SELECT pg_cancel_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'")
            .await
            .unwrap();
    };
    let write = strong(put("m", "4"));
    let (answer, ()) = tokio::join!(store.write(&write), cancelling);
    let error = answer.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    standby.process().resume().unwrap();
    serves_again(&store, &strong(put("k", "5"))).await;
}

#[tokio::test]
async fn what_a_server_does_not_wait_for_is_strong_when_it_is_asked_to_be() {
    let options = Options::default()
        .durable()
        .setting("synchronous_commit", "off")
        .setting("wal_writer_delay", "10000");
    let server = Postgres::start(&options).await.unwrap();
    let store = open(&server.url(), "v2", &[]).await;
    let durability = store.capabilities().durability;
    assert!(!durability.process_crash && !durability.power_loss);
    assert_eq!(store.capabilities().server_settings["synchronous_commit"], "off");
    for n in 0..5 {
        store.write(&put("weak", &n.to_string())).await.unwrap();
        store.write(&strong(put("k", &n.to_string()))).await.unwrap();
        server.process().kill().unwrap();
        server.process().restart().await.unwrap();
        serves_again(&store, &put("other", "1")).await;
        assert_eq!(value(&store, "k").await, n.to_string());
    }
}

#[tokio::test]
async fn a_standby_that_takes_over_is_found() {
    let primary = Postgres::start(&Options::default()).await.unwrap();
    let standby = primary.standby("one").await.unwrap();
    let store = open(&both(&primary, &standby), "v2", &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    real_servers::until("the standby to have it", || async {
        Ok(standby.ask("SELECT count(*)::text FROM v2_state").await? == "1")
    })
    .await
    .unwrap();
    primary.process().kill().unwrap();
    standby.run("SELECT pg_promote()").await.unwrap();
    serves_again(&store, &put("k", "2")).await;
    store.transact(&[put("k", "3"), put("l", "3")]).await.unwrap();
    assert_eq!(value(&store, "k").await, "3");
}
