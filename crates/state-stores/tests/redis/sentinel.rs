//! Sentinel: the store follows whoever is the primary.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use real_servers::redis::{MASTER_NAME, Options, Sentinels};
use state::{Outcome, Store};
use tokio::time::Instant;

use crate::support::{
    RECOVERY_MAX, arrange, open_at, put, serves_again, strong, try_open, value, within,
};

async fn store(group: &Sentinels, more: &[(&str, &str)]) -> Arc<dyn Store> {
    let sentinel = [("failover", "true"), ("sentinelMasterName", MASTER_NAME)];
    open_at(&group.addresses(), &[&sentinel, more].concat()).await
}

#[tokio::test]
async fn writes_go_on_soon_after_the_primary_has_died() {
    let group = Sentinels::start(3, 2, &Options::default().durable()).await.unwrap();
    let store = store(&group, &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    let first = group.first_primary();
    first.process().kill().unwrap();
    let next = group.primary_after(first).await.unwrap();
    let took = serves_again(&store, &put("k2", "1")).await;
    assert!(took < RECOVERY_MAX);
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
    store.write(&put("k", "1")).await.unwrap();
    let first = group.first_primary();
    first.process().pause().unwrap();
    let waiting = store.clone();
    let waiting = tokio::spawn(async move { waiting.write(&put("k", "2")).await });
    group.primary_after(first).await.unwrap();
    // Nobody waits for the old one, however patient.
    let error = tokio::time::timeout(RECOVERY_MAX, waiting).await.unwrap().unwrap().unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    serves_again(&store, &put("k", "3")).await;
    first.process().resume().unwrap();
    assert_eq!(value(&store, "k").await, "3");
}

#[tokio::test]
async fn a_switch_without_a_fault_is_heard_of() {
    let group = Sentinels::start(1, 1, &Options::default()).await.unwrap();
    let store = store(&group, &[]).await;
    let first = group.first_primary();
    arrange(&group.sentinels()[0], &[&["SENTINEL", "FAILOVER", MASTER_NAME]]).await;
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

/// Each client counts up a key of its own, so that what was acknowledged last must be there, or more.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn strong_writes_that_all_replicas_have_confirmed_survive_failovers() {
    let group = Sentinels::start(3, 2, &Options::default().durable()).await.unwrap();
    let store = store(&group, &[("strongReplicas", "2")]).await;
    let stop = Arc::new(AtomicBool::new(false));
    let clients: Vec<_> = (0..8)
        .map(|client| {
            let (store, stop) = (store.clone(), stop.clone());
            tokio::spawn(async move {
                let (mut acknowledged, mut next) = (0, 0);
                let name = format!("client{client}");
                while !stop.load(Relaxed) {
                    next += 1;
                    if store.write(&strong(put(&name, &next.to_string()))).await.is_ok() {
                        acknowledged = next;
                    }
                }
                (name, acknowledged)
            })
        })
        .collect();
    let mut primary = group.first_primary();
    for _ in 0..2 {
        tokio::time::sleep(Duration::from_millis(500)).await;
        primary.process().kill().unwrap();
        let next = group.primary_after(primary).await.unwrap();
        // It takes all of them to confirm.
        primary.process().restart().await.unwrap();
        let began = Instant::now();
        within(Duration::from_secs(20), "a strong write", async || {
            store.write(&strong(put("probe", "1"))).await.is_ok()
        })
        .await;
        assert!(began.elapsed() < Duration::from_secs(20));
        primary = next;
    }
    stop.store(true, Relaxed);
    for client in clients {
        let (name, acknowledged) = client.await.unwrap();
        let found: u64 = value(&store, &name).await.parse().unwrap();
        assert!(acknowledged > 0 && found >= acknowledged, "{name}: {found} < {acknowledged}");
    }
}
