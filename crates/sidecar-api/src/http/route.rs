//! What a method and a path ask for.

use std::borrow::Cow;

use hyper::{Method, StatusCode};
use memchr::memchr_iter;
use smallvec::SmallVec;

use super::body::decode;
use crate::{ApiError, Target, served::Part};

#[derive(Debug, PartialEq, Eq)]
pub(super) enum Route<'p> {
    Save { store: Cow<'p, str> },
    Get { store: Cow<'p, str>, key: Cow<'p, str> },
    Delete { store: Cow<'p, str>, key: Cow<'p, str> },
    GetMany { store: Cow<'p, str> },
    Transact { store: Cow<'p, str> },
    Health,
    OutboundHealth,
    ComponentsHealth,
    GetMetadata,
    SetMetadata { name: Cow<'p, str> },
    Shutdown,
}

/// What a request may change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Changes {
    Nothing,
    /// Not before its body is there.
    ByBody,
    ByItself,
}

impl Changes {
    pub(super) fn needs_body(self) -> bool {
        self == Changes::ByBody
    }
}

impl<'p> Route<'p> {
    /// Matches the path as it was sent, cleaned like a file path but not decoded; each part that
    /// is a name is decoded once, when it is known to be one.
    ///
    /// # Errors
    ///
    /// If there is no such route, a name cannot be decoded, or cleaning would make one key of
    /// another: `a//b` is not `a/b`.
    pub(super) fn of(method: &Method, path: &'p str) -> Result<Route<'p>, ApiError> {
        let (segments, is_key_clean) = clean(path);
        let key_of = |segments: &[&'p str]| match segments {
            _ if !is_key_clean => Err(untidy(path)),
            [key] => decode(key),
            parts => decode(&parts.join("/")).map(|it| it.into_owned().into()),
        };
        let save = method == Method::POST || method == Method::PUT;
        Ok(match segments.as_slice() {
            ["v1.0", "state", store] if save => Route::Save { store: decode(store)? },
            ["v1.0", "state", store, "bulk"] if save => Route::GetMany { store: decode(store)? },
            ["v1.0", "state", store, "transaction"] if save => {
                Route::Transact { store: decode(store)? }
            }
            // Differs from Dapr: a key may contain a plain `/`; there it has to be sent as `%2F`.
            ["v1.0", "state", store, key @ ..] if !key.is_empty() && method == Method::GET => {
                Route::Get { store: decode(store)?, key: key_of(key)? }
            }
            ["v1.0", "state", store, key @ ..] if !key.is_empty() && method == Method::DELETE => {
                Route::Delete { store: decode(store)?, key: key_of(key)? }
            }
            ["v1.0", "healthz"] if method == Method::GET => Route::Health,
            ["v1.0", "healthz", "outbound"] if method == Method::GET => Route::OutboundHealth,
            ["v1.0", "healthz", "components"] if method == Method::GET => Route::ComponentsHealth,
            ["v1.0", "metadata"] if method == Method::GET => Route::GetMetadata,
            ["v1.0", "metadata", name] if method == Method::PUT => {
                Route::SetMetadata { name: decode(name)? }
            }
            ["v1.0", "shutdown"] if method == Method::POST => Route::Shutdown,
            _ => return Err(unknown(method, path)),
        })
    }

    /// The part of the API that it belongs to; `None` for health, which is for everybody.
    pub(super) fn part(&self) -> Option<Part> {
        match self {
            Route::Save { .. }
            | Route::Get { .. }
            | Route::Delete { .. }
            | Route::GetMany { .. }
            | Route::Transact { .. } => Some(Part::State),
            Route::GetMetadata | Route::SetMetadata { .. } | Route::ComponentsHealth => {
                Some(Part::Metadata)
            }
            Route::Shutdown => Some(Part::Shutdown),
            Route::Health | Route::OutboundHealth => None,
        }
    }

    /// Whether anybody may ask for it, who can reach the port for probes.
    ///
    /// Differs from Dapr: where anybody may add to the metadata on that port.
    pub(super) fn is_public(&self) -> bool {
        self.is_health() || matches!(self, Route::GetMetadata)
    }

    /// What it may change, if it comes to that.
    pub(super) fn changes(&self) -> Changes {
        match self {
            Route::Save { .. } | Route::Transact { .. } | Route::SetMetadata { .. } => {
                Changes::ByBody
            }
            Route::Delete { .. } | Route::Shutdown => Changes::ByItself,
            Route::Get { .. }
            | Route::GetMany { .. }
            | Route::Health
            | Route::OutboundHealth
            | Route::ComponentsHealth
            | Route::GetMetadata => Changes::Nothing,
        }
    }

    /// What it is for, as those are told who observe requests.
    pub(super) fn target(&self) -> Target<'_> {
        let state = |endpoint, store, has_key| Target::State { endpoint, store, has_key };
        let other = |endpoint, path| Target::Other { endpoint, path };
        match self {
            Route::Save { store } => state("SaveState", store, false),
            Route::Get { store, .. } => state("GetState", store, true),
            Route::Delete { store, .. } => state("DeleteState", store, true),
            Route::GetMany { store } => state("GetBulkState", store, false),
            Route::Transact { store } => state("ExecuteStateTransaction", store, false),
            Route::Health => other("Healthz", "/v1.0/healthz"),
            Route::OutboundHealth => other("HealthzOutbound", "/v1.0/healthz/outbound"),
            Route::ComponentsHealth => other("HealthzComponents", "/v1.0/healthz/components"),
            Route::GetMetadata => other("GetMetadata", "/v1.0/metadata"),
            Route::SetMetadata { .. } => other("PutMetadata", "/v1.0/metadata/{key}"),
            Route::Shutdown => other("Shutdown", "/v1.0/shutdown"),
        }
    }

    /// Whether this is about health alone, and says nothing that not everybody may know.
    pub(super) fn is_health(&self) -> bool {
        self.part().is_none()
    }
}

/// The segments of a path without empty ones, `.` and `..`, and whether that left alone what comes
/// after the name of a store. Source: Dapr's router.
fn clean(path: &str) -> (SmallVec<[&str; 8]>, bool) {
    /// `v1.0`, `state` and the store.
    const BEFORE_KEY: usize = 3;
    let mut segments = SmallVec::new();
    let mut is_key_clean = true;
    let path = path.strip_suffix('/').unwrap_or(path);
    let mut start = 0;
    for end in memchr_iter(b'/', path.as_bytes()).chain([path.len()]) {
        let segment = &path[start..end];
        start = end + 1;
        if !matches!(segment, "" | "." | "..") {
            segments.push(segment);
            continue;
        }
        is_key_clean &= segments.len() < BEFORE_KEY;
        if segment == ".." {
            segments.pop();
        }
    }
    (segments, is_key_clean)
}

fn untidy(path: &str) -> ApiError {
    ApiError::malformed(format!("the key in {path:?} has an empty part, or one of dots alone"))
        .hint("percent-encode the key: / as %2F, . as %2E")
}

/// The refusal of a route on the port for probes.
pub(super) fn not_public(method: &Method, path: &str) -> ApiError {
    let message = format!("{method} {path} is not served on this port");
    ApiError::new(StatusCode::NOT_FOUND, "ERR_NOT_PUBLIC", message)
        .hint("this port is for health and metadata: the API is on --dapr-http-port")
}

/// The refusal of a route that the configuration takes away.
pub(super) fn not_served(method: &Method, path: &str) -> ApiError {
    nowhere()
        .hint(format!("{method} {path} is not among what `spec.api` of the configuration allows"))
}

/// In Dapr everything unknown is a call of another application, and so is this answer.
fn nowhere() -> ApiError {
    let message = "failed getting app id either from the URL path or the header dapr-app-id";
    ApiError::new(StatusCode::NOT_FOUND, "ERR_DIRECT_INVOKE", message)
}

fn unknown(method: &Method, path: &str) -> ApiError {
    nowhere().hint(format!(
        "{method} {path} is not part of the state API: save with POST /v1.0/state/STORE, read and \
         delete with GET and DELETE /v1.0/state/STORE/KEY, see docs/reference/http-api.md"
    ))
}

#[cfg(test)]
mod tests;
