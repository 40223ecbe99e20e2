use real_servers::{
    Certificates,
    postgres::{Options, Postgres},
    until,
};

#[tokio::test]
async fn what_was_committed_is_there_after_every_end() {
    let server = Postgres::start(&Options::default().durable().password("a b'c")).await.unwrap();
    server.run("CREATE TABLE t (n text)").await.unwrap();
    for end in ["kill", "abort"] {
        server.run(&format!("INSERT INTO t VALUES ('{end}')")).await.unwrap();
        match end {
            "kill" => server.process().kill().unwrap(),
            _ => server.process().abort().await.unwrap(),
        }
        assert!(server.client().await.is_err());
        server.process().restart().await.unwrap();
    }
    let all = server.ask("SELECT string_agg(n, ' ' ORDER BY n) FROM t").await.unwrap();
    assert_eq!(all, "abort kill");
}

#[tokio::test]
async fn a_standby_follows_and_can_be_promoted() {
    let primary = Postgres::start(&Options::default()).await.unwrap();
    let standby = primary.standby("one").await.unwrap();
    primary.run("CREATE TABLE t (n text); INSERT INTO t VALUES ('1')").await.unwrap();
    until("the row", || async { Ok(standby.ask("SELECT n FROM t").await? == "1") }).await.unwrap();
    assert!(standby.run("INSERT INTO t VALUES ('2')").await.is_err());
    let names = "SELECT application_name FROM pg_stat_replication";
    assert_eq!(primary.ask(names).await.unwrap(), "one");
    standby.ask("SELECT pg_promote()::text").await.unwrap();
    standby.run("INSERT INTO t VALUES ('2')").await.unwrap();
}

#[tokio::test]
async fn clients_without_tls_are_not_let_in_where_it_is_asked_for() {
    let options = Options::default().tls(Certificates::generate().unwrap());
    let server = Postgres::start(&options).await.unwrap();
    let refused = format!("{:#}", server.client().await.unwrap_err());
    assert!(refused.contains("no encryption"), "{refused}");
}

#[tokio::test]
async fn a_pause_stops_sessions_too() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let client = server.client().await.unwrap();
    server.process().pause().unwrap();
    let asking = client.query_one("SELECT 1", &[]);
    let answer = tokio::time::timeout(std::time::Duration::from_millis(300), asking).await;
    assert!(answer.is_err(), "it does not stand still");
    server.process().resume().unwrap();
    client.query_one("SELECT 1", &[]).await.unwrap();
}
