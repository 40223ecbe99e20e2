//! The gRPC front: Dapr's service, and server reflection, over cleartext HTTP/2.
//!
//! [`serve`] serves connections; `calls` translates what they ask for; `status` makes a status of an error. Nothing here
//! decides what a request means for the data: that is for `vocabulary`, and for the layers of the store.

use std::{
    convert::Infallible,
    panic::AssertUnwindSafe,
    sync::{Arc, LazyLock},
    time::Duration,
};

use bytes::Bytes;
use futures::{FutureExt, future::BoxFuture};
use http_body_util::Full;
use hyper::{
    HeaderMap, Request, Response, StatusCode, Version,
    body::Incoming,
    header::{CONTENT_TYPE, HeaderName},
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use sidecar_proto::{DESCRIPTORS, runtime::v1::dapr_server::DaprServer};
use state::Outcome;
use tonic::{Code, Status, body::Body};
use tower_service::Service;

pub use self::observed::GrpcMethod;
use self::{
    calls::Calls,
    observed::{Call, Outgoing},
};
use crate::{
    ApiError, Front, Listener, Span,
    admission::{self, Metered},
    connections::{self, Activity, Ending, Peer, Stream, Timed, drive, protocols},
};

mod calls;
mod metadata;
mod observed;
mod status;
mod unserved;

/// How often a client is asked whether it is still there, and how long it may take to say so. Source: Dapr's server.
const PING_INTERVAL: Duration = Duration::from_secs(10);
const PING_TIMEOUT: Duration = Duration::from_secs(5);

/// After which a connection without calls is asked to end. Source: Dapr's server.
const IDLE_TIMEOUT: Duration = Duration::from_secs(180);

const GRPC_TIMEOUT: HeaderName = HeaderName::from_static("grpc-timeout");
const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");

/// The path of Dapr's service, before the name of the call.
const DAPR: &str = "/dapr.proto.runtime.v1.Dapr/";

/// Serves connections from these listeners until `stop` resolves, then lets those that are busy finish for up to `grace`.
/// Returns whether they did.
///
/// Boxed, so that it is built for speed as this crate is, and not as the one that waits for it.
pub fn serve(
    front: Arc<Front>,
    listeners: Vec<Listener>,
    stop: BoxFuture<'static, ()>,
    grace: Duration,
) -> BoxFuture<'static, bool> {
    connections::serve(front, listeners, stop, grace, Some(|it| &it.grpc), talk).boxed()
}

async fn talk(front: Arc<Front>, stream: Stream, peer: Peer, ending: Ending) {
    let limits = &front.limits;
    // HTTP/1.1 is understood only to say that it is the wrong port.
    let builder = protocols(limits, PING_INTERVAL, PING_TIMEOUT);
    let activity = Arc::new(Activity::default());
    let timed = Timed::new(stream, activity.clone(), limits);
    let until = {
        let activity = activity.clone();
        async move {
            tokio::select! {
                () = ending.begins() => {}
                () = activity.idle_for(IDLE_TIMEOUT) => {}
            }
        }
    };
    let dapr = DaprServer::new(Calls(front.clone()))
        .max_decoding_message_size(limits.body_bytes_max)
        .max_encoding_message_size(limits.body_bytes_max);
    let service = service_fn(move |request: Request<Incoming>| {
        let (front, peer, dapr) = (front.clone(), peer.clone(), dapr.clone());
        let busy = activity.busy();
        async move {
            let counted = front.observer.as_ref().map(|_| front.sidecar.load.grpc.requests.count());
            let span = Span::begin(front.observer.as_deref(), request.headers());
            let mut call = Call::begin(&front, request.uri().path(), request.headers(), span);
            // Boxed, because hyper moves the whole from place to place, and this is the most of it.
            let mut response = respond(&front, &peer, dapr, request).boxed().await;
            span.tell_in_binary(response.headers_mut());
            if let Some(call) = &mut call {
                call.answered(response.headers());
            }
            drop((counted, busy));
            Ok::<_, Infallible>(response.map(|inner| Outgoing { inner, call }))
        }
    });
    drive(builder.serve_connection(TokioIo::new(timed), service).into_owned(), until).await;
}

/// Answers one call, whatever happens: a panic in here must not cost others their connection.
async fn respond(
    front: &Arc<Front>,
    peer: &Peer,
    dapr: DaprServer<Calls>,
    request: Request<Incoming>,
) -> Response<Body> {
    if let Some(refusal) = refuse_other_protocols(&request) {
        return refusal;
    }
    let answered = AssertUnwindSafe(answer(front, peer, dapr, request)).catch_unwind().await;
    let response = answered.unwrap_or_else(|_| {
        front.sidecar.panicked();
        Err(ApiError::internal())
    });
    response.unwrap_or_else(|e| Status::from(&e).into_http())
}

