//! Sentinel: the store follows whoever is the primary.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use real_servers::redis::{MASTER_NAME, Options, Redis, Reply, Sentinels};
use state::{Outcome, Store};
use tokio::task::JoinSet;

use crate::support::{
    RECOVERY_MAX, arrange, open_at, outcome, put, serves_again, strong, try_open, value, within,
};

async fn store(group: &Sentinels, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let sentinel = [("failover", "true"), ("sentinelMasterName", MASTER_NAME)];
    open_at(&group.addresses(), &[&sentinel, more].concat()).await
}

/// Has another server made the primary. A sentinel that has not heard of a good replica yet says so, and is asked again.
async fn fail_over(sentinel: &Redis) {
    within(Duration::from_secs(20), "a failover that a sentinel begins", async || {
        let reply = sentinel.command(&["SENTINEL", "FAILOVER", MASTER_NAME]).await.unwrap();
        !matches!(reply, Reply::Error(_))
    })
    .await;
}

#[tokio::test]
async fn writes_go_on_soon_after_the_primary_has_died() {
    let group = Sentinels::start(3, 2, &Options::default().durable()).await.unwrap();
    let store = store(&group, &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    let first = group.first_primary();
    first.process().kill().unwrap();
    let next = group.primary_after(first).await.unwrap();
    serves_again(&store, &put("k2", "1")).await;
    assert_eq!(value(&store, "k").await, "1");
    assert_eq!(next.command(&["EXISTS", "k2"]).await.unwrap().integer().unwrap(), 1);
    // The old one comes back as a replica, and changes nothing.
    first.process().restart().await.unwrap();
    within(Duration::from_secs(20), "the old primary follows", async || {
        first.is_primary().await.is_ok_and(|it| !it)
    })
    .await;
    store.write(&put("k3", "1")).await.unwrap();
    assert_eq!(next.command(&["EXISTS", "k3"]).await.unwrap().integer().unwrap(), 1);
}

#[tokio::test]
async fn a_primary_that_stands_still_is_left_as_soon_as_there_is_another() {
    let group = Sentinels::start(3, 1, &Options::default()).await.unwrap();
    let store = store(&group, &[("readTimeout", "20s")]).await;
    store.transact(&[strong(put("k", "1")), put("l", "1")]).await.unwrap();
    let first = group.first_primary();
    first.process().pause().unwrap();
    let waiting = [put("k", "2"), strong(put("l", "2"))].map(|write| {
        let store = store.clone();
        tokio::spawn(async move { store.write(&write).await })
    });
    group.primary_after(first).await.unwrap();
    // Nobody waits for the old one, however patient.
    for waiting in waiting {
        let answer = tokio::time::timeout(RECOVERY_MAX, waiting).await.unwrap().unwrap();
        assert_eq!(outcome(answer), Outcome::Unknown);
    }
    serves_again(&store, &strong(put("l", "3"))).await;
    serves_again(&store, &put("k", "3")).await;
    first.process().resume().unwrap();
    assert_eq!(value(&store, "k").await, "3");
}

#[tokio::test]
async fn a_switch_without_a_fault_is_heard_of() {
    let group = Sentinels::start(1, 1, &Options::default()).await.unwrap();
    let store = store(&group, &[]).await;
    let first = group.first_primary();
    fail_over(&group.sentinels()[0]).await;
    let next = group.primary_after(first).await.unwrap();
    // What the old one acknowledges until it hears of it is lost: its replication is asynchronous.
    within(RECOVERY_MAX, "a write at the new primary", async || {
        let _ = store.write(&put("k", "1")).await;
        next.command(&["EXISTS", "k"]).await.unwrap().integer().unwrap() == 1
    })
    .await;
}

#[tokio::test]
async fn any_sentinel_that_lives_is_enough() {
    let options = Options::default().password("secret").sentinel_password("other");
    let group = Sentinels::start(3, 1, &options).await.unwrap();
    let login = [("redisPassword", "secret"), ("sentinelPassword", "other")];
    group.sentinels()[0].process().kill().unwrap();
    let store = store(&group, &login).await;
    let first = group.first_primary();
    first.process().kill().unwrap();
    group.primary_after(first).await.unwrap();
    serves_again(&store, &put("k", "1")).await;
}

#[tokio::test]
async fn what_sentinels_do_not_know_is_said() {
    let group = Sentinels::start(1, 1, &Options::default()).await.unwrap();
    let address = group.addresses()[0].to_string();
    let host = ("redisHost", address.as_str());
    let named = [host, ("failover", "true"), ("sentinelMasterName", "nobody")];
    let error = try_open(&named).await.unwrap_err();
    assert!(error.to_string().contains("sentinelMasterName"), "{error}");
    // A sentinel is no server of data.
    let error = try_open(&[host]).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
}

#[tokio::test]
async fn a_sentinel_that_stands_still_holds_nobody_up() {
    let group = Sentinels::start(3, 1, &Options::default()).await.unwrap();
    group.sentinels()[0].process().pause().unwrap();
    let store = store(&group, &[]).await;
    let first = group.first_primary();
    first.process().kill().unwrap();
    group.primary_after(first).await.unwrap();
    serves_again(&store, &put("k", "1")).await;
    // One that has missed the election knows the old primary only, and is not believed.
    group.sentinels()[0].process().resume().unwrap();
    for _ in 0..20 {
        store.write(&put("k", "2")).await.unwrap();
    }
}

#[tokio::test]
async fn a_group_that_is_set_up_anew_is_followed_though_it_counts_from_nothing() {
    let group = Sentinels::start(1, 1, &Options::default()).await.unwrap();
    let sentinel = &group.sentinels()[0];
    let first = group.first_primary();
    fail_over(sentinel).await;
    group.primary_after(first).await.unwrap();
    let store = store(&group, &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    // The old one goes on to answer.
    let other = Redis::start(&Options::default()).await.unwrap();
    let port = other.address().port().to_string();
    arrange(
        sentinel,
        &[
            &["SENTINEL", "REMOVE", MASTER_NAME],
            &["SENTINEL", "MONITOR", MASTER_NAME, "127.0.0.1", &port, "1"],
        ],
    )
    .await;
    within(Duration::from_secs(20), "a write at the new primary", async || {
        let _ = store.write(&put("k", "2")).await;
        other.command(&["EXISTS", "k"]).await.unwrap().integer().unwrap() == 1
    })
    .await;
}

/// Each client counts up a key of its own, so that what was acknowledged last must be there, or more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_writes_that_all_replicas_have_confirmed_survive_failovers() {
    let group = Sentinels::start(3, 2, &Options::default().durable()).await.unwrap();
    let store = store(&group, &[("strongReplicas", "2")]).await;
    let acknowledged: Arc<[AtomicU64]> = (0..8).map(|_| AtomicU64::new(0)).collect();
    let mut clients = JoinSet::new();
    for client in 0..acknowledged.len() {
        let (store, acknowledged) = (store.clone(), acknowledged.clone());
        clients.spawn(async move {
            for next in 1.. {
                let write = strong(put(&format!("client{client}"), &next.to_string()));
                if store.write(&write).await.is_ok() {
                    acknowledged[client].store(next, Relaxed);
                }
            }
        });
    }
    // Counts on until each client has been answered some more.
    let more = async || {
        let before: Vec<u64> = acknowledged.iter().map(|it| it.load(Relaxed)).collect();
        within(Duration::from_secs(30), "acknowledgements", async || {
            acknowledged.iter().zip(&before).all(|(now, before)| now.load(Relaxed) > before + 20)
        })
        .await;
    };
    let mut primary = group.first_primary();
    more().await;
    for _ in 0..2 {
        primary.process().kill().unwrap();
        let next = group.primary_after(primary).await.unwrap();
        // It takes all of them to confirm.
        primary.process().restart().await.unwrap();
        more().await;
        primary = next;
    }
    clients.shutdown().await;
    for (client, acknowledged) in acknowledged.iter().enumerate() {
        let found: u64 = value(&store, &format!("client{client}")).await.parse().unwrap();
        let acknowledged = acknowledged.load(Relaxed);
        assert!(found >= acknowledged, "client {client}: {found} < {acknowledged}");
    }
}
