//! From our errors to gRPC's statuses.

use std::collections::HashMap;

use serde::Serialize;
use tonic::{
    Status,
    metadata::{AsciiMetadataValue, MetadataMap},
};
use tonic_types::{
    BadRequest, ErrorDetail, ErrorInfo, FieldViolation, Help, HelpLink, ResourceInfo, RetryInfo,
    StatusExt,
};

use crate::{
    ApiError,
    error::{DOMAIN, Detail, ItemOutcome, RESOURCE_TYPE, unwrapped},
};

/// How much of the outcomes of single items goes into a status: it travels in a header, and many clients take no more
/// than 8 KiB of these.
const ITEMS_BYTES_MAX: usize = 2 << 10;

/// How much the ETags of several items may take, for the same reason, counted as HTTP/2 does.
const ETAGS_BYTES_MAX: usize = 3 << 10;

/// What HTTP/2 adds for each header. Source: RFC 9113, section 6.5.2.
const HEADER_OVERHEAD: usize = 32;

const ETAG: &str = "etag";

impl From<ApiError> for Status {
    fn from(e: ApiError) -> Status {
        Status::from(&e)
    }
}

impl From<&ApiError> for Status {
    /// There is one `ErrorInfo` in each. It has the outcome, what to do, and, where they are few, the items that failed.
    /// The ETags of the others are in the metadata, as after a success.
    fn from(e: &ApiError) -> Status {
        let mut said = vec![("outcome", e.outcome.name().to_owned())];
        said.extend(e.extra.hint.clone().map(|it| ("hint", it)));
        said.extend(items(&e.extra.items).map(|it| ("items", it)));
        let mut is_said = false;
        let mut details = Vec::with_capacity(e.extra.details.len() + 2);
        for detail in &e.extra.details {
            details.push(match detail {
                Detail::ErrorInfo { reason, metadata } => {
                    is_said = true;
                    let own = metadata.iter().flatten().cloned();
                    error_info(reason, own.chain(said.clone()))
                }
                Detail::ResourceInfo { store } => {
                    ErrorDetail::ResourceInfo(ResourceInfo::new(RESOURCE_TYPE, store, "", ""))
                }
                Detail::BadRequest { field, description } => {
                    let violation = FieldViolation::new(*field, unwrapped(description));
                    ErrorDetail::BadRequest(BadRequest::new(vec![violation]))
                }
                Detail::Help { description, url } => {
                    ErrorDetail::Help(Help::new(vec![HelpLink::new(*description, *url)]))
                }
            });
        }
        if !is_said {
            details.push(error_info(e.code, said.into_iter()));
        }
        if e.extra.retry_after.is_some() {
            details.push(ErrorDetail::RetryInfo(RetryInfo::new(e.extra.retry_after)));
        }
        let mut status = Status::with_error_details_vec(e.grpc, unwrapped(&e.message), details);
        let etags = e.extra.items.iter().map(|it| it.etag.as_deref().unwrap_or_default());
        tell_etags(status.metadata_mut(), etags);
        status
    }
}

fn error_info(reason: &str, metadata: impl Iterator<Item = (&'static str, String)>) -> ErrorDetail {
    let metadata: HashMap<String, String> = metadata.map(|(k, v)| (k.to_owned(), v)).collect();
    ErrorDetail::ErrorInfo(ErrorInfo::new(reason, DOMAIN, metadata))
}

/// The items that failed, if that is not too much: as the HTTP API has them, with their positions.
fn items(items: &[ItemOutcome]) -> Option<String> {
    #[derive(Serialize)]
    struct Failed<'a> {
        position: usize,
        #[serde(flatten)]
        item: &'a ItemOutcome,
    }
    let failed = items.iter().enumerate().filter(|(_, it)| !it.is_ok());
    let failed: Vec<_> = failed.map(|(position, item)| Failed { position, item }).collect();
    if failed.is_empty() {
        return None;
    }
    let text = serde_json::to_string(&failed).expect("strings only");
    (text.len() <= ITEMS_BYTES_MAX).then_some(text)
}

/// Adds new versions: an entry for each item, in their order, empty for one that has none. None at all if they take too
/// much room.
pub(super) fn tell_etags<'a>(
    metadata: &mut MetadataMap,
    etags: impl Iterator<Item = &'a str> + Clone,
) {
    let size = |it: &str| it.len() + ETAG.len() + HEADER_OVERHEAD;
    if etags.clone().map(size).sum::<usize>() > ETAGS_BYTES_MAX {
        return;
    }
    for etag in etags {
        // An ETag that no header can carry stays untold, and its place empty.
        let value =
            AsciiMetadataValue::try_from(etag).unwrap_or(AsciiMetadataValue::from_static(""));
        metadata.append(ETAG, value);
    }
}
