//! Whoever does not know the token gets nothing: by no route, no verb, no call, and no spelling of a path.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::FutureExt;
use h2::client::handshake;
use hyper::Request;
use prost::Message;
use prost_types::FileDescriptorSet;
use sidecar_api::{Identity, Limits, Protection, Token};
use sidecar_proto::DESCRIPTORS;
use tokio::net::TcpStream;

use crate::support::{Connection, GRACE, Served, connection::Reply, front, memory, ready};

mod support;

const TOKEN: &str = "canary-right";

/// What the documentation says of the HTTP API. Another test asks all of it of the program.
const OPENAPI: &str = include_str!("../../../docs/reference/openapi.yaml");

const ROUTES: &str = include_str!("../src/http/route.rs");

const VERBS: [&str; 8] = ["GET", "HEAD", "POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"];

const HEALTH: [&str; 2] = ["/v1.0/healthz", "/v1.0/healthz/outbound"];

/// A sidecar that asks for a token.
async fn serve() -> Served {
    let tokens = ["canary-left", TOKEN].into_iter().filter_map(Token::new).collect();
    let protection = Protection { tokens, ..Protection::default() };
    let components = [ready(memory().await)];
    let front = front(Identity::default(), components, Limits::default(), protection);
    Served::front(front, GRACE).await
}

/// Every path of the API.
fn paths() -> Vec<String> {
    let paths = OPENAPI.lines().filter_map(|it| it.strip_prefix("  /")?.strip_suffix(':'));
    let filled =
        |it: &str| it.replace("{store}", "statestore").replace("{key}", "k").replace("{name}", "n");
    paths.map(|it| format!("/{}", filled(it))).collect()
}

/// The answer to a request on a connection of its own, without its body where the method has none.
async fn ask(served: &Served, verb: &str, path: &str, token: Option<&str>) -> Reply {
    let headers: Vec<_> = token.iter().map(|it| ("dapr-api-token", *it)).collect();
    let mut connection = Connection::open(served.address).await;
    connection.send(&support::connection::request(verb, path, &headers, "")).await;
    connection.head().await
}

#[test]
fn documentation_has_all_routes() {
    let code: String = ROUTES.chars().filter(|it| !it.is_whitespace()).collect();
    // The patterns of the table, such as `["v1.0","state",store,key@..]`, without their verbs.
    let patterns: BTreeSet<_> = code
        .split("[\"v1.0\",")
        .skip(1)
        .map(|it| it.split(']').next().unwrap())
        .map(|it| it.replace("key@..", "key").replace('"', ""))
        .collect();
    let documented: BTreeSet<_> = OPENAPI
        .lines()
        .filter_map(|it| it.strip_prefix("  /v1.0/")?.strip_suffix(':'))
        .map(|it| it.replace(['{', '}'], "").replace('/', ","))
        .collect();
    assert_eq!(patterns, documented);
}

#[tokio::test]
async fn every_route_with_every_verb_asks_for_the_token() {
    let served = serve().await;
    let paths = paths();
    assert!(paths.len() >= 9, "{paths:?}");
    for path in &paths {
        for verb in VERBS {
            let is_health = verb == "GET" && HEALTH.contains(&path.as_str());
            let known = match is_shutdown(verb, path) {
                true => 204,
                false => ask(&served, verb, path, Some("canary-left")).await.status,
            };
            assert_ne!(known, 401, "{verb} {path}");
            for wrong in
                [None, Some("wrong"), Some(""), Some("canary-righ"), Some("canary-right ,")]
            {
                let status = ask(&served, verb, path, wrong).await.status;
                let expected = match known {
                    _ if is_health => 204,
                    // There is no such route, for anybody.
                    404 => 404,
                    _ => 401,
                };
                assert_eq!(status, expected, "{verb} {path} with {wrong:?}");
            }
        }
    }
    assert!(served.sidecar.stopped().now_or_never().is_none(), "nobody could stop it");
    assert_eq!(ask(&served, "POST", "/v1.0/shutdown", Some(TOKEN)).await.status, 204);
    served.sidecar.stopped().await;
}

fn is_shutdown(verb: &str, path: &str) -> bool {
    (verb, path) == ("POST", "/v1.0/shutdown")
}

