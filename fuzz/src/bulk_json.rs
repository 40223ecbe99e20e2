//! The body of a bulk get.

use bytes::Bytes;
use sidecar_api::Protection;

use crate::{
    expected::last,
    json_text,
    sidecar::{Exchange, Served, own_key},
};

/// A bulk get answers each key it names, in order, with the bytes that are stored; it writes
/// nothing.
pub fn run(data: &[u8]) {
    let served = Served::start(Protection::default());
    let exchange = served.post("/bulk", data);
    assert!(exchange.calls.writes.is_empty(), "{exchange:?}");
    if !exchange.reply.is_success() {
        assert!(exchange.calls.reads.is_empty(), "{exchange:?}");
        return;
    }
    let body = std::str::from_utf8(data).expect("other bytes are no JSON");
    let keys = last(&json_text::members(body), "keys").map(json_text::elements).unwrap_or_default();
    let answer = std::str::from_utf8(&exchange.reply.body).expect("an answer is JSON");
    serde_json::from_str::<serde::de::IgnoredAny>(answer).expect("an answer is JSON");
    let entries = json_text::elements(answer);
    let reads = &exchange.calls.reads;
    assert_eq!((reads.len(), entries.len()), (keys.len(), keys.len()), "{exchange:?}");
    for ((key, read), entry) in keys.into_iter().zip(reads).zip(entries) {
        assert_eq!(own_key(&read.key), json_text::text(key));
        check_entry(entry, &exchange, &read.key);
    }
    served.check_names(&exchange);
}

fn check_entry(entry: &str, exchange: &Exchange, key: &state::Key) {
    let members = json_text::members(entry);
    assert_eq!(last(&members, "key").map(json_text::text).as_deref(), Some(own_key(key)));
    let stored = exchange.after.get(key);
    assert_eq!(last(&members, "etag").is_some(), stored.is_some(), "{entry}");
    // Not with `last`: here, `null` is a value.
    let data = members.iter().find(|(name, _)| name == "data").map(|(_, data)| *data);
    match last(&members, "encoding") {
        None => assert_eq!(data.map(str::as_bytes), stored.map(Bytes::as_ref), "{entry}"),
        Some(encoding) => {
            assert_eq!(encoding, "\"base64\"");
            let text = stored.and_then(|it| std::str::from_utf8(it).ok());
            let json = text.map(serde_json::from_str::<serde::de::IgnoredAny>);
            assert!(json.is_none_or(|it| it.is_err()), "JSON is encoded: {entry}");
        }
    }
}
