use std::{error::Error as _, fmt::Write as _, time::Duration};

use hyper::StatusCode;
use serde::Serialize;
use serde_json::Value;
use state::{Conflict, Error, FailureKind, Feature, Found, Outcome};
use tonic::Code;

pub(crate) use self::detail::Detail;
pub(crate) use self::detail::{DOMAIN, RESOURCE_TYPE};

mod detail;

/// A failure as a wire shows it: what went wrong, whether anything was applied, what to do.
#[derive(Clone, Debug)]
pub struct ApiError {
    /// Dapr's stable name for it, such as `ERR_STATE_GET`.
    pub code: &'static str,
    /// The HTTP status.
    pub status: StatusCode,
    /// The status over gRPC.
    pub grpc: Code,
    /// What happened, in Dapr's words where it has some.
    pub message: String,
    /// What became of the request.
    pub outcome: Outcome,
    /// Everything that only some errors have.
    pub extra: Box<Extra>,
}

/// What only some errors have.
#[derive(Clone, Debug, Default)]
pub struct Extra {
    /// What to do about it.
    pub hint: Option<String>,
    /// Rich details, in wire order.
    pub details: Vec<Detail>,
    /// One entry for each item of a bulk request, in request order.
    pub items: Vec<ItemOutcome>,
    /// When trying again makes sense.
    pub retry_after: Option<Duration>,
}

/// What became of one item of a bulk request.
#[derive(Clone, Debug, Serialize)]
pub struct ItemOutcome {
    /// The item's key.
    pub key: String,
    /// `ok`, or the name of an [`Outcome`].
    pub outcome: &'static str,
    /// The new version of an item that was written.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// The version that was found instead, if a condition did not hold and the store tells.
    #[serde(rename = "currentETag", skip_serializing_if = "Option::is_none")]
    pub current_etag: Option<String>,
    /// Why it failed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

impl ItemOutcome {
    /// Whether the item was written.
    pub(crate) fn is_ok(&self) -> bool {
        self.outcome == OK
    }
}

/// The outcome of an item that was written.
pub(crate) const OK: &str = "ok";

/// What the application was doing, with the words that its errors need.
#[derive(Clone, Copy, Debug)]
pub enum Op<'a> {
    /// Reading this key.
    Get(&'a str),
    /// Saving items.
    Save,
    /// Deleting this key.
    Delete(&'a str),
    /// Deleting several keys.
    DeleteMany,
    /// Running a transaction over these keys.
    Transact(&'a [&'a str]),
}

/// The pause that callers are asked to make before they try again.
const RETRY_AFTER: Duration = Duration::from_secs(1);

impl ApiError {
    /// The one place where a store's failure gets its name and status.
    pub(crate) fn of(op: Op<'_>, store: &str, e: &Error) -> ApiError {
        let failure = match e {
            Error::Conflict(it) => return ApiError::conflict(op, store, it),
            Error::Failure(it) => it,
        };
        let (status, prefix) = match failure.kind() {
            FailureKind::Unsupported(Feature::Transactions) => {
                return ApiError::no_transactions(store);
            }
            FailureKind::Unsupported(Feature::StrongConsistency) => {
                let message = format!("state store {store} does not offer strong consistency here");
                return ApiError::new(
                    StatusCode::BAD_REQUEST,
                    "ERR_STATE_CONSISTENCY_NOT_SUPPORTED",
                    message,
                )
                .hint("leave consistency out, or use a store that offers it: see /v1.0/metadata");
            }
            FailureKind::TooManyOperations { count, max } => {
                return ApiError::too_many_operations(store, count, max, e.to_string());
            }
            FailureKind::InvalidETag => (StatusCode::BAD_REQUEST, "invalid etag value: "),
            FailureKind::Invalid | FailureKind::Unsupported(_) => (StatusCode::BAD_REQUEST, ""),
            FailureKind::Overloaded => (StatusCode::TOO_MANY_REQUESTS, ""),
            FailureKind::Unavailable => (StatusCode::SERVICE_UNAVAILABLE, ""),
            FailureKind::Corrupt | FailureKind::Lost => (StatusCode::INTERNAL_SERVER_ERROR, ""),
        };
        let message = op.sentence(store, &format!("{prefix}{}", with_causes(e)));
        let mut error = ApiError::new(status, op.code(), message);
        if !op.is_read() {
            error.outcome = e.outcome();
        }
        if matches!(failure.kind(), FailureKind::Overloaded | FailureKind::Unavailable) {
            error.extra.retry_after = Some(failure.retry_after().unwrap_or(RETRY_AFTER));
        }
        if error.outcome == Outcome::Unknown {
            error = error.hint("read the state back before trying again: it may have been applied");
        }
        error
    }

