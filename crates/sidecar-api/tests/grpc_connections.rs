//! Connections of the gRPC front: many streams, and clients that misbehave. Those lose their own connection at most.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

use std::{net::SocketAddr, time::Duration};

use bytes::Bytes;
use futures::future::join_all;
use h2::{
    Reason, RecvStream,
    client::{Builder, SendRequest},
};
use hyper::Request;
use prost::Message;
use sidecar_api::Limits;
use sidecar_proto::runtime::v1::GetStateRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinHandle,
    time::timeout,
};

use crate::support::{
    STORE, Served,
    calls::{Calls, item},
    memory, ready,
};

mod support;

/// A connection that is not closed by then never will be.
const PATIENCE: Duration = Duration::from_secs(20);

const PREFACE: &[u8] = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

/// An empty SETTINGS frame. Source: RFC 9113, section 6.5.
const SETTINGS: &[u8] = &[0, 0, 0, 4, 0, 0, 0, 0, 0];

/// A sidecar, and a client of it that others must not harm.
async fn serve() -> (Served, Calls) {
    let served = Served::store(memory().await).await;
    let mut bystander = Calls::to(served.grpc_address);
    bystander.save(vec![item("k", b"1")]).await.unwrap();
    (served, bystander)
}

async fn is_unharmed(bystander: &mut Calls) {
    let found = timeout(PATIENCE, bystander.get("k")).await.expect("it is answered");
    assert_eq!(&found.unwrap().data[..], b"1");
}

/// HTTP/2 without gRPC's manners. It sends up to `streams_max` requests before it knows what the server allows.
async fn http2(
    address: SocketAddr,
    streams_max: usize,
) -> (SendRequest<Bytes>, JoinHandle<Result<(), h2::Error>>) {
    let stream = TcpStream::connect(address).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let (sender, connection) = Builder::new()
        .initial_max_send_streams(streams_max)
        .max_concurrent_reset_streams(10_000)
        .handshake(stream)
        .await
        .unwrap();
    (sender, tokio::spawn(connection))
}

fn get() -> Request<()> {
    Request::post("http://localhost/dapr.proto.runtime.v1.Dapr/GetState")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(())
        .unwrap()
}

