//! Health, metadata, shutdown.

use std::time::{Duration, Instant};

use futures::future::join_all;
use hyper::{HeaderMap, StatusCode};
use serde_json::{Value, json};

use super::{
    body::{self, Content, parameters},
    reply::{self, Reply, Response},
};
use crate::{ApiError, Component, Front, Sidecar, Stop, error::with_causes};

pub(super) fn health(sidecar: &Sidecar, query: Option<&str>) -> Reply {
    let missing = sidecar.not_ready();
    if !missing.is_empty() {
        let message = format!("dapr is not ready: [{}]", missing.join(" "));
        return Err(not_ready("ERR_HEALTH_NOT_READY", message));
    }
    let parameters = parameters(query.unwrap_or_default())?;
    let asked = parameters.get("appid");
    if asked.is_some_and(|app_id| *app_id != sidecar.identity.app_id) {
        let message = "dapr app-id does not match";
        return Err(ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ERR_HEALTH_APPID_NOT_MATCH",
            message,
        ));
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) fn outbound_health(sidecar: &Sidecar) -> Reply {
    let missing = sidecar.outbound_not_ready();
    if missing.is_empty() {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    }
    let message = format!("dapr outbound is not ready: [{}]", missing.join(" "));
    Err(not_ready("ERR_OUTBOUND_HEALTH_NOT_READY", message))
}

/// How long a database may take to answer when it is asked how it is.
const PING_MAX: Duration = Duration::from_secs(2);

/// Asks each database at this moment. Status 503 if one that counts does not answer.
pub(super) async fn components_health(sidecar: &Sidecar) -> Response {
    let components = sidecar.service.components();
    let answers = join_all(components.iter().map(|it| component_health(it))).await;
    let is_well = answers.iter().all(|(is_well, _)| *is_well);
    let components: Vec<_> = answers.into_iter().map(|(_, it)| it).collect();
    let status = if is_well { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    reply::json(status, format!("{}\n", json!({ "components": components })))
}

/// Whether the component is well, or does not count, and what there is to say of it.
async fn component_health(it: &Component) -> (bool, Value) {
    let started = Instant::now();
    let status = it.status();
    let (name, reason) = match it.store() {
        None => (status.name(), Some(status.reason().unwrap_or("it is being opened").to_owned())),
        Some(store) => match tokio::time::timeout(PING_MAX, store.ping()).await {
            Ok(Ok(())) => (status.name(), None),
            Ok(Err(e)) => ("unreachable", Some(with_causes(&e))),
            Err(_) => ("unreachable", Some(format!("no answer within {PING_MAX:?}"))),
        },
    };
    let mut health = json!({ "name": it.name, "type": it.component_type, "status": name });
    if it.store().is_some() {
        health["milliseconds"] = (started.elapsed().as_micros() as f64 / 1000.).into();
    }
    let is_well = reason.is_none() || it.optional;
    if let Some(reason) = reason {
        health["reason"] = reason.into();
    }
    (is_well, health)
}

fn not_ready(code: &'static str, message: String) -> ApiError {
    ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, code, message)
        .hint("GET /v1.0/metadata says what each component is waiting for")
}

pub(super) fn metadata(sidecar: &Sidecar) -> Response {
    reply::json(StatusCode::OK, format!("{}\n", sidecar.metadata()))
}

pub(super) async fn set_metadata(front: &Front, name: &str, body: &mut impl Content) -> Reply {
    let body = body::read(body, front).await?;
    let value = String::from_utf8(body.to_vec())
        .map_err(|_| ApiError::malformed("the body is not UTF-8"))?;
    front.sidecar.set_metadata(name, value)?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) fn shutdown(sidecar: &Sidecar, headers: &HeaderMap) -> Response {
    let force = headers.get("dapr-force-shutdown").and_then(|it| it.to_str().ok());
    let force = force.is_some_and(|it| it.trim().eq_ignore_ascii_case("true"));
    sidecar.stop(if force { Stop::AtOnce } else { Stop::Gracefully });
    reply::empty(StatusCode::NO_CONTENT)
}
