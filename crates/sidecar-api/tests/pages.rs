//! Pages in browsers: which may call, and what browsers are told.

use sidecar_api::{Identity, Limits, Protection, Token};

use crate::support::{Connection, GRACE, Served, connection::Reply, front, memory, ready};

mod support;

const KEY_PATH: &str = "/v1.0/state/statestore/k";
const MINE: &str = "http://localhost:8080";
const OTHER: &str = "http://evil.example";

async fn serve(origins: &[&str]) -> Served {
    let protection = Protection {
        origins: origins.iter().map(|it| (*it).to_owned()).collect(),
        tokens: Token::new("secret").into_iter().collect(),
        ..Protection::default()
    };
    let components = [ready(memory().await)];
    Served::front(front(Identity::default(), components, Limits::default(), protection), GRACE)
        .await
}

async fn preflight(connection: &mut Connection, origin: &str) -> Reply {
    let headers = [
        ("Origin", origin),
        ("Access-Control-Request-Method", "POST"),
        ("Access-Control-Request-Headers", "content-type, dapr-api-token"),
    ];
    connection.call("OPTIONS", KEY_PATH, &headers, "").await
}

#[tokio::test]
async fn page_that_is_allowed_is_told_so_before_it_has_a_token() {
    let served = serve(&[MINE, "https://app.example"]).await;
    let mut connection = served.connect().await;
    for origin in [MINE, "https://app.example"] {
        let reply = preflight(&mut connection, origin).await;
        let told = |name| reply.header(name).unwrap_or_else(|| panic!("{name} in {reply:?}"));
        assert_eq!((reply.status, reply.body.as_str()), (200, ""));
        assert_eq!(told("access-control-allow-origin"), origin);
        assert_eq!(told("access-control-allow-methods"), "GET, POST, PUT, DELETE");
        assert_eq!(told("access-control-allow-headers"), "content-type, dapr-api-token");
        assert_eq!(told("access-control-max-age"), "600");
        let vary = reply.headers("vary").join(", ");
        assert_eq!(vary, "access-control-request-method, access-control-request-headers, origin");
        assert_eq!(reply.header("access-control-allow-credentials"), None);
    }
}

#[tokio::test]
async fn page_that_is_allowed_sees_answers_and_errors() {
    let served = serve(&[MINE]).await;
    let mut connection = served.connect().await;
    let mut check = async |method, path, token, status| {
        let headers =
            [("Origin", MINE), ("Sec-Fetch-Site", "cross-site"), ("dapr-api-token", token)];
        let reply: Reply = connection.call(method, path, &headers, "").await;
        assert_eq!(reply.status, status, "{method} {path}");
        assert_eq!(reply.header("access-control-allow-origin"), Some(MINE));
        assert_eq!(reply.header("vary"), Some("origin"));
        let exposed = reply.header("access-control-expose-headers").unwrap();
        assert!(exposed.contains("etag") && exposed.contains("state-outcome"), "{exposed}");
    };
    check("GET", KEY_PATH, "secret", 204).await;
    check("GET", KEY_PATH, "wrong", 401).await;
    check("GET", "/nowhere", "secret", 404).await;
    check("GET", "/v1.0/healthz", "", 204).await;
    check("POST", "/v1.0/state/statestore", "secret", 400).await;
    // An OPTIONS request that asks nothing is a request like any other.
    check("OPTIONS", KEY_PATH, "secret", 404).await;
}

#[tokio::test]
async fn page_that_is_not_allowed_sees_nothing() {
    let served = serve(&[MINE]).await;
    let mut connection = served.connect().await;
    let spellings = [
        OTHER,
        "null",
        "http://localhost:8081",
        "https://localhost:8080",
        "http://localhost:8080.evil.example",
        "http://localhost:8080/",
        "http://localhost",
    ];
    for origin in spellings {
        let asked = preflight(&mut connection, origin).await;
        let headers = [("Origin", origin), ("dapr-api-token", "secret")];
        let called = connection.call("GET", KEY_PATH, &headers, "").await;
        for reply in [asked, called] {
            assert_eq!(reply.status, 403, "{origin}");
            assert_eq!(reply.header("access-control-allow-origin"), None, "{origin}");
            assert_eq!(reply.header("vary"), Some("origin"), "a cache must tell them apart");
        }
    }
}

#[tokio::test]
async fn without_allowed_origins_no_page_is_told_anything() {
    let served = serve(&[]).await;
    let mut connection = served.connect().await;
    assert_eq!(preflight(&mut connection, MINE).await.status, 403);
    let token = [("dapr-api-token", "secret")];
    let plain = connection.call("GET", KEY_PATH, &token, "").await;
    assert_eq!((plain.status, plain.header("vary")), (204, None));
    assert_eq!(connection.call("OPTIONS", KEY_PATH, &token, "").await.status, 404);
}

#[tokio::test]
async fn all_pages_may_call_if_it_is_said() {
    let served = serve(&["*"]).await;
    let mut connection = served.connect().await;
    let reply = preflight(&mut connection, OTHER).await;
    assert_eq!((reply.status, reply.header("access-control-allow-origin")), (200, Some(OTHER)));
    let reply = connection.call("GET", KEY_PATH, &[("Origin", OTHER)], "").await;
    assert_eq!(reply.status, 401, "but not without the token");
}

#[tokio::test]
async fn name_that_a_page_has_made_point_here_is_refused() {
    let served = serve(&[MINE]).await;
    let mut connection = served.connect().await;
    for host in ["evil.example", "evil.example:3500", "localhost.evil.example", "127.0.0.1.nip.io"]
    {
        let headers =
            [("Host", host), ("Sec-Fetch-Site", "same-origin"), ("dapr-api-token", "secret")];
        let reply = connection.call("GET", KEY_PATH, &headers, "").await;
        assert_eq!(reply.status, 421, "{host}");
    }
    let absolute = "http://evil.example/v1.0/state/statestore/k";
    let headers = [("Host", "localhost"), ("dapr-api-token", "secret")];
    assert_eq!(connection.call("GET", absolute, &headers, "").await.status, 421);
}
