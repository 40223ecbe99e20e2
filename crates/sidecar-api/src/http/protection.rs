//! Keeps web pages away from the API: a browser on a developer's machine reaches the sidecar's
//! port as easily as the application does.

use std::{fmt, net::IpAddr};

use hyper::{
    HeaderMap, StatusCode,
    header::{HOST, HeaderValue, ORIGIN},
    http::request::Parts,
};
use subtle::ConstantTimeEq;

use super::route::Route;
use crate::ApiError;

/// Who may call.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// Host names under which the sidecar may be addressed, besides this machine's own.
    pub hosts: Vec<String>,
    /// Whether it may be addressed by any IP address, because others can reach it by several.
    pub any_address: bool,
    /// Origins of web pages that may call, or `*` for any.
    pub origins: Vec<String>,
    /// What every caller must know.
    pub token: Option<Token>,
}

/// A secret that callers send in the header `dapr-api-token`. Its `Debug` does not show it.
#[derive(Clone)]
pub struct Token(String);

impl Token {
    /// Returns `None` if `text` is empty, which means that nothing needs to be known.
    pub fn new(text: &str) -> Option<Token> {
        (!text.is_empty()).then(|| Token(text.to_owned()))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Token(…)")
    }
}

const API_TOKEN: &str = "dapr-api-token";

/// The names of this machine for itself.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Protection {
    /// Refuses requests that a web page made, and those under a name that is not ours, which a
    /// web page can make look like its own (DNS rebinding).
    ///
    /// Differs from Dapr: it answers both.
    pub(super) fn admit(&self, parts: &Parts) -> Result<(), ApiError> {
        let headers = &parts.headers;
        if headers.get_all(HOST).iter().nth(1).is_some() {
            return Err(ApiError::malformed("the request has more than one Host"));
        }
        let authority = parts.uri.authority().map(|it| it.as_str());
        let host = authority.or_else(|| text(headers, HOST.as_str()));
        if let Some(host) = host {
            self.admit_host(host)?;
        }
        let origin = text(headers, ORIGIN.as_str());
        if let Some(origin) = origin {
            if self.origins.iter().any(|it| it == "*" || it.eq_ignore_ascii_case(origin)) {
                return Ok(());
            }
            return Err(cross_site(&format!("the origin {origin} may not call this sidecar")));
        }
        match text(headers, "sec-fetch-site") {
            None | Some("none" | "same-origin") => Ok(()),
            Some(other) => {
                Err(cross_site(&format!("a {other} web page may not call this sidecar")))
            }
        }
    }

    /// Refuses callers that do not know the token. Health is for everybody, by its exact routes.
    pub(super) fn authenticate(&self, route: &Route, headers: &HeaderMap) -> Result<(), ApiError> {
        let Some(Token(expected)) = &self.token else { return Ok(()) };
        let sent = headers.get(API_TOKEN).map(HeaderValue::as_bytes).unwrap_or_default();
        // In constant time: how long a refusal takes must not tell how much was right.
        if route.is_health() || bool::from(expected.as_bytes().ct_eq(sent)) {
            return Ok(());
        }
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "ERR_API_TOKEN", "invalid api token")
            .hint("send the value of DAPR_API_TOKEN in the header dapr-api-token"))
    }

    fn admit_host(&self, authority: &str) -> Result<(), ApiError> {
        let name = host_of(authority);
        let known = |it: &str| it.eq_ignore_ascii_case(name);
        // A web page can make a name of its own stand for our address, but no address of its own.
        let is_address = || name.trim_matches(['[', ']']).parse::<IpAddr>().is_ok();
        if self.any_address && is_address() {
            return Ok(());
        }
        if LOOPBACK_HOSTS.iter().copied().any(known) || self.hosts.iter().any(|it| known(it)) {
            return Ok(());
        }
        let message = format!("this sidecar does not answer to the name {name:?}");
        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "ERR_HOST_NOT_ALLOWED", message)
            .hint("call it as localhost on this machine, or name the host in --allowed-hosts"))
    }
}

fn cross_site(message: &str) -> ApiError {
    ApiError::new(StatusCode::FORBIDDEN, "ERR_ORIGIN_NOT_ALLOWED", message)
        .hint("name the page's origin in --allowed-origins if it is yours")
}

/// The host of `host:port`, where an IPv6 address has brackets.
fn host_of(authority: &str) -> &str {
    let authority = authority.rsplit_once('@').map_or(authority, |(_, it)| it);
    let bracket = authority.rfind(']').map_or(0, |it| it + 1);
    let port = authority[bracket..].find(':').map_or(authority.len(), |it| bracket + it);
    &authority[..port]
}

/// A header that is not text matches nothing, and so is refused like a wrong one.
fn text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).map(|it| it.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests;
