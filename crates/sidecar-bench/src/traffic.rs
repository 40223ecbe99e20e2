//! The bytes that are sent: keys, values and whole requests.

use std::sync::LazyLock;

use bytes::Bytes;

use crate::load::Requests;

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

/// The n-th key to be used. Neighbours in time are no neighbours in the database, and none comes
/// again before all others have.
pub(crate) fn key(n: usize) -> String {
    /// Has no divisor in common with `KEYS`.
    const STRIDE: usize = 7919;
    format!("order-{:08}", n % KEYS * STRIDE % KEYS)
}

/// A read of each key, which must be there.
pub(crate) fn gets() -> Requests {
    Requests { bytes: (0..KEYS).map(|it| get(&key(it))).collect(), good: &[200] }
}

/// A save of each key, and with `strong` one whose answer means that it is on the disk.
pub(crate) fn saves(strong: bool) -> Requests {
    let options = if strong { r#","options":{"consistency":"strong"}"# } else { "" };
    Requests { bytes: (0..KEYS).map(|it| save(&key(it), options)).collect(), good: &[204] }
}

/// A read and a save of different keys, in turn. The first reads come before the saves.
pub(crate) fn mixed() -> Requests {
    let half = KEYS / 2;
    let pair = |it| [get(&key(it)), save(&key(it + half), "")];
    Requests { bytes: (0..KEYS).flat_map(pair).collect(), good: &[200, 204] }
}

/// A read of a key that is not there.
pub(crate) fn probe() -> Bytes {
    get("absent")
}

fn get(key: &str) -> Bytes {
    format!("GET /v1.0/state/{STORE}/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into()
}

fn save(key: &str, options: &str) -> Bytes {
    let value = str::from_utf8(&VALUE).expect("it was made of text");
    let body = format!(r#"[{{"key":"{key}","value":{value}{options}}}]"#);
    let len = body.len();
    format!(
        "POST /v1.0/state/{STORE} HTTP/1.1\r\nhost: localhost\r\n\
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
}