    fn conflict(op: Op<'_>, store: &str, conflict: &Conflict) -> ApiError {
        let mut cause = "possible etag mismatch. error from state store: ".to_owned();
        let mut metadata = Vec::new();
        if let Op::Transact(keys) = op
            && let Some(key) = keys.get(conflict.position())
        {
            let position = conflict.position();
            let _ = write!(cause, "operation {position} (key {key:?}): ");
            metadata.push(("operation", position.to_string()));
            metadata.push(("key", (*key).to_owned()));
        }
        let _ = write!(cause, "{conflict}");
        if let Found::Version(etag) = conflict.found() {
            metadata.push(("currentETag", etag.as_str().to_owned()));
        }
        let error = ApiError::new(StatusCode::CONFLICT, op.code(), op.sentence(store, &cause));
        ApiError { outcome: Outcome::Conflict, ..error }
            .detail(error_info("DAPR_STATE_ETAG_MISMATCH", metadata))
            .hint("read the key again and repeat the change with the new ETag")
    }

    /// An error that changed nothing, with no details.
    pub(crate) fn new(
        status: StatusCode,
        code: &'static str,
        message: impl Into<String>,
    ) -> ApiError {
        ApiError {
            code,
            status,
            grpc: grpc_code(status),
            message: message.into(),
            outcome: Outcome::NotApplied,
            extra: Box::default(),
        }
    }

    /// The answer to a request that met a bug of ours: nobody knows what it has done.
    pub(crate) fn internal() -> ApiError {
        let message = "the sidecar failed while it answered; this is a bug";
        let error = ApiError::new(StatusCode::INTERNAL_SERVER_ERROR, "ERR_INTERNAL", message);
        ApiError { outcome: Outcome::Unknown, ..error }
            .hint("read the state back before trying again: it may have been applied")
    }

    pub(crate) fn hint(mut self, hint: impl Into<String>) -> ApiError {
        self.extra.hint = Some(hint.into());
        self
    }

    fn detail(mut self, detail: Detail) -> ApiError {
        self.extra.details.push(detail);
        self
    }

    /// With another gRPC status than the one that goes with its HTTP status.
    pub(crate) fn over_grpc(self, grpc: Code) -> ApiError {
        ApiError { grpc, ..self }
    }

    pub(crate) fn malformed(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::BAD_REQUEST, "ERR_MALFORMED_REQUEST", message)
    }

    pub(crate) fn too_large(message: impl Into<String>) -> ApiError {
        ApiError::new(StatusCode::PAYLOAD_TOO_LARGE, "ERR_MALFORMED_REQUEST", message)
    }

    /// The message is wrapped as Dapr's HTTP front wraps it; see [`unwrapped`].
    pub(crate) fn illegal_key(key: &str, store: &str) -> ApiError {
        let message = format!("{WRAPPING}input key/keyPrefix '{key}' can't contain '||'");
        ApiError::malformed(message.clone())
            .detail(Detail::BadRequest { field: "key", description: message })
            .detail(resource_info(store))
            .detail(Detail::ErrorInfo { reason: "DAPR_STATE_ILLEGAL_KEY", metadata: None })
            .hint("use another separator inside your keys: || divides the prefix from the key")
    }

    pub(crate) fn no_stores(store: &str, app_id: &str) -> ApiError {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ERR_STATE_STORE_NOT_CONFIGURED",
            format!("state store {store} is not configured"),
        )
        .over_grpc(Code::FailedPrecondition)
        .detail(error_info("DAPR_STATE_NOT_CONFIGURED", vec![("appID", app_id.to_owned())]))
        .detail(resource_info(store))
        .hint("no state store is loaded: put a component file into the folder of --resources-path")
    }

    pub(crate) fn no_such_store(store: &str, app_id: &str, loaded: &[&str]) -> ApiError {
        ApiError::new(
            StatusCode::BAD_REQUEST,
            "ERR_STATE_STORE_NOT_FOUND",
            format!("state store {store} is not found"),
        )
        .detail(error_info("DAPR_STATE_NOT_FOUND", vec![("appID", app_id.to_owned())]))
        .detail(resource_info(store))
        .hint(format!(
            "the loaded stores are {}: use one of these names, or check metadata.name and scopes \
             of the component file",
            loaded.join(", ")
        ))
    }

    /// Differs from Dapr: there, the process would not have started.
    pub(crate) fn store_not_ready(store: &str, reason: &str) -> ApiError {
        let message = format!("state store {store} is not ready: {reason}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_STATE_STORE_NOT_READY", message)
            .retry_later()
            .detail(resource_info(store))
            .hint("it is opened again in the background: try again later")
    }

    /// The refusal of a request that would be one too many for a store.
    pub(crate) fn overloaded(store: &str, max: usize) -> ApiError {
        let message = format!(
            "state store {store} has {max} requests under way, which is as many as it may have"
        );
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_STATE_STORE_OVERLOADED", message)
            .retry_later()
            .detail(resource_info(store))
            .hint("try again later, and less often; --max-in-flight-requests raises the limit")
    }

    /// As `store_not_ready`, where trying again does not help.
    pub(crate) fn store_rejected(store: &str, reason: &str) -> ApiError {
        let message = format!("state store {store} is not ready: {reason}");
        ApiError::new(StatusCode::SERVICE_UNAVAILABLE, "ERR_STATE_STORE_NOT_READY", message)
            .detail(resource_info(store))
            .hint("correct its component file: the change takes effect at once, unless hot reload is off")
    }

    /// Asks the caller to try again, after a pause.
    pub(crate) fn retry_later(mut self) -> ApiError {
        self.extra.retry_after = Some(RETRY_AFTER);
        self
    }

    fn no_transactions(store: &str) -> ApiError {
        ApiError::new(
            StatusCode::INTERNAL_SERVER_ERROR,
            "ERR_STATE_STORE_NOT_SUPPORTED",
            format!("state store {store} doesn't support transactions"),
        )
        .over_grpc(Code::Unimplemented)
        .detail(Detail::Help {
            description: "Check the list of state stores and the features they support",
            url: "https://docs.dapr.io/reference/components-reference/supported-state-stores/",
        })
        .detail(resource_info(store))
        .detail(Detail::ErrorInfo {
            reason: "DAPR_STATE_TRANSACTIONS_NOT_SUPPORTED",
            metadata: None,
        })
    }

    fn too_many_operations(store: &str, count: usize, max: usize, message: String) -> ApiError {
        let metadata = vec![
            ("currentOpsTransaction", count.to_string()),
            ("maxOpsPerTransaction", max.to_string()),
        ];
        ApiError::new(StatusCode::BAD_REQUEST, "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS", message)
            .detail(resource_info(store))
            .detail(error_info("DAPR_STATE_TOO_MANY_TRANSACTIONS", metadata))
            .hint("divide the transaction")
    }

    /// The JSON body of an error reply, what people look for first.
    pub(crate) fn body(&self) -> String {
        #[derive(Serialize)]
        struct Body<'a> {
            #[serde(rename = "errorCode")]
            error_code: &'a str,
            message: &'a str,
            #[serde(skip_serializing_if = "Option::is_none")]
            hint: Option<&'a str>,
            outcome: &'a str,
            #[serde(skip_serializing_if = "<[_]>::is_empty")]
            items: &'a [ItemOutcome],
            #[serde(skip_serializing_if = "Vec::is_empty")]
            details: Vec<Value>,
        }
        let Extra { hint, details, items, .. } = &*self.extra;
        let body = Body {
            error_code: self.code,
            message: &self.message,
            hint: hint.as_deref(),
            outcome: self.outcome.name(),
            items,
            details: details.iter().map(Detail::to_json).collect(),
        };
        serde_json::to_string(&body).expect("strings only")
    }
}

