//! Responses.

use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderName, HeaderValue, RETRY_AFTER},
};

use crate::ApiError;

pub(super) type Response = hyper::Response<Full<Bytes>>;

/// What a handler answers.
pub(super) type Reply = Result<Response, ApiError>;

const JSON: HeaderValue = HeaderValue::from_static("application/json");
const STATE_OUTCOME: HeaderName = HeaderName::from_static("state-outcome");

pub(super) fn empty(status: StatusCode) -> Response {
    let mut response = Response::default();
    *response.status_mut() = status;
    response
}

pub(super) fn json(status: StatusCode, body: impl Into<Bytes>) -> Response {
    let mut response = Response::new(Full::new(body.into()));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, JSON);
    response
}

pub(super) fn error(e: &ApiError) -> Response {
    let mut response = json(e.status, e.body());
    let headers = response.headers_mut();
    headers.insert(STATE_OUTCOME, HeaderValue::from_static(e.outcome.name()));
    if let Some(pause) = e.extra.retry_after {
        headers.insert(RETRY_AFTER, pause.as_secs().into());
    }
    response
}
