//! Connections: who shares one, who keeps one, and who loses it.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use futures::{StreamExt, future::join_all, stream};
use sidecar_api::Limits;
use sidecar_client::Protocol;
use state::{Change, Error, FailureKind, Format, Key, Read, Ttl, Write};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Served, calls::Troubled, connection::request, memory, ready};

mod support;

const STORE_PATH: &str = "/v1.0/state/statestore";
const KEY_PATH: &str = "/v1.0/state/statestore/k";

/// A limit short enough to be waited for.
const SHORT: Duration = Duration::from_millis(200);

/// More than the buffers between two ends of a connection hold.
const LARGE: usize = 3 << 20;

/// A sidecar over memory.
async fn serve(limits: Limits) -> Served {
    Served::components([ready(memory().await)], limits).await
}

fn json_put(key: &str, json: String) -> Write {
    let key = Key::new(key).expect("it is short and plain");
    Write::new(key, Change::Put { value: json.into(), format: Format::Json, ttl: Ttl::Unsaid })
}

#[tokio::test]
async fn connection_is_kept_after_an_error() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    assert_eq!(connection.call("POST", STORE_PATH, &[], "{").await.status, 400);
    assert_eq!(connection.call("GET", "/nowhere", &[], "").await.status, 404);
    assert_eq!(connection.call("DELETE", KEY_PATH, &[("If-Match", "7")], "").await.status, 409);
    assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.status, 204);
}

#[tokio::test]
async fn connection_is_kept_after_a_body_that_nobody_reads() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    assert_eq!(connection.call("DELETE", KEY_PATH, &[], "{}").await.status, 204);
    assert_eq!(connection.call("GET", KEY_PATH, &[], "{}").await.status, 204);
    for (method, target, status) in [("DELETE", KEY_PATH, 204), ("POST", "/v1.0/state/x", 400)] {
        let request = request(method, target, &[], "x".repeat(LARGE));
        let (start, rest) = request.split_at(LARGE / 2);
        connection.send(start).await;
        assert_eq!(connection.reply().await.unwrap().status, status, "before the body is there");
        connection.send(rest).await;
        assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.status, 204);
    }
}

#[tokio::test]
async fn client_that_is_busy_sending_too_much_still_gets_its_answer() {
    let served = serve(Limits { body_bytes_max: 1 << 20, ..Limits::default() }).await;
    let mut connection = served.connect().await;
    connection.send(&request("POST", STORE_PATH, &[], "x".repeat((1 << 20) + 1000))).await;
    assert_eq!(connection.reply().await.unwrap().status, 413);
    assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.status, 204);
}

#[tokio::test]
async fn value_too_large_is_refused_over_either_form_of_http() {
    let served = serve(Limits { body_bytes_max: 1 << 20, ..Limits::default() }).await;
    for protocol in [Protocol::Http1, Protocol::Http2] {
        let store = served.client(protocol).await.unwrap();
        let error = store.write(&json_put("k", format!("\"{}\"", "x".repeat(LARGE)))).await;
        match error {
            Err(Error::Failure(it)) if it.kind() == FailureKind::Invalid => {}
            other => panic!("{protocol:?}: {other:?}"),
        }
    }
}

#[tokio::test]
async fn client_that_asks_first_is_told_before_it_sends() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let expect = [("Expect", "100-continue")];
    let good = request("POST", STORE_PATH, &expect, "[]");
    connection.send(&good[..good.len() - 2]).await;
    assert_eq!(connection.interim().await, 100);
    connection.send(b"[]").await;
    assert_eq!(connection.reply().await.unwrap().status, 204);
    let bad = request("POST", "/v1.0/state/x", &expect, "[]");
    connection.send(&bad[..bad.len() - 2]).await;
    assert_eq!(connection.interim().await, 400, "at once, and not after a 100");
}

#[tokio::test]
async fn body_may_come_in_chunks() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let head = "POST /v1.0/state/statestore HTTP/1.1\r\nHost: localhost\r\n\
        Transfer-Encoding: chunked\r\n\r\n";
    let chunks = "b\r\n[{\"key\":\"k\"\r\nc;a=b\r\n,\"value\":1}]\r\n0\r\nX-Trailer: x\r\n\r\n";
    for _ in 0..2 {
        let saved = connection.exchange(&[head, chunks].concat().into_bytes()).await.unwrap();
        assert_eq!(saved.status, 204, "{saved:?}");
        assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.body, "1");
    }
}

#[tokio::test]
async fn pipelined_requests_are_answered_in_order() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let requests = [
        request("POST", STORE_PATH, &[], r#"[{"key":"k","value":1}]"#),
        request("GET", KEY_PATH, &[], ""),
        request("GET", "/nowhere", &[], ""),
        request("DELETE", KEY_PATH, &[], ""),
        request("GET", KEY_PATH, &[], ""),
    ];
    connection.send(&requests.concat()).await;
    for status in [204, 200, 404, 204, 204] {
        assert_eq!(connection.reply().await.unwrap().status, status);
    }
}

