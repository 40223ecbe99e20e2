use real_servers::{
    Certificates,
    redis::{Options, Replicated},
    until,
};

#[tokio::test]
async fn a_replica_has_what_the_primary_acknowledged_and_takes_no_writes() {
    check(&Options::default()).await;
}

#[tokio::test]
async fn replicas_follow_with_a_password_and_tls() {
    check(&Options::default().password("a b").tls(Certificates::generate().unwrap())).await;
}

async fn check(options: &Options) {
    let group = Replicated::start(2, options).await.unwrap();
    let mut client = group.primary().client().await.unwrap();
    client.ask(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    assert_eq!(client.ask(&["WAIT", "2", "5000"]).await.unwrap().integer().unwrap(), 2);
    for replica in group.replicas() {
        assert_eq!(replica.command(&["GET", "k"]).await.unwrap().text().unwrap(), "v");
        assert!(replica.command(&["SET", "k", "v"]).await.unwrap().ok().is_err());
    }
}

#[tokio::test]
async fn a_replica_that_was_killed_catches_up() {
    let group = Replicated::start(1, &Options::default()).await.unwrap();
    let replica = &group.replicas()[0];
    replica.process().kill().unwrap();
    group.primary().command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    replica.process().restart().await.unwrap();
    group.in_sync().await.unwrap();
    let has_value = || async { Ok(replica.command(&["GET", "k"]).await?.text()? == "v") };
    until("the value", has_value).await.unwrap();
}

#[tokio::test]
async fn a_replica_that_refuses_to_serve_old_values_starts_without_its_primary() {
    let options = Options::default().setting("replica-serve-stale-data", "no");
    let group = Replicated::start(1, &options).await.unwrap();
    let replica = &group.replicas()[0];
    group.primary().process().kill().unwrap();
    replica.process().restart().await.unwrap();
    assert!(replica.command(&["GET", "k"]).await.unwrap().text().is_err());
}
