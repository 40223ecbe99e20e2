//! Keeps web pages away from the API: a browser on a developer's machine reaches the sidecar's
//! port as easily as the application does.

use hyper::{HeaderMap, Request, StatusCode, header::HOST, header::ORIGIN};

use crate::ApiError;

/// Who may call.
#[derive(Clone, Debug, Default)]
pub struct Protection {
    /// Host names under which the sidecar may be addressed, besides this machine's own.
    pub hosts: Vec<String>,
    /// Origins of web pages that may call, or `*` for any.
    pub origins: Vec<String>,
}

/// The names of this machine for itself.
const LOOPBACK_HOSTS: [&str; 3] = ["localhost", "127.0.0.1", "[::1]"];

impl Protection {
    /// Refuses requests that a web page made, and those under a name that is not ours, which a
    /// web page can make look like its own (DNS rebinding).
    ///
    /// Differs from Dapr: it answers both.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<(), ApiError> {
        let headers = request.headers();
        let host = request
            .uri()
            .authority()
            .map(|it| it.as_str())
            .or_else(|| text(headers, HOST.as_str()));
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

    fn admit_host(&self, authority: &str) -> Result<(), ApiError> {
        let name = host_of(authority);
        let known = |it: &str| it.eq_ignore_ascii_case(name);
        if LOOPBACK_HOSTS.iter().copied().any(known) || self.hosts.iter().any(|it| known(it)) {
            return Ok(());
        }
        let message = format!("this sidecar does not answer to the name {name:?}");
        Err(ApiError::new(StatusCode::MISDIRECTED_REQUEST, "ERR_HOST_NOT_ALLOWED", message)
            .hint("call it as localhost, or name the host in --allowed-hosts"))
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