#[tokio::test]
async fn no_spelling_of_a_path_does_without_the_token() {
    let served = serve().await;
    for path in [
        // Source: CVE-2023-37918: whatever had "/healthz" in it.
        "/v1.0/state/statestore/healthz",
        "/v1.0/state/statestore/k?x=/healthz",
        "/v1.0/state/statestore/k?/v1.0/healthz",
        "/v1.0/metadata?/v1.0/healthz/outbound",
        "/v1.0/healthz/../metadata",
        "/v1.0/healthz/../state/statestore/k",
        "/v1.0/healthz/outbound/../../metadata",
        "/v1.0/healthz/./../metadata",
        "//v1.0//metadata",
        "/./v1.0/metadata/",
        // Source: CVE-2026-41491: what was decoded at one place and not at another.
        "/v1.0/state/statestore/%2F..%2F..%2Fhealthz",
        "/v1.0/state/statestore/..%2F..%2Fhealthz",
        "/v1.0/state/statestore/%2e%2e%2fhealthz",
        "/v1.0/state/statestore/k%3F/v1.0/healthz",
        "/v1.0/state/statestore/k%23/v1.0/healthz",
        "/v1.0/state/statestore/k;/v1.0/healthz",
        "/v1.0/state/%73tatestore/healthz",
        "/v1.0/state/statestore/healthz%00",
        "http://localhost/v1.0/metadata",
        "http://localhost/v1.0/state/statestore/healthz",
    ] {
        let reply = ask(&served, "GET", path, None).await;
        assert!([401, 400].contains(&reply.status), "{path} is {reply:?}");
    }
    for path in ["/v1.0/healthz%2F..%2Fmetadata", "/v1.0%2Fhealthz", "/v1.0/HEALTHZ", "*"] {
        assert_eq!(ask(&served, "GET", path, None).await.status, 404, "{path}");
    }
    let spelled = [
        "/v1.0/state/statestore/../../healthz",
        "/v1.0/healthz/",
        "/v1.0/healthz?x=/v1.0/metadata",
        "http://localhost/v1.0/healthz",
    ];
    for path in spelled {
        let reply = ask(&served, "GET", path, None).await;
        assert_eq!((reply.status, reply.body.as_str()), (204, ""), "{path} is health, and no more");
    }
}

#[tokio::test]
async fn headers_of_others_are_no_token() {
    let served = serve().await;
    let mut connection = served.connect().await;
    for headers in [
        [("Authorization", TOKEN), ("X", "y")],
        [("Authorization", "Bearer canary-right"), ("X", "y")],
        [("Cookie", "dapr-api-token=canary-right"), ("X", "y")],
        [("X-Forwarded-For", "127.0.0.1"), ("X-Real-IP", "127.0.0.1")],
        [("X-Original-URL", "/v1.0/healthz"), ("X-Rewrite-URL", "/v1.0/healthz")],
        [("X-HTTP-Method-Override", "GET"), ("dapr-app-id", "cart")],
        // The first one counts.
        [("dapr-api-token", "wrong"), ("dapr-api-token", TOKEN)],
    ] {
        let path = "/v1.0/metadata?dapr-api-token=canary-right";
        assert_eq!(connection.call("GET", path, &headers, "").await.status, 401, "{headers:?}");
    }
    let good = [("DAPR-API-Token", TOKEN)];
    assert_eq!(connection.call("GET", "/v1.0/metadata", &good, "").await.status, 200);
}

/// The paths of all calls that the sidecar describes, and some that it does not.
fn calls() -> Vec<String> {
    let all = FileDescriptorSet::decode(DESCRIPTORS).expect("they are descriptors");
    let mut paths = Vec::new();
    for file in &all.file {
        for service in &file.service {
            for method in &service.method {
                paths.push(format!("/{}.{}/{}", file.package(), service.name(), method.name()));
            }
        }
    }
    assert!(paths.len() >= 9, "{paths:?}");
    let reflection = ["v1", "v1alpha"]
        .map(|it| format!("/grpc.reflection.{it}.ServerReflection/ServerReflectionInfo"));
    let strange = [
        "/dapr.proto.runtime.v1.Dapr/InvokeService",
        "/dapr.proto.runtime.v1.Dapr/",
        "/dapr.proto.runtime.v1.Dapr//GetState",
        "/DAPR.proto.runtime.v1.Dapr/GetState",
        "/grpc.health.v1.Health/Check",
        "/v1.0/healthz",
        "/",
    ];
    paths.into_iter().chain(reflection).chain(strange.map(str::to_owned)).collect()
}

#[tokio::test]
async fn every_call_over_grpc_asks_for_the_token() {
    let served = serve().await;
    for path in calls() {
        for token in [None, Some("wrong"), Some("")] {
            let stream = TcpStream::connect(served.grpc_address).await.unwrap();
            let (sender, connection) = handshake(stream).await.unwrap();
            let driving = tokio::spawn(connection);
            let mut request = Request::post(format!("http://localhost{path}"))
                .header("content-type", "application/grpc")
                .header("te", "trailers");
            if let Some(it) = token {
                request = request.header("dapr-api-token", it);
            }
            let mut sender = sender.ready().await.unwrap();
            let (answer, mut body) = sender.send_request(request.body(()).unwrap(), false).unwrap();
            let _ = body.send_data(Bytes::from_static(&[0; 5]), true);
            let answer = answer.await.unwrap();
            let status = answer.headers().get("grpc-status").map(|it| it.to_str().unwrap());
            assert_eq!(status, Some("16"), "{path} with {token:?}");
            driving.abort();
        }
    }
    assert!(served.sidecar.stopped().now_or_never().is_none(), "nobody could stop it");
}
