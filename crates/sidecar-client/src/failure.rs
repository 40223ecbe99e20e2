//! What an answer that is an error says of the request.

use serde_json::Value;
use state::{Conflict, ETag, Error, FailureKind, Feature, Found, Result, Written};

use crate::connection::Reply;

/// Dapr's words for an ETag that its store cannot have issued.
pub(crate) const INVALID_ETAG: &str = "invalid etag value";

/// The failure that a reply tells of.
pub(crate) fn of(reply: &Reply) -> Error {
    let status = reply.status.as_u16();
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let message = match body["message"].as_str() {
        Some(it) => it.to_owned(),
        None => format!("the sidecar answered {}", reply.status),
    };
    // Dapr says nothing of the outcome, and only these of its statuses tell. The last two are for
    // heads that no server reads to their end.
    let outcome = body["outcome"].as_str().unwrap_or(match status {
        409 => "conflict",
        400 | 414 | 431 => "not_applied",
        _ => "unknown",
    });
    match outcome {
        "conflict" => conflict(&body).into(),
        "not_applied" => Error::new(kind(status, &body, &message), message),
        _ => Error::new(FailureKind::Lost, message),
    }
}

/// What became of each of `len` writes in bulk, from the reply to them all.
pub(crate) fn of_each(reply: &Reply, len: usize) -> Vec<Result<Written>> {
    let body: Value = serde_json::from_slice(&reply.body).unwrap_or_default();
    let items = body["items"].as_array().filter(|it| it.len() == len);
    match items {
        Some(items) => items.iter().map(|it| of_item(reply, it)).collect(),
        // They failed together, or this is Dapr, which does not say which of them failed.
        None => (0..len).map(|_| Err(of(reply))).collect(),
    }
}

/// An item says what became of it and not why, so the status for all of them stands in.
fn of_item(reply: &Reply, item: &Value) -> Result<Written> {
    let message = item["message"].as_str().unwrap_or_default().to_owned();
    match item["outcome"].as_str() {
        Some("ok") => Ok(Written { etag: item["etag"].as_str().and_then(ETag::new) }),
        Some("conflict") => Err(Conflict::new(Found::Untold).into()),
        Some("not_applied") => {
            Err(Error::new(kind(reply.status.as_u16(), item, &message), message))
        }
        _ => Err(Error::new(FailureKind::Lost, message)),
    }
}

fn conflict(body: &Value) -> Conflict {
    let said = |name| metadata(body, name);
    let etag = said("currentETag").and_then(ETag::new);
    let position = said("operation").and_then(|it| it.parse().ok()).unwrap_or(0);
    Conflict::new(etag.map_or(Found::Untold, Found::Version)).at(position)
}

/// Why a request was refused. The code is looked at first: it is more exact than the status.
fn kind(status: u16, body: &Value, message: &str) -> FailureKind {
    let number = |name| metadata(body, name).and_then(|it| it.parse().ok()).unwrap_or(0);
    match body["errorCode"].as_str().unwrap_or_default() {
        "ERR_STATE_STORE_NOT_SUPPORTED" => FailureKind::Unsupported(Feature::Transactions),
        "ERR_STATE_CONSISTENCY_NOT_SUPPORTED" => {
            FailureKind::Unsupported(Feature::StrongConsistency)
        }
        "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS" => FailureKind::TooManyOperations {
            count: number("currentOpsTransaction"),
            max: number("maxOpsPerTransaction"),
        },
        "ERR_STATE_STORE_NOT_CONFIGURED" => FailureKind::Unavailable,
        _ if message.contains(INVALID_ETAG) => FailureKind::InvalidETag,
        _ => match status {
            429 => FailureKind::Overloaded,
            408 | 503 => FailureKind::Unavailable,
            500.. => FailureKind::Corrupt,
            _ => unsupported(message).unwrap_or(FailureKind::Invalid),
        },
    }
}

/// The feature whose lack `message` tells of.
pub(crate) fn unsupported(message: &str) -> Option<FailureKind> {
    let features = [Feature::ETags, Feature::Ttl, Feature::StrongConsistency, Feature::List];
    let told = |it: &Feature| message.contains(&format!("does not support {}", it.name()));
    features.into_iter().find(told).map(FailureKind::Unsupported)
}

/// An entry of the `ErrorInfo` among the details.
fn metadata<'a>(body: &'a Value, name: &str) -> Option<&'a str> {
    let details = body["details"].as_array()?;
    details.iter().find_map(|it| it["metadata"][name].as_str())
}

#[cfg(test)]
mod tests;
