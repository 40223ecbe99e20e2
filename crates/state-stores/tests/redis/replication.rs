//! Replicas: what strong writes wait for, and what eventual reads may see.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Duration,
};

use real_servers::redis::{Options, Redis, Replicated};
use state::{Consistency, Outcome, Read, Store};
use tokio::net::{TcpListener, TcpStream};

use crate::support::{
    arrange, calls, delete, get, key, matches, open, outcome, put, strong, try_get, value, within,
};

const CONVERGENCE_MAX: Duration = Duration::from_secs(5);

async fn eventually(store: &Arc<dyn Store>, name: &str) -> Option<String> {
    let read = Read { consistency: Consistency::Eventual, ..Read::new(key(name)) };
    let item = store.get(&read).await.unwrap()?;
    Some(String::from_utf8(item.value.to_vec()).unwrap())
}

#[tokio::test]
async fn strong_writes_are_on_every_replica_when_they_are_acknowledged() {
    let group = Replicated::start(2, &Options::default()).await.unwrap();
    let store = open(group.primary().address(), &[]).await;
    let holds = async |name: &str, present: bool| {
        for replica in group.replicas() {
            let exists = replica.command(&["EXISTS", name]).await.unwrap().integer().unwrap();
            assert_eq!(exists == 1, present, "{name}");
        }
    };
    for i in 0..50 {
        let name = format!("k{i}");
        store.write(&strong(put(&name, "1"))).await.unwrap();
        holds(&name, true).await;
        store.write(&strong(delete(&name))).await.unwrap();
        holds(&name, false).await;
    }
    store.transact(&[strong(put("a", "1")), put("b", "1")]).await.unwrap();
    holds("b", true).await;
    let answers = store.write_many(&[strong(put("c", "1")), strong(put("d", "1"))]).await;
    assert!(answers.iter().all(Result::is_ok));
    holds("d", true).await;
}

