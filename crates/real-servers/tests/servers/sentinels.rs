use real_servers::{
    Certificates,
    redis::{Options, Sentinels},
    until,
};

#[tokio::test]
async fn a_killed_primary_is_replaced_and_comes_back_as_a_replica() {
    let group = Sentinels::start(3, 2, &Options::default()).await.unwrap();
    let first = group.first_primary();
    assert_eq!(group.primary().await.unwrap().unwrap().address(), first.address());
    first.process().kill().unwrap();
    let second = group.primary_after(first).await.unwrap();
    second.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
    first.process().restart().await.unwrap();
    let follows = || async { Ok(first.command(&["GET", "k"]).await?.text()? == "v") };
    until("the old primary to follow", follows).await.unwrap();
    assert!(!first.is_primary().await.unwrap());
    // Both know their new roles by themselves.
    for node in [first, second] {
        node.process().restart().await.unwrap();
    }
    assert!(!first.is_primary().await.unwrap());
    assert!(second.is_primary().await.unwrap());
}

#[tokio::test]
async fn a_paused_primary_is_replaced_with_passwords_and_tls() {
    let options = Options::default().password("a b").sentinel_password("c d");
    let options = options.tls(Certificates::generate().unwrap());
    let group = Sentinels::start(3, 1, &options).await.unwrap();
    let first = group.first_primary();
    first.process().pause().unwrap();
    let second = group.primary_after(first).await.unwrap();
    second.command(&["SET", "k", "v"]).await.unwrap().ok().unwrap();
}

#[tokio::test]
async fn a_sentinel_that_was_killed_still_knows_the_primary() {
    let group = Sentinels::start(3, 1, &Options::default()).await.unwrap();
    let sentinel = group.sentinels()[0].process();
    sentinel.kill().unwrap();
    group.first_primary().process().kill().unwrap();
    // Two of three are enough.
    let second = group.primary_after(group.first_primary()).await.unwrap();
    sentinel.restart().await.unwrap();
    let is_announced = || async {
        let primary = group.primary().await?;
        Ok(primary.is_some_and(|it| it.address() == second.address()))
    };
    until("the sentinel to announce the new primary", is_announced).await.unwrap();
}
