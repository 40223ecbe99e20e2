//! The bytes that are sent: keys, values and whole requests.

use std::{ops::Range, sync::LazyLock};

use bytes::Bytes;
use prost::Message;
use sidecar_proto::{
    common::v1::StateItem,
    runtime::v1::{GetStateRequest, SaveStateRequest},
};

use crate::{
    client::{Good, Request, Wire},
    load::Requests,
};

/// The store's name when it comes from `--state-store`.
const STORE: &str = "statestore";

/// How many keys there are.
pub(crate) const KEYS: usize = 10_000;

/// Bytes of a value.
pub(crate) const VALUE_LEN: usize = 1024;

/// A value like those that applications keep: a JSON object of short fields.
pub(crate) static VALUE: LazyLock<Bytes> = LazyLock::new(|| {
    let fields = (0..18).map(|it| format!(r#""field_{it:02}":"{:032x}""#, u128::MAX / (it + 3)));
    let fields = fields.collect::<Vec<_>>().join(",");
    let padding = VALUE_LEN - fields.len() - r#"{,"note":""}"#.len();
    format!(r#"{{{fields},"note":"{}"}}"#, "n".repeat(padding)).into()
});

/// What follows the value of a save whose answer means that it is on the disk.
pub(crate) const STRONG: &str = r#","options":{"consistency":"strong"}"#;

/// What follows the value of a save with a lifetime that no run outlives.
pub(crate) const TTL: &str = r#","metadata":{"ttlInSeconds":"86400"}"#;

/// The n-th key to be used. Neighbours in time are no neighbours in the database, and none comes
/// again before all others have.
pub(crate) fn key(n: usize) -> String {
    /// Has no divisor in common with `KEYS`.
    const STRIDE: usize = 7919;
    format!("order-{:08}", n % KEYS * STRIDE % KEYS)
}

/// A read of each key, which must be there.
pub(crate) fn gets() -> Requests {
    let good = Good { statuses: &[200], body_len_min: VALUE_LEN };
    Requests { all: (0..KEYS).map(|it| Request::Http(get(&key(it)))).collect(), keys_each: 1, good }
}

/// Reads of the same keys in the same order, `len` at a time. Must be a divisor of `KEYS`.
pub(crate) fn bulk_gets(len: usize) -> Requests {
    let bytes = (0..KEYS / len).map(|it| bulk_get(it * len..(it + 1) * len));
    let entry_len_min = key(0).len() + VALUE_LEN;
    let good = Good { statuses: &[200], body_len_min: len * entry_len_min };
    Requests { all: bytes.map(Request::Http).collect(), keys_each: len, good }
}

/// A save of each key. `options` follow the value.
pub(crate) fn saves(options: &str) -> Requests {
    let good = Good { statuses: &[204], body_len_min: 0 };
    let all = (0..KEYS).map(|it| Request::Http(save(&key(it), options))).collect();
    Requests { all, keys_each: 1, good }
}

/// A read and a save of different keys, in turn. The first reads come before the saves.
pub(crate) fn mixed() -> Requests {
    let half = KEYS / 2;
    let pair = |it| [get(&key(it)), save(&key(it + half), "")];
    let good = Good { statuses: &[200, 204], body_len_min: 0 };
    Requests { all: (0..KEYS).flat_map(pair).map(Request::Http).collect(), keys_each: 1, good }
}

/// What an application does in a day, in a fixed order: 12 reads, 4 saves, one of them with a lifetime,
/// a delete, a transaction of 5 and two bulk gets of 20, again and again with other keys.
pub(crate) fn everyday() -> Requests {
    let mut next = 0..;
    let mut key_range = |len| {
        let start = next.nth(len - 1).expect("there is no end") + 1 - len;
        start..start + len
    };
    let mut all = Vec::new();
    for _ in 0..KEYS / 20 {
        for options in ["", TTL, "", ""] {
            all.extend(key_range(3).map(|it| get(&key(it))));
            all.extend(key_range(1).map(|it| save(&key(it), options)));
        }
        all.extend([bulk_get(key_range(20)), transaction(key_range(5))]);
        all.extend(key_range(1).map(|it| delete(&key(it))));
        all.push(bulk_get(key_range(20)));
    }
    // Not every key is there.
    let good = Good { statuses: &[200, 204], body_len_min: 0 };
    Requests { all: all.into_iter().map(Request::Http).collect(), keys_each: 1, good }
}

/// A read of a key that is not there.
pub(crate) fn probe(wire: Wire) -> Request {
    match wire {
        Wire::Http => Request::Http(get("absent")),
        Wire::Grpc => grpc_get("absent"),
    }
}

/// As `gets`, over gRPC.
pub(crate) fn grpc_gets() -> Requests {
    let good = Good { statuses: &[], body_len_min: VALUE_LEN };
    Requests { all: (0..KEYS).map(|it| grpc_get(&key(it))).collect(), keys_each: 1, good }
}

/// As `saves`, over gRPC.
pub(crate) fn grpc_saves() -> Requests {
    let save = |it| {
        let item = StateItem { key: key(it), value: VALUE.clone(), ..StateItem::default() };
        let message = SaveStateRequest { store_name: STORE.to_owned(), states: vec![item] };
        Request::Grpc("SaveState", framed(&message))
    };
    let good = Good { statuses: &[], body_len_min: 0 };
    Requests { all: (0..KEYS).map(save).collect(), keys_each: 1, good }
}

fn grpc_get(key: &str) -> Request {
    let (store_name, key) = (STORE.to_owned(), key.to_owned());
    let message = GetStateRequest { store_name, key, ..GetStateRequest::default() };
    Request::Grpc("GetState", framed(&message))
}

/// A message as gRPC sends it: that it is not compressed, its length, itself.
fn framed(message: &impl Message) -> Bytes {
    let body = message.encode_to_vec();
    [&[0][..], &(body.len() as u32).to_be_bytes(), &body].concat().into()
}

fn get(key: &str) -> Bytes {
    format!("GET /v1.0/state/{STORE}/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into()
}

fn save(key: &str, options: &str) -> Bytes {
    let value = str::from_utf8(&VALUE).expect("it was made of text");
    post("", &format!(r#"[{{"key":"{key}","value":{value}{options}}}]"#))
}

fn bulk_get(keys: Range<usize>) -> Bytes {
    let keys: Vec<String> = keys.map(|it| format!(r#""{}""#, key(it))).collect();
    post("/bulk", &format!(r#"{{"keys":[{}]}}"#, keys.join(",")))
}

fn transaction(keys: Range<usize>) -> Bytes {
    let value = str::from_utf8(&VALUE).expect("it was made of text");
    let operation = |it| {
        let key = key(it);
        format!(r#"{{"operation":"upsert","request":{{"key":"{key}","value":{value}}}}}"#)
    };
    let operations: Vec<String> = keys.map(operation).collect();
    post("/transaction", &format!(r#"{{"operations":[{}]}}"#, operations.join(",")))
}

fn delete(key: &str) -> Bytes {
    format!("DELETE /v1.0/state/{STORE}/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into()
}

fn post(route: &str, body: &str) -> Bytes {
    let len = body.len();
    format!(
        "POST /v1.0/state/{STORE}{route} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {len}\r\n\r\n{body}"
    )
    .into()
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn a_value_is_json_of_its_size() {
        assert_eq!(VALUE.len(), VALUE_LEN);
        serde_json::from_slice::<serde_json::Value>(&VALUE).unwrap();
    }

    #[test]
    fn no_key_comes_again_before_all_others_have() {
        let keys: HashSet<String> = (0..KEYS).map(key).collect();
        assert_eq!(keys.len(), KEYS);
        assert_eq!(key(KEYS), key(0));
    }

    #[test]
    fn bulk_gets_read_every_key_once_and_in_the_order_of_gets() {
        let requests = bulk_gets(20);
        let mut keys = Vec::new();
        for request in &requests.all {
            let Request::Http(request) = request else { panic!("it is for HTTP") };
            let request = str::from_utf8(request).unwrap();
            let (head, body) = request.split_once("\r\n\r\n").unwrap();
            assert!(head.starts_with("POST /v1.0/state/statestore/bulk HTTP/1.1\r\n"));
            assert!(head.ends_with(&format!("content-length: {}", body.len())));
            let body: serde_json::Value = serde_json::from_str(body).unwrap();
            let these = body["keys"].as_array().unwrap();
            assert_eq!(these.len(), requests.keys_each);
            keys.extend(these.iter().map(|it| it.as_str().unwrap().to_owned()));
        }
        assert_eq!(keys, (0..KEYS).map(key).collect::<Vec<_>>());
    }

    #[test]
    fn what_follows_a_value_is_json() {
        for options in ["", STRONG, TTL] {
            let request = save("a", options);
            let request = str::from_utf8(&request).unwrap();
            let (_, body) = request.split_once("\r\n\r\n").unwrap();
            serde_json::from_str::<serde_json::Value>(body).unwrap();
        }
    }
}
