//! The HTTP front: HTTP/1.1 and cleartext HTTP/2 on one port.
//!
//! [`serve`] accepts connections, and [`respond`] answers a request of one; `route` finds what a request asks for; `state_api` and
//! `system_api` answer it. Nothing here decides what a request means for the data: that is for
//! `vocabulary`, and for the layers of the store.

use std::{
    convert::Infallible, fmt::Display, future::Future, panic::AssertUnwindSafe, sync::Arc,
    time::Duration,
};

use bytes::Bytes;
use futures::FutureExt;
use hyper::{
    body::{Body, Incoming},
    http::request::Parts,
    service::service_fn,
};
use hyper_util::{
    rt::{TokioExecutor, TokioIo, TokioTimer},
    server::{
        conn::auto,
        graceful::{GracefulShutdown, Watcher},
    },
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};
use tracing::{debug, error, warn};

use self::{
    body::Content,
    reply::{Reply, Response},
    route::Route,
    timed::{Activity, Timed},
};
use crate::{ApiError, Sidecar};

mod body;
mod json;
mod protection;
mod reply;
mod route;
mod state_api;
mod system_api;
mod timed;

pub use protection::{Protection, Token};

/// How much of everything the front puts up with.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Bytes of a request's body.
    pub body_bytes_max: usize,
    /// Bytes of a request's line and headers.
    pub head_bytes_max: usize,
    /// Headers of a request.
    pub headers_max: usize,
    /// Connections at the same time; one more waits to be accepted.
    pub connections_max: usize,
    /// From the first byte of a request's head to its last.
    pub head_timeout: Duration,
    /// Between two pieces of a request's body.
    pub body_idle_timeout: Duration,
    /// Between two requests on one connection.
    pub keep_alive_timeout: Duration,
    /// While a client takes nothing of a response.
    pub write_timeout: Duration,
}

/// Source of the figures: the project's security goals; 4 MiB is Dapr's.
impl Default for Limits {
    fn default() -> Limits {
        Limits {
            body_bytes_max: 4 << 20,
            head_bytes_max: 16 << 10,
            headers_max: 100,
            connections_max: 4096,
            head_timeout: Duration::from_secs(10),
            body_idle_timeout: Duration::from_secs(10),
            keep_alive_timeout: Duration::from_secs(120),
            write_timeout: Duration::from_secs(30),
        }
    }
}

/// What serving needs to know besides the sidecar itself.
#[derive(Debug)]
pub struct Front {
    /// What requests are about.
    pub sidecar: Arc<Sidecar>,
    /// How much is put up with.
    pub limits: Limits,
    /// Who may call.
    pub protection: Protection,
}

/// HTTP/2 figures: streams of one connection, and resets that may be pending. Source: the
/// project's security goals; CVE-2023-44487.
const STREAMS_MAX: u32 = 100;
const PENDING_RESETS_MAX: usize = 20;

/// The pause after the system had no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Serves connections from these listeners until `stop` resolves, then lets those that are busy
/// finish for up to `grace`. Returns whether they did.
pub async fn serve(
    front: Arc<Front>,
    listeners: Vec<TcpListener>,
    stop: impl Future<Output = ()>,
    grace: Duration,
) -> bool {
    let graceful = Arc::new(GracefulShutdown::new());
    let permits = Arc::new(Semaphore::new(front.limits.connections_max));
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (front, permits, graceful) = (front.clone(), permits.clone(), graceful.clone());
        accepting.spawn(accept(front, listener, permits, graceful));
    }
    stop.await;
    accepting.shutdown().await;
    let graceful = Arc::into_inner(graceful).expect("the tasks that shared it have ended");
    tokio::time::timeout(grace, graceful.shutdown()).await.is_ok()
}

async fn accept(
    front: Arc<Front>,
    listener: TcpListener,
    permits: Arc<Semaphore>,
    graceful: Arc<GracefulShutdown>,
) {
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let stream = match listener.accept().await {
            Ok((stream, _)) => stream,
            Err(e) => {
                // Out of file descriptors, mostly: others will be closed, and this one waits.
                warn!(error = %e, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (front, watcher) = (front.clone(), graceful.watcher());
        tokio::spawn(async move {
            serve_connection(front, stream, watcher).await;
            drop(permit);
        });
    }
}

async fn serve_connection(front: Arc<Front>, stream: TcpStream, watcher: Watcher) {
    if let Err(e) = stream.set_nodelay(true) {
        debug!(error = %e, "cannot switch off Nagle's algorithm");
    }
    let limits = &front.limits;
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `Timed` does this: hyper's own timeout cannot tell an idle connection from a slow one.
        .header_read_timeout(None)
        .max_headers(limits.headers_max)
        .max_buf_size(limits.head_bytes_max.max(8192));
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_header_list_size(limits.head_bytes_max as u32)
        .keep_alive_interval(limits.keep_alive_timeout)
        .keep_alive_timeout(limits.head_timeout);
    let activity = Arc::new(Activity::default());
    let timed = Timed::new(stream, activity.clone(), limits);
    let service = service_fn(move |request: hyper::Request<Incoming>| {
        let (front, busy) = (front.clone(), activity.busy());
        async move {
            let (parts, mut body) = request.into_parts();
            let response = respond(&front, &parts, &mut body).await;
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
    if let Err(e) = watcher.watch(connection.into_owned()).await {
        debug!(error = %e, "connection ended");
    }
}

/// Answers one request, whatever happens: a panic in here must not cost others their connection.
pub async fn respond(
    front: &Front,
    parts: &Parts,
    body: &mut (impl Body<Data = Bytes, Error: Display> + Send + Unpin),
) -> Response {
    let answered = AssertUnwindSafe(answer(front, parts, body)).catch_unwind().await;
    match answered {
        Ok(Ok(response)) => response,
        Ok(Err(e)) => reply::error(&e),
        Err(_) => {
            error!("a request made the sidecar panic; this is a bug");
            reply::error(&ApiError::internal())
        }
    }
}

async fn answer(front: &Front, parts: &Parts, body: &mut impl Content) -> Reply {
    front.protection.admit(parts)?;
    let route = Route::of(&parts.method, parts.uri.path())?;
    front.protection.authenticate(&route, &parts.headers)?;
    match route {
        Route::Save { store } => state_api::save(front, &store, parts, body).await,
        Route::Get { store, key } => state_api::get(front, &store, &key, parts).await,
        Route::Delete { store, key } => state_api::delete(front, &store, &key, parts).await,
        Route::GetMany { store } => state_api::get_many(front, &store, parts, body).await,
        Route::Transact { store } => state_api::transact(front, &store, parts, body).await,
        Route::Health => system_api::health(&front.sidecar, parts.uri.query()),
        Route::OutboundHealth => system_api::outbound_health(&front.sidecar),
        Route::GetMetadata => Ok(system_api::metadata(&front.sidecar)),
        Route::SetMetadata { name } => system_api::set_metadata(front, &name, body).await,
        Route::Shutdown => Ok(system_api::shutdown(&front.sidecar, &parts.headers)),
    }
}
