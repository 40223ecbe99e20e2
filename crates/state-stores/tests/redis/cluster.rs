//! Cluster: keys are found wherever they are, and nothing is half done on the way.

use std::{sync::Arc, time::Duration};

use real_servers::redis::{Cluster, Options};
use state::{FailureKind, Outcome, Precondition, Read, Store, Write};

use crate::support::{
    delete, get, key, kind, matches, open_at, outcome, put, serves_again, strong, try_open, value,
    within,
};

async fn store(cluster: &Cluster, more: &[(&str, &str)]) -> Arc<dyn Store> {
    open_at(&cluster.addresses()[..1], &[&[("redisType", "cluster")], more].concat()).await
}

#[tokio::test]
async fn keys_of_one_request_may_be_on_all_servers_but_not_those_of_a_transaction() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let store = store(&cluster, &[]).await;
    let writes: Vec<Write> = (0..200).map(|it| put(&format!("app||k{it}"), "1")).collect();
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    for node in cluster.nodes() {
        let len = node.command(&["DBSIZE"]).await.unwrap().integer().unwrap();
        assert!(len > 20, "only {len} of 200 keys");
    }
    let reads: Vec<Read> = (0..200).map(|it| Read::new(key(&format!("app||k{it}")))).collect();
    assert!(store.get_many(&reads).await.iter().all(|it| matches!(it, Ok(Some(_)))));

    // Pages go on where they ended, over all servers.
    let (mut seen, mut after) = (Vec::new(), None);
    loop {
        let page = store.list("app||k", after.as_ref(), 33).await.unwrap();
        seen.extend(page.keys.iter().map(|it| it.as_str().to_owned()));
        after = page.keys.last().cloned();
        if !page.more {
            break;
        }
    }
    let mut expected: Vec<_> = (0..200).map(|it| format!("app||k{it}")).collect();
    expected.sort();
    assert_eq!(seen, expected);

    let error = store.transact(&[put("app||k0", "2"), put("app||k1", "2")]).await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Invalid);
    for word in ["app||k0", "app||k1", "hashTag", "keyPrefix"] {
        assert!(error.to_string().contains(word), "{error}");
    }
    assert_eq!(value(&store, "app||k0").await, "1");
    // Keys with a common tag may be changed together.
    store.transact(&[put("app||{x}1", "2"), delete("app||{x}2")]).await.unwrap();
    store.transact(&[put("{app}||k0", "2"), put("{app}||k1", "2")]).await.unwrap();
}

#[tokio::test]
async fn with_tags_all_keys_of_an_application_can_be_changed_at_once() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let store = store(&cluster, &[("hashTag", "app")]).await;
    let writes: Vec<Write> = (0..50).map(|it| put(&format!("app||k{it}"), "1")).collect();
    store.transact(&writes).await.unwrap();
    assert_eq!(value(&store, "app||k7").await, "1");
    let page = store.list("app||", None, 100).await.unwrap();
    assert_eq!((page.keys.len(), page.more), (50, false));
    assert_eq!(page.keys[0].as_str(), "app||k0");
    let failing = [put("app||k1", "2"), put("app||k2", "2").when(Precondition::Absent)];
    let error = store.transact(&failing).await.unwrap_err();
    assert!(error.is_conflict());
    assert_eq!(value(&store, "app||k1").await, "1");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slot_that_moves_can_be_read_and_written_all_the_time() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let store = store(&cluster, &[]).await;
    let names: Vec<String> = (0..40).map(|it| format!("{{tag}}{it}")).collect();
    for name in &names {
        store.write(&put(name, "1")).await.unwrap();
    }
    let slot = cluster.slot_of("{tag}").await.unwrap();
    let source = cluster.primary_of(slot).await.unwrap();
    let target = cluster.nodes().iter().find(|it| it.address() != source.address()).unwrap();
    let migration = cluster.migrate(slot, target).await.unwrap();
    // Half of the keys are gone from where the slot still is.
    migration.move_keys(20).await.unwrap();
    for name in &names {
        assert_eq!(value(&store, name).await, "1");
        store.write(&put(name, "2")).await.unwrap();
    }
    store.write(&put("{tag}new", "1").when(Precondition::Absent)).await.unwrap();
    store.write(&strong(put(&names[0], "3"))).await.unwrap();
    let writes: Vec<Write> = names.iter().map(|it| put(it, "3")).collect();
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    let etag = crate::support::etag(&store, &names[0]).await;
    store.write(&put(&names[0], "4").when(matches(&etag))).await.unwrap();
    let stale = store.write(&put(&names[0], "5").when(matches(&etag))).await;
    assert_eq!(outcome(stale), Outcome::Conflict);
    // A transaction whose keys are in two places is for later, and leaves them alone.
    let both: Vec<Write> = names.iter().map(|it| put(it, "9")).collect();
    let error = store.transact(&both).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert_eq!(value(&store, &names[1]).await, "3");

    migration.complete().await.unwrap();
    for name in &names {
        assert_ne!(value(&store, name).await, "9");
    }
    store.transact(&both).await.unwrap();
    let len = target.command(&["CLUSTER", "COUNTKEYSINSLOT", &slot.to_string()]).await.unwrap();
    assert_eq!(len.integer().unwrap(), 41);
    let page = store.list("{tag}", None, 100).await.unwrap();
    assert_eq!(page.keys.len(), 41);
}

