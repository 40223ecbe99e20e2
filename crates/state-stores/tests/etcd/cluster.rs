//! A cluster of three that loses members.

use std::time::{Duration, Instant};

use real_servers::etcd::{Etcd, Options};
use state::{Outcome, Read};

use crate::support::{answered, key, open, put, serves_again, value};

#[tokio::test]
async fn it_goes_on_within_five_seconds_without_its_leader_and_keeps_what_it_had() {
    let etcd = Etcd::start(3, &Options::default()).await.unwrap();
    // What was sent to a leader that died is not answered.
    let store = open(&etcd.endpoints(), "v2", &[("timeout", "2s")]).await;
    for round in 0..3 {
        let text = round.to_string();
        store.write(&put("k", &text)).await.unwrap();
        let leader = etcd.leader().await.unwrap();
        match round % 2 {
            0 => etcd.nodes()[leader].kill().unwrap(),
            _ => etcd.nodes()[leader].pause().unwrap(),
        }
        serves_again(&store, &put("other", &text)).await;
        assert_eq!(value(&store, "k").await, text);
        match round % 2 {
            0 => etcd.nodes()[leader].restart().await.unwrap(),
            _ => etcd.nodes()[leader].resume().unwrap(),
        }
        serves_again(&store, &put("k", "back")).await;
    }
}

#[tokio::test]
async fn a_leader_that_hands_over_is_not_noticed() {
    let etcd = Etcd::start(3, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v1", &[]).await;
    for _ in 0..3 {
        etcd.move_leader().await.unwrap();
        store.write(&put("k", "1")).await.unwrap();
        assert_eq!(value(&store, "k").await, "1");
    }
}

#[tokio::test]
async fn without_most_members_nothing_is_told_that_may_not_be_so_and_nobody_waits_for_ever() {
    let etcd = Etcd::start(3, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[("timeout", "3s")]).await;
    store.write(&put("k", "1")).await.unwrap();
    etcd.nodes()[0].pause().unwrap();
    etcd.nodes()[1].pause().unwrap();
    // When the last one has noticed, it refuses whoever comes.
    tokio::time::sleep(Duration::from_secs(3)).await;
    for _ in 0..2 {
        let asked = Instant::now();
        let error = store.write(&put("k", "2")).await.unwrap_err();
        assert!(matches!(error.outcome(), Outcome::NotApplied | Outcome::Unknown), "{error}");
        store.get(&Read::new(key("k"))).await.unwrap_err();
        let took = asked.elapsed();
        assert!(took < Duration::from_secs(7), "{took:?}");
    }
    etcd.nodes()[0].resume().unwrap();
    etcd.nodes()[1].resume().unwrap();
    serves_again(&store, &put("k", "3")).await;
    // Those who have come back may vote once more.
    assert_eq!(answered(&store, "k").await.expect("it is there").value, "3");
    assert!(answered(&store, "absent").await.is_none());
}

#[tokio::test]
async fn it_says_what_it_promises() {
    let etcd = Etcd::start(3, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    let capabilities = store.capabilities();
    assert_eq!(capabilities.durability.failover, Some(true));
    assert_eq!(capabilities.server_settings["members"], "3");
    assert!(capabilities.server_settings["version"].starts_with("3."));
    let alone = Etcd::start(1, &Options::default()).await.unwrap();
    let store = open(&alone.endpoints(), "v2", &[]).await;
    assert_eq!(store.capabilities().durability.failover, None);
    store.ping().await.unwrap();
}
