//! What becomes of a request when the other end is no sidecar of ours: Dapr, something in
//! between, or nothing at all.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

use std::net::SocketAddr;

use sidecar_client::HttpStore;
use state::{Change, Error, FailureKind, Format, Item, Key, Read, Store, Ttl, Write, Written};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpListener,
    task::JoinHandle,
};

/// Metadata of the form that Dapr has.
const METADATA: &str = r#"{"id":"cart","components":[{"name":"s","type":"state.redis","version":
    "v1","capabilities":["ETAG","TRANSACTIONAL","TTL"]}]}"#;

/// A store whose sidecar tells of itself, then answers one request with `reply` and hangs up.
async fn store(reply: &'static str) -> HttpStore {
    let (address, _serving) = serve(vec![ok(METADATA), reply.to_owned()]).await;
    HttpStore::connect(&format!("http://{address}/"), "s").await.unwrap()
}

/// Answers one connection after the other, each with one of these, whatever it asks.
async fn serve(replies: Vec<String>) -> (SocketAddr, JoinHandle<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let serving = tokio::spawn(async move {
        for reply in replies {
            let (mut stream, _) = listener.accept().await.unwrap();
            let mut request = vec![0; 4096];
            assert!(stream.read(&mut request).await.unwrap() > 0);
            stream.write_all(reply.as_bytes()).await.unwrap();
        }
    });
    (address, serving)
}

fn ok(body: &str) -> String {
    format!("HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: {}\r\n\r\n{body}", body.len())
}

fn key() -> Key {
    Key::new("k").unwrap()
}

fn put() -> Write {
    Write::new(key(), Change::Put { value: "1".into(), format: Format::Json, ttl: Ttl::Unsaid })
}

async fn write(reply: &'static str) -> Result<Written, Option<FailureKind>> {
    store(reply).await.write(&put()).await.map_err(|e| kind(&e))
}

/// `None` for a conflict.
fn kind(e: &Error) -> Option<FailureKind> {
    match e {
        Error::Conflict(_) => None,
        Error::Failure(it) => Some(it.kind()),
    }
}

#[tokio::test]
async fn dapr_tells_no_etag_of_a_write() {
    let reply = "HTTP/1.1 204 No Content\r\n\r\n";
    assert_eq!(write(reply).await, Ok(Written { etag: None }));
    let writes = [put(), put()];
    let answers = store(reply).await.write_many(&writes).await;
    assert!(answers.iter().all(|it| it.as_ref().is_ok_and(|it| it.etag.is_none())));
    let written = store(reply).await.transact(&writes).await.unwrap();
    assert_eq!(written, [Written { etag: None }, Written { etag: None }]);
}

#[tokio::test]
async fn value_of_dapr_is_read_with_its_etag_and_expiry() {
    let reply = "HTTP/1.1 200 OK\r\nEtag: 7\r\nMetadata.ttlexpiretime: 1970-01-01T00:00:09Z\r\n\
        content-length: 2\r\n\r\n{}";
    let Item { value, etag, expires_at } =
        store(reply).await.get(&Read::new(key())).await.unwrap().unwrap();
    assert_eq!((&value[..], etag.unwrap().as_str()), (&b"{}"[..], "7"));
    let since_1970 = expires_at.unwrap().duration_since(std::time::UNIX_EPOCH).unwrap();
    assert_eq!(since_1970.as_secs(), 9);
}

#[tokio::test]
async fn outcome_of_a_request_without_a_whole_answer_is_unknown() {
    for reply in [
        "",
        "HTTP/1.1 2",
        "nonsense\r\n\r\n",
        "HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n[",
        "HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n",
    ] {
        assert_eq!(write(reply).await, Err(Some(FailureKind::Lost)), "{reply:?}");
    }
}

#[tokio::test]
async fn conflict_of_dapr_is_one() {
    let reply = "HTTP/1.1 409 Conflict\r\ncontent-length: 0\r\n\r\n";
    assert_eq!(write(reply).await, Err(None));
    let answers = store(reply).await.write_many(&[put(), put()]).await;
    assert!(answers.iter().all(|it| it.as_ref().is_err_and(Error::is_conflict)));
}

#[tokio::test]
async fn request_that_cannot_be_sent_was_not_applied() {
    let store = store("").await;
    let _ = store.write(&put()).await;
    // Both replies are used up, and nobody listens any more.
    let refused = store.write(&put()).await.unwrap_err();
    assert_eq!(kind(&refused), Some(FailureKind::Unavailable));
    let answers = store.write_many(&[put(), put()]).await;
    for answer in answers {
        assert_eq!(kind(&answer.unwrap_err()), Some(FailureKind::Unavailable));
    }
    assert_eq!(kind(&store.ping().await.unwrap_err()), Some(FailureKind::Unavailable));
}

#[tokio::test]
async fn what_is_not_json_is_refused_and_not_sent() {
    // There is no reply to wait for.
    let (address, _serving) = serve(vec![ok(METADATA)]).await;
    let store = HttpStore::connect(&format!("http://{address}"), "s").await.unwrap();
    let opaque = Write::put(key(), b"\xff".to_vec());
    let refused = store.write(&opaque).await.unwrap_err();
    assert_eq!(kind(&refused), Some(FailureKind::Invalid));
    let refused = store.transact(&[opaque]).await.unwrap_err();
    assert_eq!(kind(&refused), Some(FailureKind::Invalid));
}

#[tokio::test]
async fn address_that_is_none_is_refused() {
    for address in ["", "localhost:3500", "https://localhost:3500", "http://", "/v1.0"] {
        let refused = HttpStore::connect(address, "s").await.unwrap_err();
        assert_eq!(kind(&refused), Some(FailureKind::Invalid), "{address:?}");
    }
}