#[tokio::test]
async fn nothing_is_half_done_in_a_slot_that_moves() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let store = store(&cluster, &[]).await;
    let slot = cluster.slot_of("{tag}").await.unwrap();
    let source = cluster.primary_of(slot).await.unwrap();
    store.transact(&[put("{tag}a", "1"), put("{tag}b", "1")]).await.unwrap();
    crate::support::arrange(source, &[&["SET", "{tag}legacy", "old"]]).await;
    let target = cluster.nodes().iter().find(|it| it.address() != source.address()).unwrap();
    let migration = cluster.migrate(slot, target).await.unwrap();
    // A key that is removed on the way could not be written again there.
    let writes = [delete("{tag}a"), put("{tag}a", "2"), put("{tag}b", "2"), delete("{tag}b")];
    let written = store.transact(&writes).await.unwrap();
    assert_eq!(value(&store, "{tag}a").await, "2");
    assert_eq!(
        crate::support::etag(&store, "{tag}a").await,
        written[1].etag.as_ref().unwrap().as_str()
    );
    assert_eq!(get(&store, "{tag}b").await, None);
    // Nor can one that has to change its form, which therefore is for later.
    for write in [put("{tag}legacy", "new"), put("{tag}a", "3")] {
        let both = [write, put("{tag}legacy", "newer")];
        let error = store.transact(&both).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    }
    assert_eq!(value(&store, "{tag}legacy").await, "old");
    assert_eq!(value(&store, "{tag}a").await, "2");
    migration.complete().await.unwrap();
    store.write(&put("{tag}legacy", "new")).await.unwrap();
    assert_eq!(value(&store, "{tag}legacy").await, "new");
}

#[tokio::test]
async fn keys_with_odd_braces_can_change_their_form_unless_they_are_on_their_way() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let store = store(&cluster, &[]).await;
    for name in ["foo{}{bar}", "a}b", "}{x}", "{}"] {
        let slot = cluster.slot_of(name).await.unwrap();
        let source = cluster.primary_of(slot).await.unwrap();
        crate::support::arrange(source, &[&["SET", name, "old"]]).await;
        store.write(&put(name, "new")).await.unwrap();
        assert_eq!(value(&store, name).await, "new");

        crate::support::arrange(source, &[&["DEL", name], &["SET", name, "old"]]).await;
        let target = cluster.nodes().iter().find(|it| it.address() != source.address()).unwrap();
        let migration = cluster.migrate(slot, target).await.unwrap();
        let error = store.write(&put(name, "newer")).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{name}: {error}");
        assert_eq!(value(&store, name).await, "old");
        migration.complete().await.unwrap();
        store.write(&put(name, "newer")).await.unwrap();
    }
}

#[tokio::test]
async fn a_strong_write_to_a_slot_that_moves_waits_for_the_replicas_there() {
    let cluster = Cluster::start(3, 1, &Options::default()).await.unwrap();
    let store = store(&cluster, &[]).await;
    let slot = cluster.slot_of("{tag}").await.unwrap();
    let source = cluster.primary_of(slot).await.unwrap();
    let others = cluster.nodes()[..3].iter();
    let target = others.clone().find(|it| it.address() != source.address()).unwrap();
    let migration = cluster.migrate(slot, target).await.unwrap();
    store.write(&strong(put("{tag}new", "1"))).await.unwrap();
    let there = cluster.slot_of("{tag}").await.unwrap();
    assert_eq!(there, slot);
    let of_target = (0..16384).step_by(50);
    let mut replicas = Vec::new();
    for slot in of_target {
        if cluster.primary_of(slot).await.unwrap().address() == target.address() {
            replicas = cluster.replicas_of(slot).await.unwrap();
            break;
        }
    }
    replicas[0].process().pause().unwrap();
    let error = store.write(&strong(put("{tag}new", "2"))).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::Unknown, "{error}");
    assert!(error.to_string().contains("0 of 1 replicas"), "{error}");
    replicas[0].process().resume().unwrap();
    serves_again(&store, &strong(put("{tag}new", "3"))).await;
    migration.complete().await.unwrap();
    assert_eq!(value(&store, "{tag}new").await, "3");
}

