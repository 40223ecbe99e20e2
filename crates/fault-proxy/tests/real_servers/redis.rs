//! A plain Redis that flushes every write before it answers.

use std::{
    io::{self, ErrorKind},
    net::SocketAddr,
    path::Path,
    process::Command,
};

use fault_proxy::{AtMark, Direction, Fault, Proxy};
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use crate::process::{Kind, MOMENT, PATIENCE, Process};

struct Redis;

impl Kind for Redis {
    const PROGRAM: &str = "redis-server";
    const PACKAGE: &str = "redis-server";

    fn configure(command: &mut Command, address: SocketAddr, folder: &Path) {
        let port = address.port().to_string();
        command.args(["--port", &port, "--bind", "127.0.0.1", "--save", ""]);
        command.args(["--appendonly", "yes", "--appendfsync", "always", "--dir"]).arg(folder);
    }

    async fn answers(address: SocketAddr) -> bool {
        // While it loads, it answers with an error.
        let Ok(mut client) = Client::connect(address).await else { return false };
        matches!(client.ask(&["PING"]).await.as_deref(), Ok("PONG"))
    }
}

/// Enough of a client to see what is lost.
struct Client(BufReader<TcpStream>);

impl Client {
    async fn connect(address: SocketAddr) -> io::Result<Client> {
        Ok(Client(BufReader::new(TcpStream::connect(address).await?)))
    }

    async fn send(&mut self, words: &[&str]) -> io::Result<()> {
        let mut request = format!("*{}\r\n", words.len());
        for word in words {
            request += &format!("${}\r\n{word}\r\n", word.len());
        }
        self.0.write_all(request.as_bytes()).await
    }

    /// A reply that is a word, or `nil`.
    async fn reply(&mut self) -> io::Result<String> {
        timeout(PATIENCE, async {
            let head = self.line().await?;
            match head.split_at(1) {
                ("+", word) => Ok(word.to_owned()),
                ("$", "-1") => Ok("nil".to_owned()),
                ("$", _) => self.line().await,
                _ => Err(io::Error::other(head)),
            }
        })
        .await
        .expect("nothing comes")
    }

    async fn line(&mut self) -> io::Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await?;
        let line = line.strip_suffix("\r\n").ok_or(ErrorKind::UnexpectedEof)?;
        Ok(line.to_owned())
    }

    async fn ask(&mut self, words: &[&str]) -> io::Result<String> {
        self.send(words).await?;
        self.reply().await
    }

    /// Whether nothing comes, not even an end, for a moment.
    async fn is_kept_waiting(&mut self) -> bool {
        timeout(MOMENT, self.0.fill_buf()).await.is_err()
    }

    /// What comes before the end.
    async fn rest(&mut self) -> io::Result<Vec<u8>> {
        let mut rest = Vec::new();
        timeout(PATIENCE, self.0.read_to_end(&mut rest)).await.expect("it does not end")?;
        Ok(rest)
    }
}

/// Redis, a proxy before it, and a client of each.
struct Chain {
    redis: Process,
    proxy: Proxy,
    far: Client,
    near: Client,
}

/// `near` does not go through the proxy. Both have been answered.
async fn chain() -> Chain {
    let redis = Process::start::<Redis>().await;
    let proxy = Proxy::start(redis.address()).await.unwrap();
    let mut far = Client::connect(proxy.address()).await.unwrap();
    let near = Client::connect(redis.address()).await.unwrap();
    assert_eq!(far.ask(&["SET", "k", "old"]).await.unwrap(), "OK");
    Chain { redis, proxy, far, near }
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_applied_and_unanswered() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::LoseReply);
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert_eq!(far.rest().await.unwrap(), b"");
    assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "new");
    assert_eq!(proxy.counts().hit, 1);
}

#[tokio::test]
async fn only_the_reply_to_the_marked_command_is_lost() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::OnMark { mark: b"EVAL\r\n".into(), then: AtMark::LoseReply });
    assert_eq!(far.ask(&["GET", "k"]).await.unwrap(), "old");
    assert_eq!(far.ask(&["SET", "k", "new"]).await.unwrap(), "OK");
    far.send(&["EVAL", "return redis.call('SET', KEYS[1], 'script')", "1", "k"]).await.unwrap();
    assert_eq!(far.rest().await.unwrap(), b"");
    assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "script");
}

