//! Keeps web pages away from the API: a browser on a developer's machine reaches the sidecar's
//! port as easily as the application does.

use std::{fmt, net::IpAddr};

use hyper::{
    HeaderMap, StatusCode,
    header::{HOST, HeaderName, HeaderValue, ORIGIN},
    http::request::Parts,
};
use memchr::{memchr, memrchr};
use subtle::{Choice, ConstantTimeEq};

use crate::{ApiError, connections::Peer};

/// Who may call.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// Host names under which the sidecar may be addressed, besides this machine's own.
    pub hosts: Vec<String>,
    /// Whether it may be addressed by any IP address, because others can reach it by several.
    pub any_address: bool,
    /// Whether it may be addressed by any name, because no web page can reach it: it has no port.
    pub any_host: bool,
    /// Origins of web pages that may call, or `*` for any.
    pub origins: Vec<String>,
    /// What callers must know: any one of these. Nothing if there are none.
    pub tokens: Vec<Token>,
    /// Whether processes of the user who runs the sidecar may call without a token. They could read it anyway, from the
    /// environment of the sidecar or of its application.
    pub trusts_own_user: bool,
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

const API_TOKEN: HeaderName = HeaderName::from_static("dapr-api-token");
const SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// The names of this machine for itself.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Protection {
    /// Refuses requests that a web page made, and those under a name that is not ours, which a
    /// web page can make look like its own (DNS rebinding).
    ///
    /// Differs from Dapr: it answers both.
    pub(crate) fn admit(&self, parts: &Parts) -> Result<(), ApiError> {
        let headers = &parts.headers;
        // No name is there more than once in most requests, which is known without looking for one.
        let repeats = headers.len() > headers.keys_len();
        if repeats && headers.get_all(HOST).iter().nth(1).is_some() {
            return Err(ApiError::malformed("the request has more than one Host"));
        }
        let authority = parts.uri.authority().map(|it| it.as_str());
        let host = authority.or_else(|| text(headers, &HOST));
        if let Some(host) = host.filter(|_| !self.any_host) {
            self.admit_host(host)?;
        }
        self.admit_page(headers)
    }

    /// Refuses requests that a web page made.
    pub(crate) fn admit_page(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        let origin = text(headers, &ORIGIN);
        if let Some(origin) = origin {
            if self.names_origin(origin) || self.allows_any_origin() {
                return Ok(());
            }
            return Err(cross_site(&format!("the origin {origin} may not call this sidecar")));
        }
        match text(headers, &SEC_FETCH_SITE) {
            None | Some("none" | "same-origin") => Ok(()),
            Some(other) => {
                Err(cross_site(&format!("a {other} web page may not call this sidecar")))
            }
        }
    }

    /// Whether pages of this origin may call.
    pub(crate) fn allows_origin(&self, origin: &HeaderValue) -> bool {
        self.allows_any_origin() || origin.to_str().is_ok_and(|it| self.names_origin(it))
    }

    fn allows_any_origin(&self) -> bool {
        self.origins.iter().any(|it| it == "*")
    }

    fn names_origin(&self, origin: &str) -> bool {
        self.origins.iter().any(|it| it.eq_ignore_ascii_case(origin))
    }

    /// Refuses callers that do not know a token.
    pub(crate) async fn authenticate(
        &self,
        peer: &Peer,
        headers: &HeaderMap,
    ) -> Result<(), ApiError> {
        if self.tokens.is_empty() {
            return Ok(());
        }
        let problem = match headers.get(&API_TOKEN) {
            Some(sent) if self.is_token(sent.as_bytes()) => return Ok(()),
            Some(_) => "the API token is wrong",
            None if self.trusts_own_user
                && !self.is_any_page(headers)
                && peer.is_own_user().await =>
            {
                return Ok(());
            }
            None => "the API token is missing",
        };
        Err(ApiError::new(StatusCode::UNAUTHORIZED, "ERR_API_TOKEN", problem)
            .hint("send the value of DAPR_API_TOKEN in the header dapr-api-token"))
    }

    /// Whether a page makes the request that nobody has named. Its browser belongs to the user, and it does not.
    fn is_any_page(&self, headers: &HeaderMap) -> bool {
        text(headers, &ORIGIN).is_some_and(|it| !self.names_origin(it))
    }

    /// In constant time: how long a refusal takes must not tell how much was right, or of which token.
    fn is_token(&self, sent: &[u8]) -> bool {
        let none = Choice::from(0);
        self.tokens.iter().fold(none, |any, Token(it)| any | it.as_bytes().ct_eq(sent)).into()
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
    let user = memrchr(b'@', authority.as_bytes()).map_or(0, |it| it + 1);
    let authority = &authority[user..];
    let bracket = memrchr(b']', authority.as_bytes()).map_or(0, |it| it + 1);
    let port = memchr(b':', &authority.as_bytes()[bracket..]);
    &authority[..port.map_or(authority.len(), |it| bracket + it)]
}

/// A header that is not text matches nothing, and so is refused like a wrong one.
///
/// Names are constants: one that is a text would have to be read anew for every request.
fn text<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a str> {
    headers.get(name).map(|it| it.to_str().unwrap_or("?"))
}

#[cfg(test)]
mod tests;
