//! The HTTP front: HTTP/1.1 and cleartext HTTP/2 on one port.
//!
//! [`serve`] serves connections, and [`respond`] answers a request of one; `route` finds what a request asks for; `state_api` and
//! `system_api` answer it. Nothing here decides what a request means for the data: that is for
//! `vocabulary`, and for the layers of the store.

use std::{
    convert::Infallible,
    fmt::Display,
    panic::AssertUnwindSafe,
    sync::Arc,
    time::{Duration, Instant},
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use hyper::{
    StatusCode,
    body::{Body, Incoming},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use state::Outcome;

use self::{
    body::{Content, Watched},
    reply::{Reply, Response},
    route::{Changes, Route},
};
use crate::{
    ApiError, Front, HttpCall, Listener, Span, Target,
    connections::{self, Activity, Ending, Peer, Stream, Timed, drive, protocols},
};

mod body;
mod cors;
mod json;
mod reply;
mod route;
mod state_api;
mod system_api;

/// Serves connections from these listeners until `stop` resolves, then lets those that are busy
/// finish for up to `grace`. Returns whether they did.
///
/// Boxed, so that it is built for speed as this crate is, and not as the one that waits for it.
pub fn serve(
    front: Arc<Front>,
    listeners: Vec<Listener>,
    stop: BoxFuture<'static, ()>,
    grace: Duration,
) -> BoxFuture<'static, bool> {
    connections::serve(front, listeners, stop, grace, Some(|it| &it.http), talk).boxed()
}

async fn talk(front: Arc<Front>, stream: Stream, peer: Peer, ending: Ending) {
    let limits = &front.limits;
    let builder = protocols(limits, limits.keep_alive_timeout, limits.head_timeout);
    let builder = if front.http2 { builder } else { builder.http1_only() };
    let activity = Arc::new(Activity::default());
    let timed = Timed::new(stream, activity.clone(), limits);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (front, peer, busy) = (front.clone(), peer.clone(), activity.busy());
        async move {
            let (parts, mut body) = request.into_parts();
            let response = respond_to(&front, &peer, &parts, &mut body).await;
            if body::is_coming(&parts, &body) {
                tokio::spawn(async move {
                    body::discard(&mut body, &front.limits).await;
                    drop(busy);
                });
            }
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(timed), service);
    drive(connection.into_owned(), ending.begins()).await;
}

/// Answers one request of somebody of whom nothing is known.
pub async fn respond(
    front: &Front,
    parts: &Parts,
    body: &mut (impl Body<Data = Bytes, Error: Display> + Send + Unpin),
) -> Response {
    respond_to(front, &Peer::unknown(), parts, body).await
}

/// Answers one request, whatever happens: a panic in here must not cost others their connection.
async fn respond_to(
    front: &Front,
    peer: &Peer,
    parts: &Parts,
    body: &mut impl Content,
) -> Response {
    let route = Route::of(&parts.method, parts.uri.path());
    let span = match route.as_ref().is_ok_and(Route::is_health) {
        true => Span::default(),
        false => Span::begin(front.observer.as_deref(), &parts.headers),
    };
    let Some(observer) = &front.observer else {
        let replied = reply(front, peer, parts, body, &route).await;
        let mut response = replied.unwrap_or_else(|e| reply::error(&e));
        span.tell(&parts.headers, response.headers_mut());
        cors::show(&front.protection, &parts.headers, &mut response);
        return response;
    };
    let _busy = front.sidecar.load.http.requests.count();
    let started = Instant::now();
    let request_bytes = body.size_hint().exact().unwrap_or_default();
    let replied = reply(front, peer, parts, body, &route).await;
    let error = replied.as_ref().err().map(|it| it.code);
    let mut response = replied.unwrap_or_else(|e| reply::error(&e));
    span.tell(&parts.headers, response.headers_mut());
    cors::show(&front.protection, &parts.headers, &mut response);
    observer.http(&HttpCall {
        method: &parts.method,
        uri: &parts.uri,
        headers: &parts.headers,
        target: route.as_ref().map_or(Target::Unknown, Route::target),
        status: response.status(),
        error,
        request_bytes,
        response_bytes: response.body().size_hint().exact().unwrap_or_default(),
        elapsed: started.elapsed(),
        span,
    });
    response
}

async fn reply(
    front: &Front,
    peer: &Peer,
    parts: &Parts,
    body: &mut impl Content,
    route: &Result<Route<'_>, ApiError>,
) -> Reply {
    let answered = AssertUnwindSafe(answer(front, peer, parts, body, route)).catch_unwind().await;
    answered.unwrap_or_else(|_| {
        front.sidecar.panicked();
        Err(ApiError::internal())
    })
}

async fn answer(
    front: &Front,
    peer: &Peer,
    parts: &Parts,
    body: &mut impl Content,
    route: &Result<Route<'_>, ApiError>,
) -> Reply {
    front.protection.admit(parts)?;
    if let Some(response) = cors::preflight(&front.protection, parts) {
        return Ok(response);
    }
    let route = route.as_ref().map_err(Clone::clone)?;
    // Health is for everybody, by its exact routes: probes know no secrets.
    if !route.is_health() {
        front.protection.authenticate(peer, &parts.headers).await?;
    }
    if front.is_public && !route.is_public() {
        return Err(route::not_public(&parts.method, parts.uri.path()));
    }
    if let Some(part) = route.part()
        && !front.served.load().http.have(part)
    {
        return Err(route::not_served(&parts.method, parts.uri.path()));
    }
    let changes = route.changes();
    let mut body = Watched::new(body);
    let time = front.limits.call_timeout;
    match tokio::time::timeout(time, follow(front, route, parts, &mut body)).await {
        Ok(reply) => reply,
        Err(_) if !body.is_whole() && changes.needs_body() => Err(body::too_slow(time)),
        Err(_) => Err(too_late(time, changes)),
    }
}

async fn follow(front: &Front, route: &Route<'_>, parts: &Parts, body: &mut impl Content) -> Reply {
    match route {
        Route::Save { store } => state_api::save(front, store, parts, body).await,
        Route::Get { store, key } => state_api::get(front, store, key, parts).await,
        Route::Delete { store, key } => state_api::delete(front, store, key, parts).await,
        Route::GetMany { store } => state_api::get_many(front, store, parts, body).await,
        Route::Transact { store } => state_api::transact(front, store, parts, body).await,
        Route::Health => system_api::health(&front.sidecar, parts.uri.query()),
        Route::OutboundHealth => system_api::outbound_health(&front.sidecar),
        Route::ComponentsHealth => Ok(system_api::components_health(&front.sidecar).await),
        Route::GetMetadata => Ok(system_api::metadata(&front.sidecar)),
        Route::SetMetadata { name } => system_api::set_metadata(front, name, body).await,
        Route::Shutdown => Ok(system_api::shutdown(&front.sidecar, &parts.headers)),
    }
}

/// Differs from Dapr: it sets no limit to the time of a request.
fn too_late(time: Duration, changes: Changes) -> ApiError {
    let message = format!("the request was not answered within {time:?}");
    let code = "ERR_DEADLINE_EXCEEDED";
    if changes == Changes::Nothing {
        return ApiError::new(StatusCode::GATEWAY_TIMEOUT, code, message);
    }
    // Not a status that proxies try again by themselves.
    let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, code, message);
    ApiError { outcome: Outcome::Unknown, ..error }
        .hint("read the state back before trying again: it may have been applied")
}
