//! A plain Redis that flushes every write before it answers.

use fault_proxy::{AtMark, Direction, Fault, Proxy};
use real_servers::{
    PATIENCE,
    redis::{Client, Options, Redis, Reply},
    until,
};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt},
    time::{error::Elapsed, timeout},
};

use crate::MOMENT;

/// Redis, a proxy before it, and a client of each.
struct Chain {
    redis: Redis,
    proxy: Proxy,
    far: Client,
    near: Client,
}

/// `near` does not go through the proxy. Both have been answered.
async fn chain() -> Chain {
    let redis = Redis::start(&Options::default().durable()).await.unwrap();
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let mut far = Client::connect(proxy.address()).await.unwrap();
    let near = Client::connect(redis.address()).await.unwrap();
    assert_eq!(ask(&mut far, &["SET", "k", "old"]).await, "OK");
    Chain { redis, proxy, far, near }
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_applied_and_unanswered() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::LoseReply);
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert_eq!(rest(&mut far).await, b"");
    assert_eq!(ask(&mut near, &["GET", "k"]).await, "new");
    assert_eq!(proxy.counts().hit, 1);
}

#[tokio::test]
async fn only_the_reply_to_the_marked_command_is_lost() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::OnMark { mark: b"EVAL\r\n".into(), then: AtMark::LoseReply });
    assert_eq!(ask(&mut far, &["GET", "k"]).await, "old");
    assert_eq!(ask(&mut far, &["SET", "k", "new"]).await, "OK");
    far.send(&["EVAL", "return redis.call('SET', KEYS[1], 'script')", "1", "k"]).await.unwrap();
    assert_eq!(rest(&mut far).await, b"");
    assert_eq!(ask(&mut near, &["GET", "k"]).await, "script");
}

#[tokio::test]
async fn a_write_that_is_cut_before_it_is_forwarded_is_not_applied() {
    let cuts = [
        Fault::CutAfter { direction: Direction::ToServer, bytes: 0 },
        Fault::CutAfter { direction: Direction::ToServer, bytes: 20 },
        Fault::OnMark { mark: b"SET".into(), then: AtMark::Cut },
    ];
    let Chain { redis, proxy, mut near, .. } = chain().await;
    for cut in cuts {
        let mut far = Client::connect(proxy.address()).await.unwrap();
        assert_eq!(ask(&mut far, &["PING"]).await, "PONG");
        proxy.set(cut);
        far.send(&["SET", "k", "new"]).await.unwrap();
        assert!(is_cut(far.reply().await));
        // By now the server has read the piece that was forwarded, if any, and the end of it.
        near_is_alone(&redis).await;
        assert_eq!(ask(&mut near, &["GET", "k"]).await, "old");
        proxy.heal();
    }
    assert_eq!(proxy.counts().hit, 3);
}

#[tokio::test]
async fn a_blackhole_withholds_a_write_until_it_is_healed() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(is_kept_waiting(&mut far).await);
    assert_eq!(ask(&mut near, &["GET", "k"]).await, "old");
    proxy.heal();
    assert_eq!(far.reply().await.unwrap(), ok());
    assert_eq!(ask(&mut near, &["GET", "k"]).await, "new");
}

#[tokio::test]
async fn a_partition_towards_the_client_withholds_only_the_reply() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::ToClient });
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(is_kept_waiting(&mut far).await);
    assert_eq!(ask(&mut near, &["GET", "k"]).await, "new");
    proxy.heal();
    assert_eq!(far.reply().await.unwrap(), ok());
}

#[tokio::test]
async fn chopped_commands_are_understood() {
    let Chain { redis: _redis, proxy, mut far, .. } = chain().await;
    proxy.set(Fault::Chop { direction: Direction::Both });
    let long = "x".repeat(5_000);
    assert_eq!(ask(&mut far, &["SET", "k", &long]).await, "OK");
    assert_eq!(ask(&mut far, &["GET", "k"]).await, long);
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9_and_clients_connect_again() {
    let Chain { redis, proxy, mut far, .. } = chain().await;
    for i in 0..50 {
        assert_eq!(ask(&mut far, &["SET", &format!("k{i}"), &i.to_string()]).await, "OK");
    }
    redis.process().kill().unwrap();
    assert!(is_cut(far.ask(&["GET", "k0"]).await));
    // There is nobody behind the proxy.
    let mut early = Client::connect(proxy.address()).await.unwrap();
    assert!(is_cut(early.ask(&["GET", "k0"]).await));
    redis.process().restart().await.unwrap();
    let mut far = Client::connect(proxy.address()).await.unwrap();
    for i in 0..50 {
        assert_eq!(ask(&mut far, &["GET", &format!("k{i}")]).await, i.to_string());
    }
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let Chain { redis, proxy, mut far, .. } = chain().await;
    redis.process().pause().unwrap();
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(is_kept_waiting(&mut far).await);
    redis.process().resume().unwrap();
    assert_eq!(far.reply().await.unwrap(), ok());
    assert_eq!(proxy.counts().hit, 0);
}

fn ok() -> Reply {
    Reply::Status("OK".into())
}

/// A reply that is text.
async fn ask(client: &mut Client, words: &[&str]) -> String {
    client.ask(words).await.unwrap().text().unwrap()
}

/// Whether the connection has ended. That nothing comes is another matter.
fn is_cut(reply: anyhow::Result<Reply>) -> bool {
    reply.is_err_and(|e| !e.is::<Elapsed>())
}

/// Whether nothing comes, not even an end, for a moment.
async fn is_kept_waiting(client: &mut Client) -> bool {
    timeout(MOMENT, client.stream().fill_buf()).await.is_err()
}

/// What comes before the end.
async fn rest(client: &mut Client) -> Vec<u8> {
    let mut rest = Vec::new();
    let read = timeout(PATIENCE, client.stream().read_to_end(&mut rest)).await;
    read.expect("it does not end").unwrap();
    rest
}

/// Waits until `near` is the only client that is left.
async fn near_is_alone(redis: &Redis) {
    let alone = || async {
        // One is who asks.
        Ok(redis.command(&["CLIENT", "LIST"]).await?.text()?.lines().count() == 2)
    };
    until("the end of the other clients", alone).await.unwrap();
}
