use real_servers::{
    Certificates,
    redis::{Client, Cluster, Options, Redis, Reply, Sentinels, command},
};
use tokio::sync::OnceCell;

/// Never dropped: it ends with this process.
static SHARED: OnceCell<Redis> = OnceCell::const_new();

async fn shared() -> &'static Redis {
    let start = || async { Redis::start(&Options::default()).await.unwrap() };
    SHARED.get_or_init(start).await
}

#[test]
fn a_server_outlives_the_runtime_in_which_it_was_started() {
    for _ in 0..2 {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let redis = shared().await;
            redis.command(&["PING"]).await.unwrap().text().unwrap();
            redis.process().restart().await.unwrap();
        });
    }
}

#[tokio::test]
async fn groups_start_at_the_same_time() {
    let options = Options::default();
    let clusters = [options.clone(), options.clone()]
        .map(|it| tokio::spawn(async move { Cluster::start(3, 1, &it).await }));
    let sentinels = tokio::spawn(async move {
        let group = Sentinels::start(3, 1, &options).await?;
        group.first_primary().process().kill()?;
        group.primary_after(group.first_primary()).await?.command(&["PING"]).await
    });
    for cluster in clusters {
        cluster.await.unwrap().unwrap();
    }
    sentinels.await.unwrap().unwrap();
}

#[tokio::test]
async fn replies_of_every_kind_are_understood() {
    let redis = Redis::start(&Options::default()).await.unwrap();
    let ask = async |words: &[&str]| command(redis.address(), words).await.unwrap();
    let bulk = |it: &str| Reply::Bulk(it.into());
    ask(&["RPUSH", "list", "a", "two\r\nlines"]).await.integer().unwrap();
    assert_eq!(ask(&["PING"]).await, Reply::Status("PONG".into()));
    assert_eq!(ask(&["LLEN", "list"]).await, Reply::Integer(2));
    assert_eq!(ask(&["GET", "none"]).await, Reply::Nil);
    assert_eq!(
        ask(&["LRANGE", "list", "0", "-1"]).await,
        Reply::Array(vec![bulk("a"), bulk("two\r\nlines")])
    );
    let Reply::Error(error) = ask(&["GET", "list"]).await else { panic!("not an error") };
    assert!(error.starts_with("WRONGTYPE "), "{error}");
}

#[tokio::test]
async fn settings_replace_what_would_be_there() {
    let options =
        Options::default().durable().setting("save", "\"60 1\"").setting("maxmemory", "9mb");
    let redis = Redis::start(&options).await.unwrap();
    for (name, value) in [("appendfsync", "always"), ("save", "60 1"), ("maxmemory", "9437184")] {
        let found = redis.command(&["CONFIG", "GET", name]).await.unwrap();
        let expected = [name, value].map(|it| Reply::Bulk(it.into()));
        assert_eq!(found, Reply::Array(expected.into()));
    }
}

#[tokio::test]
async fn a_password_is_asked_of_clients() {
    let password = r#"it is "so" \ #secret"#;
    let redis = Redis::start(&Options::default().password(password)).await.unwrap();
    let mut client = Client::connect(redis.address()).await.unwrap();
    let Reply::Error(error) = client.ask(&["PING"]).await.unwrap() else { panic!("not asked") };
    assert!(error.starts_with("NOAUTH "), "{error}");
    client.ask(&["AUTH", password]).await.unwrap().ok().unwrap();
    assert_eq!(client.ask(&["PING"]).await.unwrap().text().unwrap(), "PONG");
    assert_eq!(redis.command(&["PING"]).await.unwrap().text().unwrap(), "PONG");
}

#[tokio::test]
async fn tls_is_all_that_the_port_speaks() {
    let options = Options::default().tls(Certificates::generate().unwrap());
    let redis = Redis::start(&options).await.unwrap();
    assert!(command(redis.address(), &["PING"]).await.is_err());
    let certificates = options.certificates().unwrap();
    for with_certificate in [true, false] {
        assert_eq!(through_tls(&redis, certificates, with_certificate).await, "PONG\n");
    }
    redis.process().restart().await.unwrap();
    redis.command(&["CONFIG", "SET", "tls-auth-clients", "yes"]).await.unwrap().ok().unwrap();
    assert_eq!(through_tls(&redis, certificates, true).await, "PONG\n");
    assert_ne!(through_tls(&redis, certificates, false).await, "PONG\n");
}

/// What a client that is not ours prints.
async fn through_tls(redis: &Redis, certificates: &Certificates, with_certificate: bool) -> String {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("authority", &certificates.authority);
    write("client", &certificates.client);
    write("key", &certificates.client_key);
    let mut client = std::process::Command::new("redis-cli");
    client.current_dir(&folder).args([
        "-h",
        "127.0.0.1",
        "-p",
        &redis.address().port().to_string(),
    ]);
    client.args(["--tls", "--cacert", "authority"]);
    if with_certificate {
        client.args(["--cert", "client", "--key", "key"]);
    }
    String::from_utf8(client.arg("PING").output().unwrap().stdout).unwrap()
}
