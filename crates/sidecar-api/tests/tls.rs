//! TLS: who is served over it, and who is not.

use std::time::{Duration, Instant};

use futures::future::join_all;
use sidecar_api::{Limits, Listener};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{
    Connection, Served,
    calls::item,
    connection::request,
    memory, ready,
    secure::{self, Authority},
};

mod support;

const KEY_PATH: &str = "/v1.0/state/statestore/k";

/// A limit short enough to be waited for.
const SHORT: Duration = Duration::from_millis(300);

/// A sidecar on ports with TLS, and what it is signed by.
struct Secured {
    served: Served,
    authority: Authority,
}

/// Over memory. With `clients`, those have to show a certificate of that authority.
async fn serve(clients: Option<&Authority>, limits: Limits) -> Secured {
    let authority = Authority::new();
    let tls = secure::listen(&authority, clients);
    let served =
        Served::listening([ready(memory().await)], limits, |it| Listener::Tls(it, tls.clone()));
    Secured { served: served.await, authority }
}

impl Secured {
    /// A connection of HTTP/1.1; `None` if the sidecar does not want it.
    async fn connect(&self, client: Option<&secure::Certificate>) -> Option<Connection> {
        let settings = secure::client(&self.authority, client, &["http/1.1"]);
        let stream = secure::connect(self.served.address, settings).await.ok()?;
        Some(Connection::over(stream))
    }

    /// The status of a request over a connection of its own; `None` if it cannot be made.
    async fn status(&self, client: Option<&secure::Certificate>) -> Option<u16> {
        let mut connection = self.connect(client).await?;
        let reply = connection.exchange(&request("GET", KEY_PATH, &[], "")).await;
        reply.map(|it| it.status)
    }
}

#[tokio::test]
async fn both_forms_of_http_and_grpc_are_spoken_over_tls() {
    let secured = serve(None, Limits::default()).await;
    let mut connection = secured.connect(None).await.unwrap();
    let save = r#"[{"key":"k","value":1}]"#;
    assert_eq!(connection.call("POST", "/v1.0/state/statestore", &[], save).await.status, 204);
    assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.body, "1");
    let settings = secure::client(&secured.authority, None, &["h2", "http/1.1"]);
    assert_eq!(secure::get_over_http2(secured.served.address, &settings, KEY_PATH).await, "1");
    let mut calls = secure::calls(secured.served.grpc_address, settings);
    assert_eq!(&calls.get("k").await.unwrap().data[..], b"1");
    calls.save(vec![item("k", b"2")]).await.unwrap();
    assert_eq!(connection.call("GET", KEY_PATH, &[], "").await.body, "2");
}

#[tokio::test]
async fn clients_have_to_show_a_certificate_of_the_authority_if_there_is_one() {
    let (clients, others) = (Authority::new(), Authority::new());
    let secured = serve(Some(&clients), Limits::default()).await;
    assert_eq!(secured.status(Some(&clients.sign("app"))).await, Some(204));
    for (what, client) in [
        ("none", None),
        ("another authority's", Some(others.sign("app"))),
        ("an expired one", Some(clients.sign_expired("app"))),
        ("one of a server", Some(clients.sign_for_server("app"))),
    ] {
        assert_eq!(secured.status(client.as_ref()).await, None, "{what}");
    }
    let settings = |it| secure::client(&secured.authority, it, &["h2"]);
    let own = clients.sign("app");
    let mut calls = secure::calls(secured.served.grpc_address, settings(Some(&own)));
    assert!(calls.get("k").await.is_ok());
    let mut stranger = secure::calls(secured.served.grpc_address, settings(None));
    assert!(stranger.get("k").await.is_err());
}

