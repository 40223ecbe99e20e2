use real_servers::{
    Certificates,
    redis::{Cluster, Options, Reply},
};

#[tokio::test]
async fn a_key_is_where_its_slot_is() {
    let cluster = Cluster::start(3, 0, &Options::default()).await.unwrap();
    let slot = cluster.slot_of("k").await.unwrap();
    let right = cluster.primary_of(slot).await.unwrap();
    right.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    for wrong in cluster.nodes().iter().filter(|it| it.address() != right.address()) {
        let moved = format!("MOVED {slot} {}", right.address());
        assert_eq!(wrong.command(&["GET", "k"]).await.unwrap(), Reply::Error(moved));
    }
}

#[tokio::test]
async fn a_killed_primary_is_replaced_by_its_replica_and_comes_back_as_one() {
    let cluster = Cluster::start(3, 1, &Options::default()).await.unwrap();
    check_failover(&cluster, true).await;
}

#[tokio::test]
async fn a_paused_primary_is_replaced_with_a_password_and_tls() {
    let options = Options::default().password("a b").tls(Certificates::generate().unwrap());
    let cluster = Cluster::start(3, 1, &options).await.unwrap();
    check_failover(&cluster, false).await;
}

async fn check_failover(cluster: &Cluster, kill: bool) {
    let slot = cluster.slot_of("k").await.unwrap();
    let first = cluster.primary_of(slot).await.unwrap();
    let mut client = first.client().await.unwrap();
    client.ask(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    assert_eq!(client.ask(&["WAIT", "1", "5000"]).await.unwrap().integer().unwrap(), 1);
    let replica = cluster.replicas_of(slot).await.unwrap()[0];
    match kill {
        true => first.process().kill().unwrap(),
        false => first.process().pause().unwrap(),
    }
    let second = cluster.primary_after(first, slot).await.unwrap();
    assert_eq!(second.address(), replica.address());
    assert_eq!(second.command(&["GET", "k"]).await.unwrap().text().unwrap(), "v");
    match kill {
        true => first.process().restart().await.unwrap(),
        false => first.process().resume().unwrap(),
    }
    let follows = || async { Ok(!first.is_primary().await?) };
    real_servers::until("the old primary to follow", follows).await.unwrap();
    cluster.ok().await.unwrap();
}

#[tokio::test]
async fn a_slot_moves_step_by_step() {
    let options = Options::default().password("a b").tls(Certificates::generate().unwrap());
    let cluster = Cluster::start(3, 0, &options).await.unwrap();
    let slot = cluster.slot_of("{k}").await.unwrap();
    let source = cluster.primary_of(slot).await.unwrap();
    let target = cluster.nodes().iter().find(|it| it.address() != source.address()).unwrap();
    for key in ["{k}1", "{k}2", "{k}3"] {
        source.command(&["SET", key, key]).await.unwrap().ok().unwrap();
    }
    let migration = cluster.migrate(slot, target).await.unwrap();
    assert_eq!(migration.move_keys(2).await.unwrap(), 2);
    let ask = Reply::Error(format!("ASK {slot} {}", target.address()));
    assert_eq!(source.command(&["GET", "{k}none"]).await.unwrap(), ask);
    assert_eq!(cluster.primary_of(slot).await.unwrap().address(), source.address());
    assert_eq!(migration.move_keys(2).await.unwrap(), 1);
    assert_eq!(migration.move_keys(2).await.unwrap(), 0);
    migration.finish().await.unwrap();
    assert_eq!(cluster.primary_of(slot).await.unwrap().address(), target.address());
    for key in ["{k}1", "{k}2", "{k}3"] {
        assert_eq!(target.command(&["GET", key]).await.unwrap().text().unwrap(), key);
    }
    cluster.migrate(slot, source).await.unwrap().complete().await.unwrap();
    assert_eq!(cluster.primary_of(slot).await.unwrap().address(), source.address());
}