#[tokio::test]
async fn error_behind_good_requests_is_answered_too() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let good = request("GET", KEY_PATH, &[], "");
    connection.send(&[&good[..], &good, b"garbage \0\r\n\r\nmore of it"].concat()).await;
    for status in [204, 204, 400] {
        assert_eq!(connection.reply().await.unwrap().status, status);
    }
    assert!(connection.rest().await.is_empty());
}

#[tokio::test]
async fn both_forms_of_http_share_one_port() {
    let served = serve(Limits::default()).await;
    let (one, two) = (served.client(Protocol::Http1).await, served.client(Protocol::Http2).await);
    let (one, two) = (one.unwrap(), two.unwrap());
    let read = Read::new(Key::new("k").unwrap());
    one.write(&json_put("k", "1".to_owned())).await.unwrap();
    assert_eq!(two.get(&read).await.unwrap().unwrap().value, "1");
    two.write(&json_put("k", "2".to_owned())).await.unwrap();
    assert_eq!(one.get(&read).await.unwrap().unwrap().value, "2");
}

#[tokio::test]
async fn offer_to_upgrade_is_not_taken_and_does_no_harm() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let offer = [
        ("Connection", "Upgrade, HTTP2-Settings"),
        ("Upgrade", "h2c"),
        ("HTTP2-Settings", "AAMAAABkAAQAAP__"),
    ];
    let saved = connection.call("POST", STORE_PATH, &offer, r#"[{"key":"k","value":1}]"#).await;
    assert_eq!(saved.status, 204);
    assert_eq!(connection.call("GET", KEY_PATH, &offer, "").await.body, "1");
}

