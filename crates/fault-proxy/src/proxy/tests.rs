mod cuts;
mod peers;
mod stalls;

use std::time::Duration;

use tokio::runtime::Handle;

use super::*;
use peers::{Client, LineServer, PATIENCE, eventually};

/// A server, a proxy before it, and a client that has been answered once.
async fn chain() -> (LineServer, Proxy, Client) {
    let server = LineServer::start().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    assert_eq!(client.ask("hello").await, "ok hello");
    (server, proxy, client)
}

#[tokio::test]
async fn what_is_sent_passes_unchanged_in_both_directions() {
    let (server, proxy, mut client) = chain().await;
    let long = "x".repeat(3_000_000);
    assert_eq!(client.ask(&long).await, format!("ok {long}"));
    assert_eq!(server.lines(), ["hello", &long]);
    assert_eq!(proxy.counts(), Counts { accepted: 1, open: 1, hit: 0 });
}

#[tokio::test]
async fn the_end_of_requests_passes_and_replies_still_come() {
    let (_server, proxy, mut client) = chain().await;
    client.send("last").await;
    client.finish().await;
    assert_eq!(client.line().await.unwrap().unwrap(), "ok last");
    assert_eq!(client.line().await.unwrap(), None);
    eventually("the connection ends", || proxy.counts().open == 0).await;
}

#[tokio::test]
async fn the_end_of_a_client_reaches_the_server() {
    let (server, proxy, client) = chain().await;
    drop(client);
    eventually("the server has no connection", || server.open() == 0).await;
    eventually("nor has the proxy", || proxy.counts().open == 0).await;
}

#[tokio::test]
async fn the_end_of_a_server_reaches_the_client() {
    let (server, _proxy, mut client) = chain().await;
    drop(server);
    assert!(client.is_gone().await);
}

#[tokio::test]
async fn a_connection_to_a_server_that_is_not_there_is_reset() {
    let address = LineServer::start().await.address();
    let proxy = Proxy::start(address).await.unwrap();
    let mut client = Client::connect(&proxy).await;
    assert_eq!(client.line().await.unwrap_err().kind(), io::ErrorKind::ConnectionReset);
    eventually("the connection ends", || proxy.counts().open == 0).await;
}

#[tokio::test]
async fn a_dropped_proxy_leaves_no_task_and_no_socket() {
    let server = LineServer::start().await;
    let tasks = || Handle::current().metrics().num_alive_tasks();
    let before = tasks();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let address = proxy.address();
    let mut clients = Vec::new();
    for _ in 0..5 {
        clients.push(Client::connect(&proxy).await);
    }
    for it in &mut clients {
        it.ask("a").await;
    }
    proxy.set(Fault::HalfOpen);
    clients.push(Client::connect(&proxy).await);
    eventually("the last waits", || proxy.counts().hit == 1).await;
    proxy.set(Fault::Blackhole { direction: crate::Direction::Both });
    assert!(tasks() > before);

    let counters = proxy.counters.clone();
    drop(proxy);
    for it in &mut clients {
        assert!(it.is_gone().await);
    }
    eventually("all tasks end", || tasks() == before).await;
    assert_eq!(counters.open.load(Relaxed), 0);
    let again = tokio::net::TcpStream::connect(address).await;
    assert_eq!(again.unwrap_err().kind(), io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn a_share_of_the_connections_is_hit_and_the_same_for_the_same_seed() {
    async fn refused(seed: u64) -> Vec<bool> {
        let server = LineServer::start().await;
        let proxy = Proxy::start_with_seed(server.address(), seed).await.unwrap();
        proxy.set_one_in(3, Fault::Refuse);
        let mut refused = Vec::new();
        for _ in 0..30 {
            let mut client = Client::connect(&proxy).await;
            client.try_send("a").await;
            refused.push(!matches!(client.line().await, Ok(Some(_))));
        }
        let hit = refused.iter().filter(|it| **it).count();
        assert!((3..20).contains(&hit), "{hit}");
        assert_eq!(proxy.counts().hit, hit as u64);
        refused
    }
    assert_eq!(refused(1).await, refused(1).await);
    assert_ne!(refused(1).await, refused(2).await);
}

#[tokio::test]
async fn a_fault_for_one_in_none_does_nothing() {
    let (_server, proxy, mut client) = chain().await;
    for fault in [Fault::LoseReply, Fault::Reset] {
        proxy.set_one_in(0, fault);
        assert_eq!(client.ask("a").await, "ok a");
    }
    assert_eq!(proxy.counts().hit, 0);
}

#[tokio::test]
async fn two_faults_apply_with_a_proxy_before_a_proxy() {
    let (_server, inner, _) = chain().await;
    let outer = Proxy::start(inner.address()).await.unwrap();
    let latency = Duration::from_millis(50);
    let direction = crate::Direction::ToServer;
    outer.set(Fault::Delay { direction, latency, jitter: Duration::ZERO });
    inner.set(Fault::LoseReply);
    let started = std::time::Instant::now();
    let mut client = Client::connect(&outer).await;
    client.send("a").await;
    assert!(client.is_gone().await);
    assert!((latency..PATIENCE).contains(&started.elapsed()));
    assert_eq!((outer.counts().hit, inner.counts().hit), (1, 1));
}
