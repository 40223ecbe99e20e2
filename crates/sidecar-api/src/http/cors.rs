//! What browsers have to be told before they show an answer to a page of another origin. Source: Fetch Standard, section 3.2.

use hyper::{
    HeaderMap, Method, StatusCode,
    header::{
        ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS, ACCESS_CONTROL_ALLOW_ORIGIN,
        ACCESS_CONTROL_EXPOSE_HEADERS, ACCESS_CONTROL_MAX_AGE, ACCESS_CONTROL_REQUEST_HEADERS,
        ACCESS_CONTROL_REQUEST_METHOD, HeaderValue, ORIGIN, VARY,
    },
    http::request::Parts,
};

use super::reply::{self, Response};
use crate::Protection;

/// The methods that some route has.
const METHODS: HeaderValue = HeaderValue::from_static("GET, POST, PUT, DELETE");

/// What a page may read of an answer besides its body.
const EXPOSED: HeaderValue = HeaderValue::from_static(
    "etag, metadata.ttlexpiretime, preference-applied, retry-after, state-outcome",
);

/// For how long a browser need not ask again, in seconds.
const MAX_AGE: HeaderValue = HeaderValue::from_static("600");

/// What an answer to a preflight depends on.
const ASKED: HeaderValue =
    HeaderValue::from_static("access-control-request-method, access-control-request-headers");

/// The answer to a browser that asks whether a page may make a request; `None` if this is no such question. It needs no
/// token: browsers send none with it.
pub(super) fn preflight(protection: &Protection, parts: &Parts) -> Option<Response> {
    if parts.method != Method::OPTIONS || protection.origins.is_empty() {
        return None;
    }
    let headers = &parts.headers;
    if !headers.contains_key(ORIGIN) || !headers.contains_key(ACCESS_CONTROL_REQUEST_METHOD) {
        return None;
    }
    let mut response = reply::empty(StatusCode::OK);
    let answer = response.headers_mut();
    answer.insert(ACCESS_CONTROL_ALLOW_METHODS, METHODS);
    answer.insert(ACCESS_CONTROL_MAX_AGE, MAX_AGE);
    answer.insert(VARY, ASKED);
    // Any may be sent. `*` would not stand for `authorization`.
    if let Some(it) = headers.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        answer.insert(ACCESS_CONTROL_ALLOW_HEADERS, it.clone());
    }
    Some(response)
}

/// Lets a page of an allowed origin see the answer, be it an error. Cookies are not asked for: the API has none.
pub(super) fn show(protection: &Protection, request: &HeaderMap, response: &mut Response) {
    if protection.origins.is_empty() {
        return;
    }
    let answer = response.headers_mut();
    // Also without an origin: a cache must not give one page the answer to another.
    answer.append(VARY, HeaderValue::from_static("origin"));
    let origin = request.get(ORIGIN).filter(|it| protection.allows_origin(it));
    if let Some(origin) = origin {
        answer.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        answer.insert(ACCESS_CONTROL_EXPOSE_HEADERS, EXPOSED);
    }
}