#[tokio::test]
async fn a_strong_write_that_a_replica_does_not_confirm_is_unknown() {
    let group = Replicated::start(2, &Options::default()).await.unwrap();
    let store = open(group.primary().address(), &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    group.replicas()[1].process().pause().unwrap();
    let error = store.write(&strong(put("k", "2"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.to_string().contains("1 of 2 replicas"), "{error}");
    // It was applied, and a conflict is one whatever the replicas do.
    assert_eq!(value(&store, "k").await, "2");
    assert_eq!(
        outcome(store.write(&strong(put("k", "3").when(matches("1")))).await),
        Outcome::Conflict
    );
    // Others need not wait.
    store.write(&put("k", "4")).await.unwrap();
    group.replicas()[1].process().resume().unwrap();
    within(Duration::from_secs(5), "a strong write", async || {
        store.write(&strong(put("k", "5"))).await.is_ok()
    })
    .await;
}

#[tokio::test]
async fn replicas_that_come_and_go_are_counted_anew() {
    let group = Replicated::start(1, &Options::default()).await.unwrap();
    let (primary, replica) = (group.primary(), &group.replicas()[0]);
    arrange(replica, &[&["REPLICAOF", "NO", "ONE"]]).await;
    within(Duration::from_secs(5), "no replica", async || {
        primary.info("replication").await.unwrap()["connected_slaves"] == "0"
    })
    .await;
    // It is alone when the store is opened.
    let store = open(primary.address(), &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    let demanding = open(primary.address(), &[("strongReplicas", "1")]).await;
    let error = demanding.write(&strong(put("k", "2"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown);
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");

    let port = primary.address().port().to_string();
    arrange(replica, &[&["REPLICAOF", "127.0.0.1", &port]]).await;
    group.in_sync().await.unwrap();
    demanding.write(&strong(put("k", "3"))).await.unwrap();
    replica.process().pause().unwrap();
    // The store was opened when there was nobody to wait for.
    let error = store.write(&strong(put("k", "4"))).await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
}

#[tokio::test]
async fn a_strong_read_tells_nothing_that_a_failover_could_undo() {
    let group = Replicated::start(1, &Options::default()).await.unwrap();
    let replica = &group.replicas()[0];
    let store = open(group.primary().address(), &[("strongReplicas", "1")]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    assert_eq!(value(&store, "k").await, "1");
    replica.process().pause().unwrap();
    // Since Redis 7.2 a read cannot wait for replicas, and nothing else is said.
    let version = group.primary().info("server").await.unwrap()["redis_version"].clone();
    let promised =
        store.capabilities().consistency.strong_read.as_ref().unwrap().contains("replicas");
    assert_eq!(promised, version.starts_with("6.") || version.starts_with("7.0"), "{version}");
    if !promised {
        assert_eq!(value(&store, "k").await, "1");
        return;
    }
    // What a read tells is no refusal, whatever it is.
    store.write(&put("k", "conflict")).await.unwrap();
    let error = try_get(&store, "k").await.unwrap_err();
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    // Whoever does not mind that it may be undone sees it, and so does a store that demands nothing.
    assert_eq!(eventually(&store, "k").await.as_deref(), Some("conflict"));
    let other = open(group.primary().address(), &[]).await;
    assert_eq!(value(&other, "k").await, "conflict");
    replica.process().resume().unwrap();
    within(Duration::from_secs(5), "a strong read", async || try_get(&store, "k").await.is_ok())
        .await;
    assert_eq!(value(&store, "k").await, "conflict");
    // What is not there is as much of an answer.
    assert!(try_get(&store, "absent").await.unwrap().is_none());
}

#[tokio::test]
async fn many_strong_writes_share_what_they_wait_for() {
    let group = Replicated::start(1, &Options::default()).await.unwrap();
    let store = open(group.primary().address(), &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    arrange(group.primary(), &[&["CONFIG", "RESETSTAT"]]).await;
    let tasks: Vec<_> = (0..200)
        .map(|it| {
            let store = store.clone();
            tokio::spawn(async move { store.write(&strong(put(&format!("k{it}"), "1"))).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
    let waits = calls(group.primary(), "wait").await;
    assert!((1..100).contains(&waits), "{waits} for 200 writes");
}

#[tokio::test]
async fn eventual_reads_come_from_replicas_and_converge() {
    let group = Replicated::start(2, &Options::default()).await.unwrap();
    let store = open(group.primary().address(), &[("readFrom", "replica")]).await;
    assert!(store.capabilities().consistency.eventual_read.is_some());
    store.write(&put("k", "0")).await.unwrap();
    let asked = async || {
        let mut calls_of = Vec::new();
        for replica in group.replicas() {
            calls_of.push(calls(replica, "evalsha").await + calls(replica, "eval").await);
        }
        calls_of
    };
    // Replicas are trusted when they have been seen to keep up.
    within(CONVERGENCE_MAX, "both replicas are asked", async || {
        assert_eq!(eventually(&store, "k").await.as_deref(), Some("0"));
        asked().await.iter().all(|it| *it > 0)
    })
    .await;
    // In turn.
    let before = asked().await;
    for _ in 0..20 {
        eventually(&store, "k").await;
    }
    let more: Vec<u64> =
        asked().await.iter().zip(before).map(|(now, before)| now - before).collect();
    assert!(more.iter().all(|it| *it >= 5), "{more:?}");
    for i in 1..20 {
        let wanted = i.to_string();
        store.write(&put("k", &wanted)).await.unwrap();
        assert_eq!(value(&store, "k").await, wanted, "a strong read is never stale");
        within(CONVERGENCE_MAX, "the new value", async || {
            eventually(&store, "k").await.as_ref() == Some(&wanted)
        })
        .await;
    }
}

#[tokio::test]
async fn a_replica_that_is_cut_off_is_not_read_for_long() {
    let options = Options::default().setting("repl-timeout", "60");
    let group = Replicated::start(1, &options).await.unwrap();
    let (primary, replica) = (group.primary(), &group.replicas()[0]);
    let store = open(primary.address(), &[("readFrom", "replica")]).await;
    store.write(&put("k", "old")).await.unwrap();
    within(CONVERGENCE_MAX, "the replica is asked", async || {
        eventually(&store, "k").await;
        calls(replica, "evalsha").await > 0
    })
    .await;
    // It still answers, and knows nothing new: nobody is at the port that it follows now.
    arrange(replica, &[&["REPLICAOF", "127.0.0.1", "1"]]).await;
    store.write(&put("k", "new")).await.unwrap();
    within(CONVERGENCE_MAX, "the new value", async || {
        eventually(&store, "k").await.as_deref() == Some("new")
    })
    .await;
    replica.process().kill().unwrap();
    for _ in 0..20 {
        assert_eq!(eventually(&store, "k").await.as_deref(), Some("new"));
    }
}

/// Passes connections on to whichever server it is told of, as a name or a virtual address does.
async fn name_for(target: Arc<Mutex<SocketAddr>>) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut client, _)) = listener.accept().await {
            let target = *target.lock().unwrap();
            tokio::spawn(async move {
                let mut server = TcpStream::connect(target).await?;
                tokio::io::copy_bidirectional(&mut client, &mut server).await
            });
        }
    });
    address
}

#[tokio::test]
async fn a_name_that_stands_for_another_server_after_a_failover_is_looked_up_again() {
    let group = Replicated::start(1, &Options::default()).await.unwrap();
    let (first, second) = (group.primary(), &group.replicas()[0]);
    let target = Arc::new(Mutex::new(first.address()));
    let store = open(name_for(target.clone()).await, &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    store.write(&strong(put("k", "2"))).await.unwrap();
    // The first goes on to answer, as a replica.
    *target.lock().unwrap() = second.address();
    arrange(second, &[&["REPLICAOF", "NO", "ONE"]]).await;
    let port = second.address().port().to_string();
    arrange(first, &[&["REPLICAOF", "127.0.0.1", &port]]).await;
    // It counts what it was sent as a replica, too.
    arrange(second, &[&["CONFIG", "RESETSTAT"]]).await;
    store.write(&put("k", "3")).await.unwrap();
    store.write(&strong(put("k", "4"))).await.unwrap();
    assert_eq!(value(&store, "k").await, "4");
    assert_eq!(calls(second, "hset").await, 2);
}

#[tokio::test]
async fn promises_are_those_of_the_servers_settings() {
    let survives = async |options: Options| {
        let server = Redis::start(&options).await.unwrap();
        let store = open(server.address(), &[]).await;
        store.capabilities().durability
    };
    let durable = survives(Options::default().durable()).await;
    assert!(durable.process_crash && durable.power_loss && durable.memory_pressure);
    assert_eq!(durable.failover, None);
    let none = survives(Options::default()).await;
    assert!(!none.process_crash && !none.power_loss);
    let relaxed = Options::default().setting("appendonly", "yes").setting("appendfsync", "no");
    let relaxed = survives(relaxed).await;
    assert!(relaxed.process_crash && !relaxed.power_loss);
    let every_second = Options::default().setting("appendonly", "yes");
    assert!(!survives(every_second).await.process_crash);
    let evicting = Options::default()
        .durable()
        .setting("maxmemory", "100mb")
        .setting("maxmemory-policy", "allkeys-lru");
    assert!(!survives(evicting).await.memory_pressure);

    let group = Replicated::start(1, &Options::default().durable()).await.unwrap();
    let store = open(group.primary().address(), &[]).await;
    assert_eq!(store.capabilities().durability.failover, Some(false));
    assert_eq!(store.capabilities().server_settings["appendfsync"], "always");
    assert!(get(&store, "k").await.is_none());
}
