//! Faults that end connections.

use super::{peers::MOMENT, *};
use crate::{AtMark, Direction::*};

fn mark(mark: &str, then: AtMark) -> Fault {
    Fault::OnMark { mark: mark.into(), then }
}

async fn reset(client: &mut Client) -> bool {
    client.line().await.is_err_and(|it| it.kind() == io::ErrorKind::ConnectionReset)
}

/// That new connections work.
async fn answers(proxy: &Proxy) {
    assert_eq!(Client::connect(proxy).await.ask("again").await, "ok again");
}

#[tokio::test]
async fn a_lost_reply_leaves_the_whole_request_at_the_server_and_the_client_with_nothing() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::LoseReply);
    let long = "x".repeat(300_000);
    client.send(&long).await;
    assert_eq!(client.rest().await.unwrap(), "");
    assert_eq!(server.lines(), ["hello", &long]);
    assert_eq!(proxy.counts().hit, 1);
    proxy.heal();
    answers(&proxy).await;
}

#[tokio::test]
async fn a_reply_that_is_waited_for_when_the_fault_is_set_is_lost() {
    let (server, proxy, mut client) = chain().await;
    // Delivered as soon as another fault takes its place.
    let (latency, jitter) = (PATIENCE, Duration::ZERO);
    proxy.set(Fault::Delay { direction: ToServer, latency, jitter });
    client.send("a").await;
    eventually("the request is on its way", || proxy.counts().hit == 1).await;
    assert_eq!(server.lines(), ["hello"]);
    proxy.set(Fault::LoseReply);
    assert_eq!(client.rest().await.unwrap(), "");
    assert_eq!(server.lines(), ["hello", "a"]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_share_of_the_replies_is_lost_and_every_request_arrives() {
    let server = LineServer::start().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    proxy.set_one_in(4, Fault::LoseReply);
    let (mut client, mut lost) = (Client::connect(&proxy).await, 0);
    for i in 0..200 {
        client.send(&i.to_string()).await;
        match client.line().await.unwrap() {
            Some(reply) => assert_eq!(reply, format!("ok {i}")),
            None => {
                lost += 1;
                client = Client::connect(&proxy).await;
            }
        }
    }
    assert!((20..90).contains(&lost), "{lost}");
    assert_eq!(proxy.counts().hit, lost);
    assert_eq!(server.lines().len(), 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fault_applies_to_what_is_sent_right_after_it_was_set() {
    let (server, proxy, mut client) = chain().await;
    for i in 1..200 {
        proxy.heal();
        assert_eq!(client.ask("kept").await, "ok kept");
        proxy.set(Fault::LoseReply);
        client.send("lost").await;
        assert_eq!(client.rest().await.unwrap(), "");
        assert_eq!(server.lines().len(), 1 + 2 * i);
        client = Client::connect(&proxy).await;
    }
}

#[tokio::test]
async fn a_connection_is_cut_before_its_request_is_begun() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::CutAfter { direction: ToServer, bytes: 0 });
    assert!(client.is_kept_waiting().await);
    client.send("never").await;
    assert!(client.is_gone().await);
    eventually("the server hears of the end", || server.open() == 0).await;
    assert_eq!(server.bytes(), "hello\n".len());
    assert_eq!(proxy.counts().hit, 1);
    proxy.heal();
    answers(&proxy).await;
}

#[tokio::test]
async fn a_request_is_cut_after_some_bytes() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::CutAfter { direction: ToServer, bytes: 7 });
    assert_eq!(client.ask("12").await, "ok 12");
    client.send("4567890").await;
    assert!(client.is_gone().await);
    eventually("the server hears of the end", || server.open() == 0).await;
    assert_eq!(server.bytes(), "hello\n".len() + 7);
    assert_eq!(server.lines(), ["hello", "12"]);
}

#[tokio::test]
async fn a_reply_is_cut_after_some_bytes() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set(Fault::CutAfter { direction: ToClient, bytes: 4 });
    client.send("abc").await;
    assert_eq!(client.rest().await.unwrap(), "ok a");
}

