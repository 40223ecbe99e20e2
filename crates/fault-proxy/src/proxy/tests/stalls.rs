//! Faults that leave connections open.

use std::time::Instant;

use super::{peers::MOMENT, *};
use crate::Direction::{self, *};

const NONE: Duration = Duration::ZERO;

fn blackhole(direction: Direction) -> Fault {
    Fault::Blackhole { direction }
}

#[tokio::test]
async fn a_delay_is_felt_once_in_each_direction_that_it_concerns() {
    let (_server, proxy, mut client) = chain().await;
    let latency = Duration::from_millis(60);
    for (direction, times) in [(ToServer, 1), (ToClient, 1), (Both, 2)] {
        proxy.set(Fault::Delay { direction, latency, jitter: NONE });
        let started = Instant::now();
        assert_eq!(client.ask("a").await, "ok a");
        assert!(started.elapsed() >= latency * times, "{direction:?} {:?}", started.elapsed());
    }
    assert_eq!(proxy.counts().hit, 3);
}

#[tokio::test]
async fn delayed_pieces_do_not_wait_for_each_other() {
    let (server, proxy, mut client) = chain().await;
    let latency = Duration::from_millis(500);
    proxy.set(Fault::Delay { direction: ToServer, latency, jitter: NONE });
    let started = Instant::now();
    let pieces = 20;
    for i in 0..pieces {
        client.send(&i.to_string()).await;
        // So that each is read as a piece of its own.
        sleep(Duration::from_millis(2)).await;
    }
    for i in 0..pieces {
        assert_eq!(client.line().await.unwrap().unwrap(), format!("ok {i}"));
    }
    assert!((latency..latency * pieces / 2).contains(&started.elapsed()));
    assert_eq!(server.lines().len(), 1 + pieces as usize);
}

#[tokio::test]
async fn jitter_keeps_the_order() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set(Fault::Delay { direction: Both, latency: NONE, jitter: Duration::from_millis(20) });
    let sent: Vec<_> = (0..50).map(|it| it.to_string()).collect();
    for it in &sent {
        client.send(it).await;
    }
    for it in &sent {
        assert_eq!(client.line().await.unwrap().unwrap(), format!("ok {it}"));
    }
}

#[tokio::test]
async fn healing_delivers_what_was_delayed() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set(Fault::Delay { direction: Both, latency: PATIENCE * 10, jitter: NONE });
    client.send("a").await;
    assert!(client.is_kept_waiting().await);
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), "ok a");
}

#[tokio::test]
async fn bandwidth_bounds_the_speed() {
    let (_server, proxy, mut client) = chain().await;
    let long = "x".repeat(50_000);
    proxy.set(Fault::Bandwidth { direction: ToServer, bytes_per_s: 200_000 });
    let started = Instant::now();
    assert_eq!(client.ask(&long).await, format!("ok {long}"));
    // A quarter of a second, less the burst that ends it.
    assert!(started.elapsed() >= Duration::from_millis(220), "{:?}", started.elapsed());
    assert_eq!(proxy.counts().hit, 1);
    proxy.set(Fault::Bandwidth { direction: Both, bytes_per_s: 0 });
    client.send(&long).await;
    assert!(client.is_kept_waiting().await);
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), format!("ok {long}"));
}

#[tokio::test]
async fn chopped_replies_come_in_single_bytes_and_are_whole() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set(Fault::Chop { direction: ToClient });
    let line = "0123456789".repeat(20);
    client.send(&line).await;
    let (mut reply, mut reads) = (Vec::new(), 0);
    while !reply.ends_with(b"\n") {
        let mut buffer = [0; 4096];
        let read = client.read(&mut buffer).await;
        reply.extend_from_slice(&buffer[..read]);
        reads += 1;
    }
    assert_eq!(reply, format!("ok {line}\n").as_bytes());
    // The kernel may join a few.
    assert!(reads > reply.len() / 2, "{reads} reads for {} bytes", reply.len());
    proxy.set(Fault::Chop { direction: Both });
    let long = "x".repeat(20_000);
    assert_eq!(client.ask(&long).await, format!("ok {long}"));
}

#[tokio::test]
async fn a_blackhole_withholds_requests_and_delivers_them_when_healed() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(blackhole(Both));
    assert_eq!(proxy.counts().hit, 0);
    client.send("a").await;
    assert!(client.is_kept_waiting().await);
    assert_eq!(server.lines(), ["hello"]);
    assert_eq!(proxy.counts(), Counts { accepted: 1, open: 1, hit: 1 });
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), "ok a");
    assert_eq!(client.ask("b").await, "ok b");
}

#[tokio::test]
async fn a_partition_towards_the_client_withholds_only_replies() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(blackhole(ToClient));
    client.send("a").await;
    let mut new = Client::connect(&proxy).await;
    new.send("b").await;
    eventually("the requests arrive", || server.lines().len() == 3).await;
    assert!(client.is_kept_waiting().await && new.is_kept_waiting().await);
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), "ok a");
    assert_eq!(new.line().await.unwrap().unwrap(), "ok b");
}

#[tokio::test]
async fn a_partition_towards_the_server_withholds_only_requests() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(blackhole(ToClient));
    client.send("a").await;
    eventually("the request arrives", || server.lines().len() == 2).await;
    // From one partition to the other: the reply may pass now, the next request may not.
    proxy.set(blackhole(ToServer));
    assert_eq!(client.line().await.unwrap().unwrap(), "ok a");
    client.send("b").await;
    assert!(client.is_kept_waiting().await);
    assert_eq!(server.lines(), ["hello", "a"]);
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), "ok b");
}

#[tokio::test]
async fn what_was_already_on_its_way_is_withheld_too() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::Delay { direction: ToServer, latency: PATIENCE * 10, jitter: NONE });
    client.send("a").await;
    eventually("it is on its way", || proxy.counts().hit == 1).await;
    proxy.set(blackhole(ToServer));
    assert!(client.is_kept_waiting().await);
    assert_eq!((server.lines().len(), proxy.counts().hit), (1, 2));
    proxy.heal();
    assert_eq!(client.line().await.unwrap().unwrap(), "ok a");
}

#[tokio::test]
async fn the_end_of_a_client_is_withheld_too() {
    let (server, proxy, client) = chain().await;
    proxy.set(blackhole(Both));
    drop(client);
    eventually("the end is noticed", || proxy.counts().hit == 1).await;
    assert_eq!(server.open(), 1);
    proxy.heal();
    eventually("the server hears of the end", || server.open() == 0).await;
}

#[tokio::test]
async fn more_is_withheld_than_a_network_holds_and_none_of_it_is_lost() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(blackhole(ToServer));
    let long = "x".repeat(20_000_000);
    let healing = async {
        sleep(MOMENT).await;
        assert_eq!(server.bytes(), "hello\n".len());
        proxy.heal();
    };
    let (reply, ()) = tokio::join!(client.ask(&long), healing);
    assert_eq!(reply.len(), "ok ".len() + long.len());
}

#[tokio::test]
async fn a_half_open_connection_is_served_when_the_fault_ends() {
    let (server, proxy, mut old) = chain().await;
    proxy.set(Fault::HalfOpen);
    let mut new = Client::connect(&proxy).await;
    new.send("new").await;
    assert!(new.is_kept_waiting().await);
    assert_eq!(old.ask("old").await, "ok old");
    assert_eq!((server.open(), proxy.counts().hit), (1, 1));
    proxy.heal();
    assert_eq!(new.line().await.unwrap().unwrap(), "ok new");
}