#[tokio::test]
async fn a_write_that_is_cut_before_it_is_forwarded_is_not_applied() {
    let cuts = [
        Fault::CutAfter { direction: Direction::ToServer, bytes: 0 },
        Fault::CutAfter { direction: Direction::ToServer, bytes: 20 },
        Fault::OnMark { mark: b"SET".into(), then: AtMark::Cut },
    ];
    let Chain { redis: _redis, proxy, mut near, .. } = chain().await;
    for cut in cuts {
        let mut far = Client::connect(proxy.address()).await.unwrap();
        assert_eq!(far.ask(&["PING"]).await.unwrap(), "PONG");
        proxy.set(cut);
        far.send(&["SET", "k", "new"]).await.unwrap();
        assert!(far.reply().await.is_err());
        // By now the server has read the piece that was forwarded, if any, and the end of it.
        near_is_alone(&mut near).await;
        assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "old");
        proxy.heal();
    }
    assert_eq!(proxy.counts().hit, 3);
}

#[tokio::test]
async fn a_blackhole_withholds_a_write_until_it_is_healed() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(far.is_kept_waiting().await);
    assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "old");
    proxy.heal();
    assert_eq!(far.reply().await.unwrap(), "OK");
    assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "new");
}

#[tokio::test]
async fn a_partition_towards_the_client_withholds_only_the_reply() {
    let Chain { redis: _redis, proxy, mut far, mut near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::ToClient });
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(far.is_kept_waiting().await);
    assert_eq!(near.ask(&["GET", "k"]).await.unwrap(), "new");
    proxy.heal();
    assert_eq!(far.reply().await.unwrap(), "OK");
}

#[tokio::test]
async fn chopped_commands_are_understood() {
    let Chain { redis: _redis, proxy, mut far, .. } = chain().await;
    proxy.set(Fault::Chop { direction: Direction::Both });
    let long = "x".repeat(5_000);
    assert_eq!(far.ask(&["SET", "k", &long]).await.unwrap(), "OK");
    assert_eq!(far.ask(&["GET", "k"]).await.unwrap(), long);
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9_and_clients_connect_again() {
    let Chain { mut redis, proxy, mut far, .. } = chain().await;
    for i in 0..50 {
        assert_eq!(far.ask(&["SET", &format!("k{i}"), &i.to_string()]).await.unwrap(), "OK");
    }
    redis.kill();
    assert!(far.ask(&["GET", "k0"]).await.is_err());
    // There is nobody behind the proxy.
    let mut early = Client::connect(proxy.address()).await.unwrap();
    assert!(early.ask(&["GET", "k0"]).await.is_err());
    redis.restart::<Redis>().await;
    let mut far = Client::connect(proxy.address()).await.unwrap();
    for i in 0..50 {
        assert_eq!(far.ask(&["GET", &format!("k{i}")]).await.unwrap(), i.to_string());
    }
}

#[tokio::test]
async fn a_paused_server_answers_when_it_is_resumed() {
    let Chain { redis, proxy, mut far, .. } = chain().await;
    redis.pause();
    far.send(&["SET", "k", "new"]).await.unwrap();
    assert!(far.is_kept_waiting().await);
    redis.resume();
    assert_eq!(far.reply().await.unwrap(), "OK");
    assert_eq!(proxy.counts().hit, 0);
}

/// Waits until the server has no other client.
async fn near_is_alone(near: &mut Client) {
    let alone = async {
        loop {
            near.send(&["CLIENT", "LIST"]).await.unwrap();
            let bytes: usize = near.line().await.unwrap()[1..].parse().unwrap();
            let mut list = vec![0; bytes + 2];
            near.0.read_exact(&mut list).await.unwrap();
            if list.iter().filter(|it| **it == b'\n').count() == 2 {
                return;
            }
        }
    };
    timeout(PATIENCE, alone).await.expect("another client stays connected");
}
