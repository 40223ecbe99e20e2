//! What a status that is an error says of the call.

use std::{collections::HashMap, error::Error as _};

use hyper_util::client::legacy;
use serde_json::Value;
use state::{Conflict, ETag, Error, FailureKind, Feature, Found, Result, Written};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::failure::{INVALID_ETAG, unsupported};

/// What a status says besides its code and message.
#[derive(Debug, Default)]
struct Told {
    reason: String,
    metadata: HashMap<String, String>,
    may_be_tried_again: bool,
}

/// The failure that a status tells of.
pub(super) fn of(status: &Status) -> Error {
    if let Some(e) = before_the_call(status) {
        return e;
    }
    let told = told(status);
    let message = status.message().to_owned();
    // Dapr says nothing of the outcome, and only these of its statuses tell.
    let outcome = told.metadata.get("outcome").map_or_else(
        || match status.code() {
            Code::Aborted => "conflict",
            Code::InvalidArgument
            | Code::Unimplemented
            | Code::FailedPrecondition
            | Code::Unauthenticated
            | Code::PermissionDenied => "not_applied",
            _ => "unknown",
        },
        String::as_str,
    );
    match outcome {
        "conflict" => conflict(&told).into(),
        "not_applied" => Error::new(kind(status, &told), message),
        _ => Error::new(FailureKind::Lost, message),
    }
}

/// What became of each of several writes, from the status of them all. `written` has what is known of those that were.
pub(super) fn of_each(status: &Status, written: Vec<Written>) -> Vec<Result<Written>> {
    let told = told(status);
    let failed: Option<Vec<Value>> =
        told.metadata.get("items").and_then(|it| serde_json::from_str(it).ok());
    let Some(failed) = failed else {
        // They failed together, or there are too many to be told apart, or this is Dapr.
        return written.iter().map(|_| Err(of(status))).collect();
    };
    let mut all: Vec<Result<Written>> = written.into_iter().map(Ok).collect();
    for item in &failed {
        let position = item["position"].as_u64().and_then(|it| usize::try_from(it).ok());
        if let Some(place) = position.and_then(|it| all.get_mut(it)) {
            *place = Err(of_item(status, &told, item));
        }
    }
    all
}

/// An item says what became of it and not why, so the status for all of them stands in.
fn of_item(status: &Status, told: &Told, item: &Value) -> Error {
    match item["outcome"].as_str() {
        Some("conflict") => Conflict::new(Found::Untold).into(),
        Some("not_applied") => {
            let message = item["message"].as_str().unwrap_or_default().to_owned();
            Error::new(kind(status, told), message)
        }
        _ => Error::new(FailureKind::Lost, "a write of several was lost"),
    }
}

/// The error of a call that cannot have reached the sidecar.
fn before_the_call(status: &Status) -> Option<Error> {
    let mut cause = status.source();
    while let Some(it) = cause {
        if it.downcast_ref::<legacy::Error>().is_some_and(legacy::Error::is_connect) {
            let message = format!("cannot connect to the sidecar: {it}");
            return Some(Error::new(FailureKind::Unavailable, message));
        }
        cause = it.source();
    }
    None
}

fn told(status: &Status) -> Told {
    let may_be_tried_again = status.get_details_retry_info().is_some();
    match status.get_details_error_info() {
        Some(it) => Told { reason: it.reason, metadata: it.metadata, may_be_tried_again },
        None => Told::default(),
    }
}

fn conflict(told: &Told) -> Conflict {
    let etag = told.metadata.get("currentETag").and_then(|it| ETag::new(it));
    let position = told.metadata.get("operation").and_then(|it| it.parse().ok()).unwrap_or(0);
    Conflict::new(etag.map_or(Found::Untold, Found::Version)).at(position)
}

/// Why a call was refused. The reason is looked at first: it is more exact than the code.
fn kind(status: &Status, told: &Told) -> FailureKind {
    let number = |name| told.metadata.get(name).and_then(|it| it.parse().ok()).unwrap_or(0);
    match told.reason.as_str() {
        "DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED" => FailureKind::Unsupported(Feature::Transactions),
        "ERR_STATE_CONSISTENCY_NOT_SUPPORTED" => {
            FailureKind::Unsupported(Feature::StrongConsistency)
        }
        "DAPR_STATE_TOO_MANY_TRANSACTIONS" => FailureKind::TooManyOperations {
            count: number("currentOpsTransaction"),
            max: number("maxOpsPerTransaction"),
        },
        _ if status.message().contains(INVALID_ETAG) => FailureKind::InvalidETag,
        _ => match status.code() {
            Code::ResourceExhausted if told.may_be_tried_again => FailureKind::Overloaded,
            Code::Unavailable | Code::DeadlineExceeded | Code::FailedPrecondition => {
                FailureKind::Unavailable
            }
            Code::Internal => FailureKind::Corrupt,
            _ => unsupported(status.message()).unwrap_or(FailureKind::Invalid),
        },
    }
}
