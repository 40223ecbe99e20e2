//! Those who are in each other's way: locks, deadlocks, isolation.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use real_servers::postgres::{Options, Postgres};
use state::{Outcome, Store};

use crate::support::{VERSIONS, delete, etag, matches, open, put, value, within};

#[tokio::test]
async fn transactions_that_cross_do_not_wait_for_each_other() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    for version in VERSIONS {
        let stores = join_all((0..2).map(|_| open_with(&server, version))).await;
        let work = |n: usize| {
            let store: Arc<dyn Store> = stores[n % 2].clone();
            tokio::spawn(async move {
                for i in 0..50 {
                    let mut writes =
                        ["a", "b", "c", "d"].map(|it| put(it, &format!("1{n}{i}"))).to_vec();
                    fastrand::shuffle(&mut writes);
                    store.transact(&writes).await.unwrap();
                    fastrand::shuffle(&mut writes);
                    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
                    let deletes: Vec<_> = writes.iter().map(|it| delete(it.key.as_str())).collect();
                    assert!(store.write_many(&deletes).await.iter().all(Result::is_ok));
                }
            })
        };
        join_all((0..8).map(work)).await.into_iter().for_each(|it| it.unwrap());
    }
    let deadlocks = "SELECT deadlocks::text FROM pg_stat_database WHERE datname = 'postgres'";
    assert_eq!(server.ask(deadlocks).await.unwrap(), "0");
}

async fn open_with(server: &Postgres, version: &str) -> Arc<dyn Store> {
    open(&server.url(), version, &[]).await
}

#[tokio::test]
async fn who_loses_a_deadlock_with_another_program_tries_again() {
    let options = Options::default().setting("deadlock_timeout", "100ms");
    let server = Postgres::start(&options).await.unwrap();
    let store = open(&server.url(), "v2", &[]).await;
    store.write_many(&[put("a", "1"), put("b", "1")]).await;
    for round in 0..5 {
        let mut other = server.client().await.unwrap();
        let crossing = other.transaction().await.unwrap();
        let lock = |name: &str| format!("SELECT 1 FROM v2_state WHERE key = '{name}' FOR UPDATE");
        crossing.batch_execute(&lock("b")).await.unwrap();
        let text = format!("{round}");
        let writes = [put("a", &text), put("b", &text)];
        let transacting = store.transact(&writes);
        let colliding = async {
            let waits =
                "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
            within(Duration::from_secs(10), "a wait for a lock", async || {
                server.ask(waits).await.unwrap() != "0"
            })
            .await;
            // One of the two is told to give up.
            let _ = crossing.batch_execute(&lock("a")).await;
            crossing.rollback().await.unwrap();
        };
        let (answer, ()) = tokio::join!(transacting, colliding);
        answer.unwrap();
        assert_eq!(value(&store, "b").await, text);
    }
    let deadlocks = "SELECT deadlocks FROM pg_stat_database WHERE datname = 'postgres'";
    within(Duration::from_secs(10), "deadlocks", async || {
        let row = server.client().await.unwrap().query_one(deadlocks, &[]).await.unwrap();
        row.get::<_, i64>(0) >= 5
    })
    .await;
}

#[tokio::test]
async fn the_isolation_that_somebody_has_set_does_no_harm() {
    let options = Options::default().setting("default_transaction_isolation", "serializable");
    let server = Postgres::start(&options).await.unwrap();
    for more in [&[][..], &[("queryExecMode", "exec")]] {
        let store = open(&server.url(), "v2", more).await;
        let _ = store.write(&delete("n")).await;
        store.write(&put("n", "0")).await.unwrap();
        let work = |_| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut won = 0;
                while won < 20 {
                    let current: u32 = value(&store, "n").await.parse().unwrap();
                    let version = etag(&store, "n").await;
                    let write = put("n", &(current + 1).to_string()).when(matches(&version));
                    // What was read and what its version is are two requests.
                    if value(&store, "n").await != current.to_string() {
                        continue;
                    }
                    match store.write(&write).await {
                        Ok(_) => won += 1,
                        Err(e) => assert_eq!(e.outcome(), Outcome::Conflict, "{e}"),
                    }
                }
            })
        };
        join_all((0..4).map(work)).await.into_iter().for_each(|it| it.unwrap());
    }
}

#[tokio::test]
async fn a_lock_holds_up_those_who_want_it_and_nobody_else() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let store = open(&server.url(), "v2", &[]).await;
    store.write_many(&[put("locked", "1"), put("free", "1")]).await;
    let mut other = server.client().await.unwrap();
    let transaction = other.transaction().await.unwrap();
    transaction
        .batch_execute("SELECT 1 FROM v2_state WHERE key = 'locked' FOR UPDATE")
        .await
        .unwrap();
    let waiting = {
        let store = store.clone();
        tokio::spawn(async move { store.write(&put("locked", "2")).await })
    };
    let waits = "SELECT count(*)::text FROM pg_stat_activity WHERE wait_event_type = 'Lock'";
    within(Duration::from_secs(10), "a wait for a lock", async || {
        server.ask(waits).await.unwrap() == "1"
    })
    .await;
    for n in 0..100 {
        // Some of them are sent behind the one that waits, until it is known to.
        let write = put("free", &n.to_string());
        let writing = store.write(&write);
        tokio::time::timeout(Duration::from_secs(5), writing).await.unwrap().unwrap();
    }
    transaction.rollback().await.unwrap();
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn transactions_that_delete_keys_which_are_absent_do_not_mix_with_others() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    for version in VERSIONS {
        let store = open(&server.url(), version, &[]).await;
        let work = |n: usize| {
            let store = store.clone();
            tokio::spawn(async move {
                for i in 0..200 {
                    let text = format!("1{n}{i}");
                    let writes = match n % 2 {
                        0 => [delete("a"), put("b", &text)],
                        _ => [put("a", &text), put("b", &text)],
                    };
                    store.transact(&writes).await.unwrap();
                }
            })
        };
        let done = std::sync::atomic::AtomicBool::new(false);
        let working = async {
            join_all((0..8).map(work)).await.into_iter().for_each(|it| it.unwrap());
            done.store(true, std::sync::atomic::Ordering::Relaxed);
        };
        let watching = async {
            let client = server.client().await.unwrap();
            // Both keys at one instant: one is absent, or they are equal.
            let value = if version == "v1" { "value" } else { "convert_from(value, 'UTF8')" };
            let query = format!(
                "SELECT count(DISTINCT {value}), count(*) FROM {version}_state WHERE key IN ('a', 'b')"
            );
            while !done.load(std::sync::atomic::Ordering::Relaxed) {
                let row = client.query_one(&query, &[]).await.unwrap();
                let (values, keys): (i64, i64) = (row.get(0), row.get(1));
                assert!(values <= 1, "{values} values of {keys} keys");
            }
        };
        tokio::join!(working, watching);
    }
}