impl Op<'_> {
    fn code(self) -> &'static str {
        match self {
            Op::Get(_) => "ERR_STATE_GET",
            Op::Save => "ERR_STATE_SAVE",
            Op::Delete(_) => "ERR_STATE_DELETE",
            Op::DeleteMany => "ERR_STATE_BULK_DELETE",
            Op::Transact(_) => "ERR_STATE_TRANSACTION",
        }
    }

    fn sentence(self, store: &str, cause: &str) -> String {
        match self {
            Op::Get(key) => format!("fail to get {key} from state store {store}: {cause}"),
            Op::Save => format!("failed saving state in state store {store}: {cause}"),
            Op::Delete(key) => format!("failed deleting state with key {key}: {cause}"),
            Op::DeleteMany => format!("failed deleting state in state store {store}: {cause}"),
            Op::Transact(_) => format!("error while executing state transaction: {cause}"),
        }
    }

    fn is_read(self) -> bool {
        matches!(self, Op::Get(_))
    }
}

/// The message of an error and of all that caused it.
pub(crate) fn with_causes(e: &Error) -> String {
    let mut text = e.to_string();
    let mut cause = e.source();
    while let Some(it) = cause {
        let _ = write!(text, ": {it}");
        cause = it.source();
    }
    text
}

fn error_info(reason: &'static str, metadata: Vec<(&'static str, String)>) -> Detail {
    Detail::ErrorInfo { reason, metadata: Some(metadata) }
}

fn resource_info(store: &str) -> Detail {
    Detail::ResourceInfo { store: store.to_owned() }
}

/// What Dapr's HTTP front puts before the text of some errors.
const WRAPPING: &str = "api error: code = InvalidArgument desc = ";

/// The text as Dapr's gRPC front has it.
pub(crate) fn unwrapped(text: &str) -> &str {
    text.strip_prefix(WRAPPING).unwrap_or(text)
}

/// The gRPC status that goes with an HTTP status, where nothing else is said.
fn grpc_code(status: StatusCode) -> Code {
    match status {
        StatusCode::BAD_REQUEST => Code::InvalidArgument,
        StatusCode::UNAUTHORIZED => Code::Unauthenticated,
        StatusCode::FORBIDDEN | StatusCode::MISDIRECTED_REQUEST => Code::PermissionDenied,
        StatusCode::NOT_FOUND => Code::Unimplemented,
        StatusCode::REQUEST_TIMEOUT => Code::DeadlineExceeded,
        StatusCode::CONFLICT => Code::Aborted,
        StatusCode::PAYLOAD_TOO_LARGE | StatusCode::TOO_MANY_REQUESTS => Code::ResourceExhausted,
        StatusCode::SERVICE_UNAVAILABLE => Code::Unavailable,
        _ => Code::Internal,
    }
}

#[cfg(test)]
mod tests;
