//! The body of a transaction.

use sidecar_api::Protection;

use crate::{
    expected::{Expected, last},
    json_text,
    sidecar::Served,
};

/// What a transaction does is what its body says, in its order; one that is refused does nothing.
pub fn run(data: &[u8]) {
    let served = Served::start(Protection::default());
    let body = served.with_etag(data);
    let exchange = served.post("/transaction", &body);
    let writes = &exchange.calls.writes;
    if !exchange.reply.is_success() && writes.is_empty() {
        return;
    }
    let body = std::str::from_utf8(&body).expect("other bytes are no JSON");
    let members = json_text::members(body);
    let operations = last(&members, "operations").map(json_text::elements).unwrap_or_default();
    assert_eq!(operations.len(), writes.len(), "{exchange:?}");
    for (operation, write) in operations.into_iter().zip(writes) {
        Expected::operation(operation, last(&members, "metadata")).check(write);
    }
    served.check_names(&exchange);
}
