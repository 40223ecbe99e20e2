//! The body of a save.

use sidecar_api::Protection;

use crate::{expected::Expected, json_text, sidecar::Served};

/// What a save stores is what its body says, byte for byte; one that is refused stores nothing.
pub fn run(data: &[u8]) {
    let served = Served::start(Protection::default());
    let body = served.with_etag(data);
    let exchange = served.post("", &body);
    let writes = &exchange.calls.writes;
    if !exchange.reply.is_success() && writes.is_empty() {
        return;
    }
    let body = std::str::from_utf8(&body).expect("other bytes are no JSON");
    // A text that is JSON in its turn, as the how-to guide sends it.
    let inner =
        json_text::trim(body).starts_with('"').then(|| json_text::text(json_text::trim(body)));
    let items = json_text::elements(inner.as_deref().unwrap_or(body));
    assert_eq!(items.len(), writes.len(), "{exchange:?}");
    for (item, write) in items.into_iter().zip(writes) {
        Expected::put(item).check(write);
    }
    served.check_names(&exchange);
}