#[tokio::test]
async fn an_eventual_read_does_not_miss_a_key_that_is_on_its_way() {
    let cluster = Cluster::start(3, 1, &Options::default()).await.unwrap();
    let store = store(&cluster, &[("readFrom", "replica")]).await;
    let names: Vec<String> = (0..10).map(|it| format!("{{tag}}{it}")).collect();
    for name in &names {
        store.write(&put(name, "1")).await.unwrap();
    }
    let slot = cluster.slot_of("{tag}").await.unwrap();
    let source = cluster.primary_of(slot).await.unwrap();
    let replica = cluster.replicas_of(slot).await.unwrap()[0];
    within(Duration::from_secs(10), "replicas are read", async || {
        let _ = store.get(&Read::new(key(&names[0]))).await;
        crate::support::calls(replica, "evalsha").await > 0
    })
    .await;
    let target = cluster.nodes()[..3].iter().find(|it| it.address() != source.address()).unwrap();
    let migration = cluster.migrate(slot, target).await.unwrap();
    migration.move_keys(5).await.unwrap();
    let reads: Vec<Read> = names.iter().map(|it| Read::new(key(it))).collect();
    for _ in 0..10 {
        for item in store.get_many(&reads).await {
            assert!(item.unwrap().is_some());
        }
    }
    migration.complete().await.unwrap();
}

#[tokio::test]
async fn rights_are_checked_on_every_server_of_a_cluster() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    for node in cluster.nodes() {
        let user = ["ACL", "SETUSER", "app", "on", ">secret", "~*", "+@all"];
        crate::support::arrange(node, &[&user]).await;
    }
    let last = &cluster.nodes()[2];
    crate::support::arrange(last, &[&["ACL", "SETUSER", "app", "-persist"]]).await;
    let address = cluster.addresses()[0].to_string();
    let login = [("redisUsername", "app"), ("redisPassword", "secret")];
    let all = [&[("redisHost", address.as_str()), ("redisType", "cluster")][..], &login].concat();
    let error = try_open(&all).await.unwrap_err();
    assert!(error.to_string().contains("permit +persist"), "{error}");
    crate::support::arrange(last, &[&["ACL", "SETUSER", "app", "+persist"]]).await;
    try_open(&all).await.unwrap();
}

#[tokio::test]
async fn a_primary_that_dies_is_replaced_without_a_restart() {
    let cluster = Cluster::start(3, 1, &Options::default().durable()).await.unwrap();
    let store = store(&cluster, &[]).await;
    store.write(&strong(put("k", "1"))).await.unwrap();
    let slot = cluster.slot_of("k").await.unwrap();
    let first = cluster.primary_of(slot).await.unwrap();
    first.process().kill().unwrap();
    let error = store.write(&put("k", "2")).await;
    if let Err(e) = error {
        assert_ne!(e.outcome(), Outcome::Conflict);
    }
    cluster.primary_after(first, slot).await.unwrap();
    cluster.ok().await.unwrap();
    serves_again(&store, &put("k2", "1")).await;
    serves_again(&store, &put("k", "3")).await;
    first.process().restart().await.unwrap();
    assert_eq!(value(&store, "k").await, "3");
}

#[tokio::test]
async fn a_primary_that_stands_still_is_left_as_soon_as_there_is_another() {
    let cluster = Cluster::start(3, 1, &Options::default()).await.unwrap();
    let store = store(&cluster, &[("readTimeout", "20s")]).await;
    store.write(&put("k", "1")).await.unwrap();
    let slot = cluster.slot_of("k").await.unwrap();
    let first = cluster.primary_of(slot).await.unwrap();
    first.process().pause().unwrap();
    let waiting = store.clone();
    let waiting = tokio::spawn(async move { waiting.write(&put("k", "2")).await });
    within(Duration::from_secs(20), "another primary", async || {
        let views = cluster.nodes().iter().filter(|it| it.address() != first.address());
        let mut others = 0;
        for node in views {
            let nodes = node.command(&["CLUSTER", "NODES"]).await.unwrap().text().unwrap();
            let port = format!(":{}@", first.address().port());
            let old = nodes.lines().find(|it| it.contains(&port)).unwrap();
            others += usize::from(old.contains("fail") && !old.contains("fail?"));
        }
        others == cluster.nodes().len() - 1
    })
    .await;
    serves_again(&store, &put("k", "3")).await;
    let error = tokio::time::timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
    if let Err(e) = error {
        assert_eq!(e.outcome(), Outcome::Unknown, "{e}");
    }
    first.process().resume().unwrap();
    within(Duration::from_secs(20), "the old primary follows", async || {
        first.is_primary().await.is_ok_and(|it| !it)
    })
    .await;
    assert!(get(&store, "k").await.is_some());
    store.write(&put("k", "4")).await.unwrap();
}

#[tokio::test]
async fn a_server_without_a_cluster_is_no_cluster_and_the_other_way_round() {
    let server = real_servers::redis::Redis::start(&Options::default()).await.unwrap();
    let address = server.address().to_string();
    let error = try_open(&[("redisHost", &address), ("redisType", "cluster")]).await.unwrap_err();
    assert!(error.to_string().contains("redisType"), "{error}");
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let address = cluster.addresses()[0].to_string();
    let error = try_open(&[("redisHost", &address)]).await.unwrap_err();
    assert!(error.to_string().contains("redisType"), "{error}");
}