#[tokio::test]
async fn versions_of_tls_that_are_broken_are_not_spoken() {
    let secured = serve(None, Limits::default()).await;
    // A ClientHello of TLS 1.1, with a suite that every server knew. Source: RFC 4346, section 7.4.1.2.
    let mut hello = vec![3, 2];
    hello.extend([7; 32]);
    hello.extend([0, 0, 2, 0, 0x2f, 1, 0]);
    let message = [&[1, 0, 0, hello.len() as u8][..], &hello].concat();
    let record = [&[22, 3, 1, 0, message.len() as u8][..], &message].concat();
    let mut stream = TcpStream::connect(secured.served.address).await.unwrap();
    stream.write_all(&record).await.unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer.first(), Some(&21), "an alert, and the end");
}

#[tokio::test]
async fn plain_http_is_told_that_this_port_is_for_tls() {
    let secured = serve(None, Limits::default()).await;
    for address in [secured.served.address, secured.served.grpc_address] {
        let mut plain = Connection::open(address).await;
        let reply = plain.call("GET", KEY_PATH, &[], "").await;
        assert_eq!((reply.status, &reply.json()["errorCode"]), (400, &"ERR_TLS_REQUIRED".into()));
        assert!(plain.rest().await.is_empty());
    }
    assert_eq!(secured.status(None).await, Some(204), "others are served");
}

#[tokio::test]
async fn slow_handshake_is_cut_off() {
    let limits = Limits { head_timeout: SHORT, ..Limits::default() };
    let secured = serve(None, limits).await;
    let mut kept = secured.connect(None).await.unwrap();
    assert_eq!(kept.call("GET", KEY_PATH, &[], "").await.status, 204);
    // Nothing at all, and a record that never comes to its end.
    for start in [&b""[..], &[22, 3, 1, 2, 0, 1]] {
        let started = Instant::now();
        let mut slow = TcpStream::connect(secured.served.address).await.unwrap();
        slow.write_all(start).await.unwrap();
        let _ = slow.read_to_end(&mut Vec::new()).await;
        assert!(started.elapsed() >= SHORT);
    }
    assert_eq!(kept.call("GET", KEY_PATH, &[], "").await.status, 204);
    kept.send(b"GET ").await;
    assert!(kept.rest().await.is_empty(), "a slow head is cut off over TLS, too");
}

#[tokio::test]
async fn handshakes_count_as_connections_and_do_not_hold_up_the_end() {
    let limits = Limits { connections_max: 2, ..Limits::default() };
    let mut secured = serve(None, limits).await;
    let stuck = TcpStream::connect(secured.served.address).await.unwrap();
    assert_eq!(secured.status(None).await, Some(204));
    let started = Instant::now();
    secured.served.sidecar.stop(sidecar_api::Stop::Gracefully);
    assert!((&mut secured.served.serving).await.unwrap());
    assert!(started.elapsed() < support::GRACE, "nobody waits for a handshake");
    drop(stuck);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storm_of_handshakes_is_weathered() {
    // A machine that is busy with other tests may need long for so many signatures.
    let limits = Limits { head_timeout: Duration::from_secs(120), ..Limits::default() };
    let secured = serve(None, limits).await;
    let mut kept = secured.connect(None).await.unwrap();
    // Half of them are rude. Both ends are files of this process, of which it may usually have 1024.
    let storm = (0..500).map(|i| {
        let secured = &secured;
        async move {
            if i % 2 == 0 {
                return secured.status(None).await == Some(204);
            }
            let mut rude = TcpStream::connect(secured.served.address).await.unwrap();
            rude.write_all(&[22, 3, 1, 2, 0, 1, 0xff]).await.is_ok()
        }
    });
    let storm: Vec<_> = storm.collect();
    let mut served = 0;
    for part in chunks(storm, 200) {
        served += join_all(part).await.into_iter().filter(|it| *it).count();
        assert_eq!(kept.call("GET", KEY_PATH, &[], "").await.status, 204);
    }
    assert_eq!(served, 500);
}

fn chunks<T>(all: Vec<T>, len: usize) -> Vec<Vec<T>> {
    let mut all = all.into_iter();
    let mut chunks = Vec::new();
    loop {
        let chunk: Vec<T> = all.by_ref().take(len).collect();
        if chunk.is_empty() {
            return chunks;
        }
        chunks.push(chunk);
    }
}
