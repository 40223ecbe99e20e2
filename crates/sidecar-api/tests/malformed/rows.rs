//! The table.

mod requests;
mod surroundings;
mod wire;

pub(crate) use surroundings::without_stores;

/// One malformed request.
#[derive(Debug)]
pub(crate) struct Row {
    pub(crate) name: &'static str,
    pub(crate) request: Vec<u8>,
    /// Whether the client sends no more after it and says so.
    pub(crate) is_truncated: bool,
    pub(crate) expected: Expected,
}

#[derive(Clone, Copy, Debug)]
pub(crate) enum Expected {
    /// An answer of ours, whose message or hint contains `says`.
    Refused { status: u16, code: &'static str, says: &'static str },
    /// An answer of the HTTP library: it understood too little of the request to pass it on.
    Bare(u16),
    /// No answer: what came is not HTTP/1.
    Closed,
}

pub(crate) const STORE_PATH: &str = "/v1.0/state/statestore";
pub(crate) const CANARY_PATH: &str = "/v1.0/state/statestore/canary";
const BULK_PATH: &str = "/v1.0/state/statestore/bulk";
const TRANSACTION_PATH: &str = "/v1.0/state/statestore/transaction";

const MALFORMED: &str = "ERR_MALFORMED_REQUEST";
const BODY_READ: &str = "ERR_BODY_READ";
const NO_ROUTE: &str = "ERR_DIRECT_INVOKE";
const HOST: &str = "ERR_HOST_NOT_ALLOWED";
const ORIGIN: &str = "ERR_ORIGIN_NOT_ALLOWED";
const NO_STORE: &str = "ERR_STATE_STORE_NOT_FOUND";
const NO_STORES: &str = "ERR_STATE_STORE_NOT_CONFIGURED";
const NOT_READY: &str = "ERR_STATE_STORE_NOT_READY";
const SAVE: &str = "ERR_STATE_SAVE";

/// The limit on a body, and one byte more.
const BODY_BYTES_MAX: usize = 4 << 20;
const TOO_MANY_BYTES: usize = BODY_BYTES_MAX + 1;

impl Row {
    fn new(
        name: &'static str,
        request: impl Into<Vec<u8>>,
        status: u16,
        code: &'static str,
        says: &'static str,
    ) -> Row {
        let expected = Expected::Refused { status, code, says };
        Row { name, request: request.into(), is_truncated: false, expected }
    }

    fn bare(name: &'static str, request: impl Into<Vec<u8>>, status: u16) -> Row {
        let expected = Expected::Bare(status);
        Row { name, request: request.into(), is_truncated: false, expected }
    }

    fn truncated(self) -> Row {
        Row { is_truncated: true, ..self }
    }
}

pub(crate) fn all() -> Vec<Row> {
    [
        requests::save_bodies(),
        requests::items(),
        requests::options(),
        requests::times_to_live(),
        requests::conditions(),
        requests::bulk_gets(),
        requests::transactions(),
        wire::keys_in_paths(),
        wire::queries(),
        wire::sizes(),
        wire::framing(),
        wire::heads(),
        surroundings::routes(),
        surroundings::callers(),
        surroundings::stores(),
        surroundings::refusals_of_a_store(),
        surroundings::system(),
    ]
    .into_iter()
    .flatten()
    .collect()
}
