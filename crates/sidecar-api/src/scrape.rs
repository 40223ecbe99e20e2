//! The port of the metrics: one text, at every path.

use std::{convert::Infallible, fmt, future, sync::Arc, time::Duration};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::Full;
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderValue},
    service::service_fn,
};
use hyper_util::rt::TokioIo;

use crate::{
    ApiError, Front, Listener,
    connections::{self, Activity, Ending, Peer, Stream, Timed, drive, protocols},
};

/// What is served, to whom.
pub struct Exposition {
    /// Limits, and who may read.
    pub front: Front,
    /// Makes the text.
    pub render: Box<dyn Fn() -> String + Send + Sync>,
}

/// Prometheus' text format. Source: its documentation of exposition formats.
const TEXT: HeaderValue = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");

/// Serves the text from these listeners until the process ends. Asks for no token: it says nothing of what is stored.
pub fn serve(exposition: Arc<Exposition>, listeners: Vec<Listener>) -> BoxFuture<'static, ()> {
    let never = future::pending();
    connections::serve(exposition, listeners, never, Duration::ZERO, None, talk).map(drop).boxed()
}

async fn talk(exposition: Arc<Exposition>, stream: Stream, _: Peer, ending: Ending) {
    let limits = &exposition.front.limits;
    let builder = protocols(limits, limits.keep_alive_timeout, limits.head_timeout);
    let activity = Arc::new(Activity::default());
    let timed = Timed::new(stream, activity.clone(), limits);
    let service = service_fn(move |request: Request<Incoming>| {
        let (exposition, busy) = (exposition.clone(), activity.busy());
        async move {
            let (parts, _) = request.into_parts();
            let response = match exposition.front.protection.admit(&parts) {
                Ok(()) if parts.method == Method::GET => page((exposition.render)()),
                Ok(()) => refusal(&ApiError::new(
                    StatusCode::METHOD_NOT_ALLOWED,
                    "ERR_METHOD_NOT_ALLOWED",
                    "metrics are read with GET",
                )),
                Err(e) => refusal(&e),
            };
            drop(busy);
            Ok::<_, Infallible>(response)
        }
    });
    let connection = builder.serve_connection(TokioIo::new(timed), service);
    drive(connection.into_owned(), ending.begins()).await;
}

impl AsRef<Front> for Exposition {
    fn as_ref(&self) -> &Front {
        &self.front
    }
}

impl fmt::Debug for Exposition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Exposition").field("front", &self.front).finish_non_exhaustive()
    }
}

fn page(text: String) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(text)));
    response.headers_mut().insert(CONTENT_TYPE, TEXT);
    response
}

fn refusal(e: &ApiError) -> Response<Full<Bytes>> {
    let mut response = Response::new(Full::new(Bytes::from(e.body())));
    *response.status_mut() = e.status;
    response
}