#[tokio::test]
async fn a_mark_cuts_its_request_and_spares_those_before() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(mark("COMMIT", AtMark::Cut));
    assert_eq!(client.ask("BEGIN").await, "ok BEGIN");
    client.write("one\nCOMMIT 1\n").await.unwrap();
    assert!(matches!(client.rest().await.as_deref(), Ok("" | "ok one\n") | Err(_)));
    eventually("the server hears of the end", || server.open() == 0).await;
    assert_eq!(server.lines(), ["hello", "BEGIN", "one"]);
    assert_eq!(server.bytes(), "hello\nBEGIN\none\n".len());
    assert_eq!(proxy.counts().hit, 1);
}

#[tokio::test]
async fn a_mark_across_two_reads_cuts_too() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(mark("COMMIT", AtMark::Cut));
    client.write("COM").await.unwrap();
    eventually("the first piece is there", || server.bytes() == "hello\nCOM".len()).await;
    client.write("MIT\n").await.unwrap();
    assert!(client.is_gone().await);
    eventually("the server hears of the end", || server.open() == 0).await;
    assert_eq!(server.bytes(), "hello\nCOM".len());
}

#[tokio::test]
async fn a_mark_across_two_reads_loses_the_reply() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(mark("COMMIT", AtMark::LoseReply));
    assert_eq!(client.ask("BEGIN").await, "ok BEGIN");
    client.write("COMM").await.unwrap();
    let seen = "hello\nBEGIN\nCOMM".len();
    eventually("the first piece is there", || server.bytes() == seen).await;
    client.write("IT\n").await.unwrap();
    assert_eq!(client.rest().await.unwrap(), "");
    assert_eq!(server.lines(), ["hello", "BEGIN", "COMMIT"]);
    assert_eq!(proxy.counts().hit, 1);
}

#[tokio::test]
async fn a_mark_is_forgotten_when_the_fault_ends_before_the_reply() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(mark("half", AtMark::LoseReply));
    client.write("half").await.unwrap();
    eventually("the mark has passed", || server.bytes() == "hello\nhalf".len()).await;
    proxy.heal();
    assert_eq!(client.ask(" a line").await, "ok half a line");
}

#[tokio::test]
async fn a_share_of_the_marks_is_acted_upon() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set_one_in(4, mark("SET", AtMark::LoseReply));
    let mut lost = 0;
    for _ in 0..100 {
        assert_eq!(client.ask("GET").await, "ok GET");
        client.send("SET").await;
        if client.line().await.unwrap().is_none() {
            lost += 1;
            client = Client::connect(&proxy).await;
        }
    }
    assert!((8..50).contains(&lost), "{lost}");
    assert_eq!(proxy.counts().hit, lost);
}

#[tokio::test]
async fn a_reset_hits_open_and_new_connections_until_it_is_healed() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::Reset);
    assert!(reset(&mut client).await);
    assert!(reset(&mut Client::connect(&proxy).await).await);
    eventually("the server has no connection", || server.open() == 0).await;
    assert_eq!(proxy.counts(), Counts { accepted: 2, open: 0, hit: 2 });
    proxy.heal();
    answers(&proxy).await;
}

#[tokio::test]
async fn refusing_hits_only_new_connections_and_the_server_hears_nothing() {
    let (server, proxy, mut client) = chain().await;
    proxy.set(Fault::Refuse);
    assert!(reset(&mut Client::connect(&proxy).await).await);
    assert_eq!(client.ask("a").await, "ok a");
    assert_eq!((server.open(), proxy.counts().hit), (1, 1));
    proxy.heal();
    answers(&proxy).await;
}

#[tokio::test]
async fn cutting_all_resets_what_is_open_once() {
    let (_server, proxy, mut client) = chain().await;
    let mut other = Client::connect(&proxy).await;
    other.ask("a").await;
    proxy.cut_all();
    assert!(reset(&mut client).await);
    assert!(reset(&mut other).await);
    answers(&proxy).await;
    assert_eq!(proxy.counts().hit, 2);
}

#[tokio::test]
async fn cutting_all_reaches_connections_that_a_fault_holds_up() {
    let (_server, proxy, mut client) = chain().await;
    proxy.set(Fault::Blackhole { direction: Both });
    client.send("a").await;
    proxy.cut_all();
    assert!(reset(&mut client).await);
    proxy.set(Fault::HalfOpen);
    let mut client = Client::connect(&proxy).await;
    eventually("it waits", || proxy.counts().open == 1).await;
    assert!(client.is_kept_waiting().await, "for {MOMENT:?}");
    proxy.cut_all();
    assert!(reset(&mut client).await);
}
