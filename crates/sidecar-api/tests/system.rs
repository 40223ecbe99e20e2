//! Health, metadata and shutdown, while components come up and the sidecar goes down.

use std::{sync::Arc, time::Duration};

use serde_json::json;
use sidecar_api::{AppConnection, Component, Identity, Limits, Stop};
use state::{Error, FailureKind};

use crate::support::{APP_ID, Connection, GRACE, STORE, Served, connection, memory, ready};

mod support;

/// How long a sidecar waits for requests that never end.
const SHORT_GRACE: Duration = Duration::from_millis(100);

fn component(name: &str, is_optional: bool) -> Arc<Component> {
    Arc::new(Component::new(name, "state.sqlite", "v1", is_optional))
}

async fn serve(components: &[&Arc<Component>]) -> Served {
    Served::components(components.iter().map(|it| (*it).clone()), Limits::default()).await
}

async fn status(connection: &mut Connection, path: &str) -> u16 {
    connection.call("GET", path, &[], "").await.status
}

#[tokio::test]
async fn sidecar_is_healthy_when_its_components_are_open() {
    let served = Served::store(memory().await).await;
    let mut connection = served.connect().await;
    assert_eq!(status(&mut connection, "/v1.0/healthz").await, 204);
    assert_eq!(status(&mut connection, "/v1.0/healthz/outbound").await, 204);
    let own = format!("/v1.0/healthz?appid={APP_ID}");
    assert_eq!(status(&mut connection, &own).await, 204);
    assert_eq!(status(&mut connection, "/v1.0/healthz?appid=other").await, 500);
}

#[tokio::test]
async fn component_that_is_opening_or_failing_is_not_ready_until_it_is_open() {
    let late = component(STORE, false);
    let served = serve(&[&late]).await;
    let mut connection = served.connect().await;
    let get = "/v1.0/state/statestore/k";
    for reason in ["it is being opened", "cannot reach the database"] {
        for path in ["/v1.0/healthz", "/v1.0/healthz/outbound"] {
            let reply = connection.call("GET", path, &[], "").await;
            assert_eq!(reply.status, 500);
            assert!(reply.json()["message"].as_str().unwrap().contains("[statestore]"));
        }
        let reply = connection.call("GET", get, &[], "").await;
        assert_eq!((reply.status, reply.header("retry-after")), (503, Some("1")));
        assert!(reply.json()["message"].as_str().unwrap().contains(reason), "{reply:?}");
        late.failed(&Error::new(FailureKind::Unavailable, "cannot reach the database"));
    }
    late.opened(memory().await);
    assert_eq!(status(&mut connection, "/v1.0/healthz/outbound").await, 204);
    assert_eq!(status(&mut connection, get).await, 204);
}

#[tokio::test]
async fn optional_component_does_not_keep_the_sidecar_from_being_ready() {
    let served = serve(&[&component("optional", true), &ready(memory().await)]).await;
    let mut connection = served.connect().await;
    assert_eq!(status(&mut connection, "/v1.0/healthz").await, 204);
    assert_eq!(status(&mut connection, "/v1.0/healthz/outbound").await, 204);
    assert_eq!(status(&mut connection, "/v1.0/state/optional/k").await, 503);
}

#[tokio::test]
async fn application_may_call_before_it_can_be_called() {
    let app = AppConnection { port: Some(8080), ..AppConnection::default() };
    let identity = Identity { app, ..Identity::default() };
    let served = Served::start(identity, [ready(memory().await)], Limits::default(), GRACE).await;
    let mut connection = served.connect().await;
    let reply = connection.call("GET", "/v1.0/healthz", &[], "").await;
    assert_eq!(reply.status, 500);
    assert!(reply.json()["message"].as_str().unwrap().contains("[app]"));
    assert_eq!(status(&mut connection, "/v1.0/healthz/outbound").await, 204);
    served.sidecar.reached_app();
    assert_eq!(status(&mut connection, "/v1.0/healthz").await, 204);
}

#[tokio::test]
async fn each_database_is_asked_how_it_is() {
    let late = component("late", false);
    let served = serve(&[&late, &component("optional", true), &ready(memory().await)]).await;
    let mut connection = served.connect().await;
    let reply = connection.call("GET", "/v1.0/healthz/components", &[], "").await;
    assert_eq!(reply.status, 503, "one is not open");
    let components = &reply.json()["components"];
    assert_eq!(
        (&components[0]["name"], &components[0]["status"]),
        (&json!("late"), &json!("opening"))
    );
    assert_eq!(components[0]["reason"], "it is being opened");
    assert_eq!(components[2]["status"], "ready");
    assert!(components[2]["milliseconds"].as_f64().unwrap() >= 0., "{reply:?}");
    late.opened(memory().await);
    assert_eq!(status(&mut connection, "/v1.0/healthz/components").await, 200);
}