#[tokio::test]
async fn old_client_is_served_and_hung_up_on() {
    let served = serve(Limits::default()).await;
    let mut connection = served.connect().await;
    let reply = connection.exchange(b"GET /v1.0/healthz HTTP/1.0\r\n\r\n").await;
    assert_eq!(reply.unwrap().status, 204);
    assert!(connection.rest().await.is_empty());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn thousand_requests_at_once_are_all_answered() {
    let served = serve(Limits::default()).await;
    let store = served.client(Protocol::Http2).await.unwrap();
    let round_trip = async |i: usize| {
        let write = json_put(&format!("k{i}"), i.to_string());
        let etag = store.write(&write).await.unwrap().etag;
        let item = store.get(&Read::new(write.key)).await.unwrap().unwrap();
        assert_eq!((item.value, item.etag), (i.to_string().into(), etag));
    };
    join_all((0..1000).map(round_trip)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn hundreds_of_connections_are_served_at_once() {
    let served = serve(Limits::default()).await;
    // As many as a process may usually open files, less those of the sidecar's ends.
    let mut connections = join_all((0..400).map(|_| served.connect())).await;
    for _ in 0..3 {
        let calls = connections.iter_mut().map(|it| it.call("GET", KEY_PATH, &[], ""));
        let replies: Vec<_> = stream::iter(calls).buffer_unordered(400).collect().await;
        assert!(replies.iter().all(|it| it.status == 204));
    }
}

#[tokio::test]
async fn connection_beyond_the_limit_waits_for_another_to_end() {
    let served = serve(Limits { connections_max: 1, ..Limits::default() }).await;
    let mut first = served.connect().await;
    assert_eq!(first.call("GET", KEY_PATH, &[], "").await.status, 204);
    let mut second = served.connect().await;
    second.send(&request("GET", KEY_PATH, &[], "")).await;
    assert_eq!(first.call("GET", KEY_PATH, &[], "").await.status, 204);
    drop(first);
    assert_eq!(second.reply().await.unwrap().status, 204);
}

#[tokio::test]
async fn slow_head_is_cut_off_and_an_idle_connection_kept() {
    let served = serve(Limits { head_timeout: SHORT, ..Limits::default() }).await;
    let mut idle = served.connect().await;
    assert_eq!(idle.call("GET", KEY_PATH, &[], "").await.status, 204);
    let started = Instant::now();
    let mut slow = served.connect().await;
    slow.send(b"GET /v1.0/state/statestore/k HTTP/1.1\r\nHost: local").await;
    assert!(slow.rest().await.is_empty());
    assert!(served.connect().await.rest().await.is_empty(), "nothing at all is slow, too");
    assert!(started.elapsed() >= 2 * SHORT);
    assert_eq!(idle.call("GET", KEY_PATH, &[], "").await.status, 204);
    idle.send(b"GET ").await;
    assert!(idle.rest().await.is_empty(), "a second head may not be slow either");
}

#[tokio::test]
async fn idle_connection_is_closed_in_the_end() {
    let served = serve(Limits { keep_alive_timeout: SHORT, ..Limits::default() }).await;
    let mut connection = served.connect().await;
    assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.status, 204);
    let started = Instant::now();
    assert!(connection.rest().await.is_empty());
    assert!(started.elapsed() <= 10 * SHORT, "{:?}", started.elapsed());
}

#[tokio::test]
async fn body_that_stops_coming_is_not_waited_for() {
    let served = serve(Limits { body_idle_timeout: SHORT, ..Limits::default() }).await;
    let mut connection = served.connect().await;
    let save = request("POST", STORE_PATH, &[], r#"[{"key":"k","value":1}]"#);
    connection.send(&save[..save.len() - 1]).await;
    let reply = connection.reply().await.unwrap();
    assert_eq!((reply.status, reply.header("state-outcome")), (408, Some("not_applied")));
    assert_eq!(reply.json()["errorCode"], "ERR_BODY_READ");
    assert!(connection.rest().await.is_empty(), "what would come now is no request");
    assert_eq!(served.connect().await.call("GET", KEY_PATH, &[], "").await.status, 204);
}

#[tokio::test]
async fn body_that_comes_drop_by_drop_is_not_waited_for() {
    let limits = Limits { call_timeout: SHORT, ..Limits::default() };
    let served = serve(limits).await;
    let mut connection = served.connect().await;
    let save = request("POST", STORE_PATH, &[], r#"[{"key":"k","value":1}]"#);
    connection.send(&save[..save.len() - 20]).await;
    let reply = connection.reply().await.unwrap();
    assert_eq!((reply.status, reply.header("state-outcome")), (408, Some("not_applied")));
    assert_eq!(served.connect().await.call("GET", KEY_PATH, &[], "").await.status, 204);
}

#[tokio::test]
async fn request_that_takes_too_long_says_what_is_known_of_it() {
    let troubled = ready(Arc::new(Troubled::new().await));
    let limits = Limits { call_timeout: SHORT, ..Limits::default() };
    let served = Served::components([troubled], limits).await;
    let mut connection = served.connect().await;
    let wait = "/v1.0/state/statestore/wait";
    let save = r#"[{"key":"wait","value":1}]"#;
    let reply = connection.call("GET", wait, &[], "").await;
    assert_eq!((reply.status, reply.header("state-outcome")), (504, Some("not_applied")));
    let in_chunks = format!(
        "POST {STORE_PATH} HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n{:x}\r\n{save}\r\n0\r\n\r\n",
        save.len()
    );
    for (what, bytes) in [
        ("save", request("POST", STORE_PATH, &[], save)),
        ("save in chunks", in_chunks.into_bytes()),
        ("delete", request("DELETE", wait, &[], "")),
        ("delete with a body that is not read", request("DELETE", wait, &[], "{}")),
    ] {
        let reply = connection.exchange(&bytes).await.unwrap();
        let said = (reply.status, reply.header("state-outcome"));
        assert_eq!(said, (500, Some("unknown")), "{what}: {reply:?}");
        assert_eq!(reply.json()["errorCode"], "ERR_DEADLINE_EXCEEDED");
    }
}

#[tokio::test]
async fn limits_of_http2_are_told_to_clients() {
    let served = serve(Limits::default()).await;
    for address in [served.address, served.grpc_address] {
        let mut stream = TcpStream::connect(address).await.unwrap();
        stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
        let mut head = [0; 9];
        stream.read_exact(&mut head).await.unwrap();
        assert_eq!(head[3], 4, "settings come first");
        let mut settings = vec![0; usize::from(head[2])];
        stream.read_exact(&mut settings).await.unwrap();
        let told = |id: u16| {
            let setting = settings.chunks(6).find(|it| it[..2] == id.to_be_bytes());
            setting.map(|it| u32::from_be_bytes(it[2..].try_into().unwrap()))
        };
        // Streams, window, header list. Source: RFC 9113, section 6.5.2.
        assert_eq!([told(3), told(4), told(6)], [Some(100), Some(64 << 10), Some(16 << 10)]);
    }
}

#[tokio::test]
async fn headers_without_end_cost_their_connection_only() {
    let served = serve(Limits::default()).await;
    let mut bystander = served.connect().await;
    // HEADERS that do not end, and then CONTINUATION after CONTINUATION. Source: CVE-2024-27316.
    let start =
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0\0\0\x03\x01\0\0\0\0\x01\x82\x86\x84";
    let field = [&b"\x00\x01x\x7f\x80\x01"[..], &[b'y'; 255]].concat();
    let fragment = field.repeat(60);
    let len = (fragment.len() as u32).to_be_bytes();
    let frame = [&len[1..], &[9, 0, 0, 0, 0, 1], &fragment].concat();
    let mut stream = TcpStream::connect(served.address).await.unwrap();
    stream.write_all(start).await.unwrap();
    let mut sent = 0;
    while stream.write_all(&frame).await.is_ok() {
        sent += frame.len();
        assert!(sent < 16 << 20, "it is read without end");
    }
    assert_eq!(bystander.call("GET", KEY_PATH, &[], "").await.status, 204);
}