/// A message as gRPC sends it: not compressed, its length, and itself.
fn message() -> Bytes {
    let it =
        GetStateRequest { store_name: STORE.to_owned(), key: "k".to_owned(), ..Default::default() };
    let body = it.encode_to_vec();
    [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat().into()
}

/// The value of `grpc-status`, wherever it stands.
async fn status(response: hyper::Response<RecvStream>) -> Option<String> {
    let (head, mut body) = response.into_parts();
    let text = |it: &hyper::header::HeaderValue| it.to_str().unwrap_or("?").to_owned();
    if let Some(it) = head.headers.get("grpc-status") {
        return Some(text(it));
    }
    while let Some(data) = body.data().await {
        let data = data.ok()?;
        body.flow_control().release_capacity(data.len()).ok()?;
    }
    body.trailers().await.ok()??.get("grpc-status").map(text)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thousand_calls_share_a_connection() {
    let (served, mut bystander) = serve().await;
    let (sender, connection) = http2(served.grpc_address, 1).await;
    let call = |sender: SendRequest<Bytes>| async move {
        let mut sender = sender.ready().await.unwrap();
        let (answer, mut body) = sender.send_request(get(), false).unwrap();
        body.send_data(message(), true).unwrap();
        status(answer.await.unwrap()).await
    };
    let answers = timeout(PATIENCE, join_all((0..1000).map(|_| call(sender.clone())))).await;
    let answers = answers.expect("all are answered");
    assert!(answers.iter().all(|it| it.as_deref() == Some("0")), "{answers:?}");
    is_unharmed(&mut bystander).await;
    drop(sender);
    timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap();
}

/// A HEADERS frame that begins a call and leaves it open. Source: RFC 9113, section 6.2; RFC 7541, appendix A.
fn headers(stream: u32) -> Vec<u8> {
    let text = |prefix: &[u8], text: &str| [prefix, &[text.len() as u8], text.as_bytes()].concat();
    // POST, http, `:path`, `:authority`, `content-type`.
    let block = [
        vec![0x83, 0x86],
        text(&[0x04], "/dapr.proto.runtime.v1.Dapr/GetState"),
        text(&[0x01], "localhost"),
        text(&[0x0f, 0x10], "application/grpc"),
    ]
    .concat();
    let end_headers = 4;
    let head = [0, 0, block.len() as u8, 1, end_headers];
    [&head[..], &stream.to_be_bytes(), &block].concat()
}

/// The streams that the server has refused among the frames that have come.
fn refused(mut frames: &[u8]) -> usize {
    let mut count = 0;
    while let Some((head, rest)) = frames.split_at_checked(9) {
        let len = u32::from_be_bytes([0, head[0], head[1], head[2]]) as usize;
        let Some((body, rest)) = rest.split_at_checked(len) else { break };
        let is_reset = head[3] == 3;
        count += usize::from(is_reset && body == u32::from(Reason::REFUSED_STREAM).to_be_bytes());
        frames = rest;
    }
    count
}

#[tokio::test]
async fn streams_beyond_the_limit_are_refused() {
    let (served, mut bystander) = serve().await;
    let mut stream = TcpStream::connect(served.grpc_address).await.unwrap();
    let streams = (0..110).flat_map(|it| headers(2 * it + 1));
    let bytes: Vec<u8> = [PREFACE, SETTINGS].concat().into_iter().chain(streams).collect();
    stream.write_all(&bytes).await.unwrap();
    let mut received = Vec::new();
    let reading = async {
        while refused(&received) < 10 {
            assert_ne!(stream.read_buf(&mut received).await.unwrap(), 0, "the connection stays");
        }
    };
    timeout(PATIENCE, reading).await.expect("the last 10 are refused");
    assert_eq!(refused(&received), 10, "and the first 100 are not");
    is_unharmed(&mut bystander).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_resets_streams_again_and_again_loses_the_connection() {
    let (served, mut bystander) = serve().await;
    let (mut sender, connection) = http2(served.grpc_address, 10_000).await;
    let mut ended = None;
    for _ in 0..10_000 {
        let sent = match timeout(PATIENCE, sender.clone().ready()).await.unwrap() {
            Ok(mut ready) => ready.send_request(get(), false).map(|it| (ready, it)),
            Err(e) => Err(e),
        };
        match sent {
            Ok((ready, (answer, mut body))) => {
                body.send_reset(Reason::CANCEL);
                drop(answer);
                sender = ready;
            }
            Err(e) => {
                ended = Some(e);
                break;
            }
        }
        tokio::task::yield_now().await;
    }
    let e = match ended {
        Some(e) => e,
        None => timeout(PATIENCE, connection).await.unwrap().unwrap().unwrap_err(),
    };
    // It may find its connection closed before it has read why.
    let told = e.reason().is_none_or(|it| it == Reason::ENHANCE_YOUR_CALM);
    assert!(told && (e.is_io() || e.is_remote() || e.is_go_away()), "{e:?}");
    is_unharmed(&mut bystander).await;
}

#[tokio::test]
async fn message_that_is_cut_off_or_makes_no_sense_is_refused_alone() {
    let (served, mut bystander) = serve().await;
    let (mut sender, _connection) = http2(served.grpc_address, 10).await;
    let whole = message();
    let wrong = [&[0, 0, 0, 0, 4][..], &[0xff; 4]].concat();
    let compressed = [&[1][..], &whole[1..]].concat();
    let too_long = [0, 0xff, 0xff, 0xff, 0xff, 1];
    for (bytes, expected) in [
        (whole.slice(..3), "3"),
        (whole.slice(..whole.len() - 1), "3"),
        (Bytes::new(), "3"),
        (wrong.into(), "3"),
        (compressed.into(), "3"),
        (Bytes::copy_from_slice(&too_long), "8"),
        (whole.clone(), "0"),
    ] {
        let mut ready = sender.ready().await.unwrap();
        let (answer, mut body) = ready.send_request(get(), false).unwrap();
        body.send_data(bytes.clone(), true).unwrap();
        let answer = timeout(PATIENCE, answer).await.expect("it is answered").unwrap();
        assert_eq!(status(answer).await.as_deref(), Some(expected), "{bytes:?}");
        sender = ready;
    }
    is_unharmed(&mut bystander).await;
}

/// Sends bytes and waits for the end of the connection.
async fn hangs_up_on(address: SocketAddr, bytes: &[u8]) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    // It may hang up before it has everything.
    let _ = stream.write_all(bytes).await;
    let mut answer = Vec::new();
    let reading = timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    // A reset is an end, too.
    let _ = reading.expect("the connection is closed");
}

#[tokio::test]
async fn frames_that_break_the_rules_end_their_connection() {
    let limits = Limits { head_timeout: Duration::from_millis(300), ..Limits::default() };
    let served = Served::components([ready(memory().await)], limits).await;
    let mut bystander = Calls::to(served.grpc_address);
    bystander.save(vec![item("k", b"1")]).await.unwrap();
    // A DATA frame that says it has 16 MiB, one on stream 0, a CONTINUATION of nothing, HEADERS that are no HPACK.
    let oversize = [0xff, 0xff, 0xff, 0, 0, 0, 0, 0, 1];
    let no_stream = [0, 0, 1, 0, 0, 0, 0, 0, 0, 7];
    let continuation = [0, 0, 1, 9, 4, 0, 0, 0, 1, 0x82];
    let no_hpack = [0, 0, 2, 1, 5, 0, 0, 0, 1, 0xff, 0xff];
    for frame in [&oversize[..], &no_stream, &continuation, &no_hpack] {
        hangs_up_on(served.grpc_address, &[PREFACE, SETTINGS, frame].concat()).await;
        is_unharmed(&mut bystander).await;
    }
    for garbage in [&b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"[..], b"PRI * HTTP/3"] {
        hangs_up_on(served.grpc_address, garbage).await;
    }
    is_unharmed(&mut bystander).await;
}

#[tokio::test]
async fn http_is_told_that_this_is_the_wrong_port() {
    let (served, mut bystander) = serve().await;
    let mut connection = support::Connection::open(served.grpc_address).await;
    let reply = connection.call("GET", "/v1.0/state/statestore/k", &[], "").await;
    assert_eq!(reply.status, 415);
    assert!(reply.json()["hint"].as_str().unwrap().contains("--dapr-http-port"));
    is_unharmed(&mut bystander).await;
}