#[tokio::test]
async fn metadata_tells_what_each_component_is_and_promises() {
    let failing = component("failing", true);
    failing.failed(&Error::new(FailureKind::Unavailable, "cannot reach the database"));
    let served = serve(&[&ready(memory().await), &failing, &component("opening", true)]).await;
    let reply = served.connect().await.call("GET", "/v1.0/metadata", &[], "").await;
    let metadata = reply.json();
    assert_eq!((reply.status, &metadata["id"]), (200, &json!(APP_ID)));
    assert!(reply.body.ends_with("}\n"));
    let components = &metadata["components"];
    assert_eq!(components[0]["status"], "failing");
    assert_eq!(components[0]["error"], "cannot reach the database");
    assert_eq!(components[1]["status"], "opening");
    let store = &components[2];
    assert_eq!((&store["name"], &store["type"]), (&json!(STORE), &json!("state.in-memory")));
    let capabilities = json!(["ETAG", "TRANSACTIONAL", "TTL", "KEYS_LIKE", "ACTOR"]);
    assert_eq!(store["capabilities"], capabilities);
    assert_eq!(store["promises"]["values"], "exact");
    assert_eq!(store["promises"]["maxKeyBytes"], 2048 - "cart||".len());
}

#[tokio::test]
async fn metadata_keeps_what_it_is_given() {
    let served = Served::store(memory().await).await;
    let mut connection = served.connect().await;
    for (path, value) in [("a", "1"), ("a%20b", "two"), ("a", "3")] {
        let target = format!("/v1.0/metadata/{path}");
        assert_eq!(connection.call("PUT", &target, &[], value).await.status, 204);
    }
    let metadata = connection.call("GET", "/v1.0/metadata", &[], "").await.json();
    assert_eq!(metadata["extended"]["a"], "3");
    assert_eq!(metadata["extended"]["a b"], "two");
}

#[tokio::test]
async fn graceful_shutdown_finishes_the_requests_under_way() {
    let mut served = Served::store(memory().await).await;
    let mut idle = served.connect().await;
    assert_eq!(status(&mut idle, "/v1.0/healthz").await, 204);
    let save = connection::request(
        "POST",
        "/v1.0/state/statestore",
        &[("Expect", "100-continue")],
        r#"[{"key":"k","value":1}]"#,
    );
    let mut under_way = served.connect().await;
    let (head, body) = save.split_at(save.len() - 5);
    under_way.send(head).await;
    // The sidecar asks for the body, so it is at work on the request.
    assert_eq!(under_way.interim().await, 100);

    let reply = served.connect().await.call("POST", "/v1.0/shutdown", &[], "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(served.sidecar.stopped().await, Stop::Gracefully);
    assert!(idle.rest().await.is_empty(), "an idle connection is closed at once");
    under_way.send(body).await;
    assert_eq!(under_way.reply().await.unwrap().status, 204);
    assert!((&mut served.serving).await.unwrap(), "all requests were finished");
    assert!(tokio::net::TcpStream::connect(served.address).await.is_err(), "the port is free");
}

#[tokio::test]
async fn graceful_shutdown_waits_no_longer_than_its_grace() {
    let components = [ready(memory().await)];
    let mut served =
        Served::start(Identity::default(), components, Limits::default(), SHORT_GRACE).await;
    let mut stuck = served.connect().await;
    let headers = [("Expect", "100-continue")];
    let save = connection::request("POST", "/v1.0/state/statestore", &headers, "[]");
    stuck.send(&save[..save.len() - 1]).await;
    assert_eq!(stuck.interim().await, 100);
    served.sidecar.stop(Stop::Gracefully);
    assert!(!(&mut served.serving).await.unwrap(), "one request was not finished");
}

#[tokio::test]
async fn forced_shutdown_is_told_apart() {
    let served = Served::store(memory().await).await;
    let headers = [("dapr-force-shutdown", "True")];
    let reply = served.connect().await.call("POST", "/v1.0/shutdown", &headers, "").await;
    assert_eq!(reply.status, 204);
    assert_eq!(served.sidecar.stopped().await, Stop::AtOnce);
}