async fn answer(
    front: &Arc<Front>,
    peer: &Peer,
    mut dapr: DaprServer<Calls>,
    request: Request<Incoming>,
) -> Result<Response<Body>, ApiError> {
    let headers = request.headers();
    front.protection.admit_page(headers)?;
    front.protection.authenticate(peer, headers).await?;
    let path = request.uri().path();
    let Some(call) = path.strip_prefix(DAPR) else {
        return match REFLECTION.iter().find(|(prefix, _)| path.starts_with(prefix)) {
            Some((_, reflect)) => Ok(reflect(request).await),
            None => Err(unserved::service(path)),
        };
    };
    if let Some(refusal) = unserved::call(call, front.served.load().grpc) {
        return Err(refusal);
    }
    let front = front.clone();
    let time = client_timeout(headers)
        .map_or(front.limits.call_timeout, |it| it.min(front.limits.call_timeout));
    let share = Arc::new(front.body_bytes.share());
    let method = GrpcMethod::of(request.uri().path());
    let request = request.map(|inner| {
        let inner = observed::Incoming { inner, front: front.clone(), method, bytes: 0 };
        Metered { body: inner, share: share.clone() }
    });
    match tokio::time::timeout(time, dapr.call(request)).await {
        _ if share.was_refused() => Err(admission::no_room(&front.body_bytes)),
        Ok(Ok(response)) => Ok(response_of_ours(response)),
        Ok(Err(never)) => match never {},
        Err(_) => Err(too_late(method.short_name(), time)),
    }
}

/// Turns a refusal by the library, which knows no outcomes, into one of ours. All that it refuses is a message that it
/// cannot read: no call was made yet.
fn response_of_ours(response: Response<Body>) -> Response<Body> {
    // Success is told by its code alone: to read all of a status copies the headers.
    if code_of(response.headers()).is_none_or(|it| it == Code::Ok) {
        return response;
    }
    let Some(status) = Status::from_header_map(response.headers()) else { return response };
    if !status.details().is_empty() {
        return response;
    }
    let message = status.message();
    let error = match status.code() {
        Code::OutOfRange => ApiError::too_large(format!("the message is too large: {message}"))
            .hint("send less at once, or raise the limit with --max-body-size"),
        Code::Internal => ApiError::malformed(format!("the message cannot be read: {message}"))
            .hint("send one message as the .proto files have it"),
        other => ApiError::malformed(message).over_grpc(other),
    };
    Status::from(&error).into_http()
}

/// The code of a call that has ended; `None` if these headers do not end one.
fn code_of(headers: &HeaderMap) -> Option<Code> {
    headers.get(&GRPC_STATUS).map(|it| Code::from_bytes(it.as_bytes()))
}

fn too_late(call: &str, time: Duration) -> ApiError {
    let message = format!("{call} was not answered within {time:?}");
    let error = ApiError::new(StatusCode::REQUEST_TIMEOUT, "ERR_DEADLINE_EXCEEDED", message);
    if calls::is_read(call) {
        return error;
    }
    ApiError { outcome: Outcome::Unknown, ..error }
        .hint("read the state back before trying again: it may have been applied")
}

/// How long the client waits. Source: gRPC over HTTP/2, `grpc-timeout`: up to eight digits and a unit.
fn client_timeout(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(&GRPC_TIMEOUT)?.to_str().ok()?;
    let (number, unit) = text.split_at_checked(text.len().checked_sub(1)?)?;
    if number.len() > 8 {
        return None;
    }
    let number: u64 = number.parse().ok()?;
    Some(match unit {
        "H" => Duration::from_secs(number * 3600),
        "M" => Duration::from_secs(number * 60),
        "S" => Duration::from_secs(number),
        "m" => Duration::from_millis(number),
        "u" => Duration::from_micros(number),
        "n" => Duration::from_nanos(number),
        _ => return None,
    })
}

/// An answer to whoever speaks no gRPC, in HTTP.
fn refuse_other_protocols(request: &Request<impl hyper::body::Body>) -> Option<Response<Body>> {
    let kind = request.headers().get(CONTENT_TYPE).map(|it| it.as_bytes()).unwrap_or_default();
    if request.version() == Version::HTTP_2 && kind.starts_with(b"application/grpc") {
        return None;
    }
    let message = "this port is for gRPC, over HTTP/2";
    let error = ApiError::new(StatusCode::UNSUPPORTED_MEDIA_TYPE, "ERR_NOT_GRPC", message)
        .hint("the HTTP API has another port: see --dapr-http-port");
    let mut response = Response::new(Body::new(Full::new(Bytes::from(error.body()))));
    *response.status_mut() = error.status;
    let json = hyper::header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(CONTENT_TYPE, json);
    Some(response)
}

type Answering = Box<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Server reflection, in the version that is current and in the one that many clients still ask for.
static REFLECTION: LazyLock<[(&str, Answering); 2]> = LazyLock::new(|| {
    let describe = || {
        tonic_reflection::server::Builder::configure()
            .register_encoded_file_descriptor_set(DESCRIPTORS)
    };
    let complete = "what is generated is complete";
    [
        ("/grpc.reflection.v1.ServerReflection/", erased(describe().build_v1().expect(complete))),
        (
            "/grpc.reflection.v1alpha.ServerReflection/",
            erased(describe().build_v1alpha().expect(complete)),
        ),
    ]
});

fn erased<S>(service: S) -> Answering
where
    S: Service<Request<Incoming>, Response = Response<Body>, Error = Infallible>,
    S: Clone + Send + Sync + 'static,
    S::Future: Send + 'static,
{
    Box::new(move |request| {
        let answering = service.clone().call(request);
        async move { answering.await.unwrap_or_else(|never| match never {}) }.boxed()
    })
}
