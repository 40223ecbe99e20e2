//! Health, metadata, shutdown.

use hyper::{HeaderMap, StatusCode};

use super::{
    body::{self, Content, parameters},
    reply::{self, Reply, Response},
};
use crate::{ApiError, Front, Sidecar, Stop};

pub(super) fn health(sidecar: &Sidecar, query: Option<&str>) -> Reply {
    let missing = sidecar.not_ready();
    if !missing.is_empty() {
        let message = format!("dapr is not ready: [{}]", missing.join(" "));
        return Err(not_ready("ERR_HEALTH_NOT_READY", message));
    }
    let parameters = parameters(query)?;
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
