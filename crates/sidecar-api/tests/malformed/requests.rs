//! Requests that arrive whole and say something that means nothing.

use super::{BULK_PATH, CANARY_PATH, MALFORMED, Row, STORE_PATH, TRANSACTION_PATH};
use crate::support::connection::request;

pub(super) fn save_bodies() -> Vec<Row> {
    let nested = |n: usize| format!("{}{}", "[".repeat(n), "]".repeat(n));
    let quoted = |it: &str| format!("{it:?}");
    vec![
        save("no body", "", "EOF"),
        save("blank body", " \r\n\t", "EOF"),
        save("a word", "foobar", "expected"),
        save("an object", r#"{"key":"k"}"#, "expected a sequence"),
        save("a number", "7", "expected a sequence"),
        save("half an array", r#"[{"key":"k","value":1}"#, "EOF"),
        save("half a string", r#"[{"key":"k"#, "EOF"),
        save("trailing comma", r#"[{"key":"k"},]"#, "trailing comma"),
        save("trailing bytes", r#"[{"key":"k"}]x"#, "trailing characters"),
        save("two arrays", r#"[{"key":"k"}][{"key":"l"}]"#, "trailing characters"),
        save("single quotes", "[{'key':'k'}]", "key must be a string"),
        save("a comment", r#"[{"key":"k"/**/}]"#, "expected"),
        save("NaN", r#"[{"key":"k","value":NaN}]"#, "expected"),
        save("leading zero", r#"[{"key":"k","value":01}]"#, "number"),
        save("a control character", "[{\"key\":\"k\",\"value\":\"\u{1}\"}]", "control character"),
        save("a bad escape", r#"[{"key":"k","value":"\x"}]"#, "escape"),
        save("half a surrogate pair in a key", r#"[{"key":"\ud800"}]"#, "hex escape"),
        save("bad UTF-8 in a value", b"[{\"key\":\"k\",\"value\":\"\xff\"}]", "unicode"),
        save("bad UTF-8 in a key", b"[{\"key\":\"\xff\",\"value\":1}]", "unicode"),
        save("UTF-16", b"[\0{\0}\0]\0", "expected"),
        save("a byte order mark", "\u{feff}[]", "expected"),
        save("gzip", b"\x1f\x8b\x08\0\0\0\0\0", "expected"),
        save("a form", "key=k&value=1", "expected"),
        save("a deep value", format!(r#"[{{"key":"k","value":{}}}]"#, nested(65)), "nested"),
        save("a very deep value", format!(r#"[{{"key":"k","value":{}}}]"#, nested(100_000)), ""),
        save("a deep body", nested(100_000), "expected an object"),
        save("an endless opening", "[".repeat(1 << 20), "expected an object"),
        save("many empty items", format!("[{}{{}}]", "{},".repeat(100)), "required field"),
        save("a text of a broken body", quoted(r#"[{"key":"k","value":}]"#), "expected value"),
        save("a text of a body without a key", quoted(r#"[{"value":1}]"#), "required field"),
        save("a text of a text", quoted(&quoted(r#"[{"key":"k"}]"#)), "expected a sequence"),
        save("a text that does not end", r#""[{\"key\":\"k\"}]"#, "EOF"),
        save("a text and something after it", r#""[]" []"#, ""),
    ]
}

/// A save of this body, refused as malformed.
fn save(name: &'static str, body: impl AsRef<[u8]>, says: &'static str) -> Row {
    Row::new(name, request("POST", STORE_PATH, &[], body), 400, MALFORMED, says)
}

pub(super) fn items() -> Vec<Row> {
    vec![
        save("no key", r#"[{"value":1}]"#, "required field"),
        save("an item that is null", "[null]", "required field"),
        save("an empty key", r#"[{"key":"","value":1}]"#, "required field"),
        save("a key that is null", r#"[{"key":null,"value":1}]"#, "required field"),
        save("the second item is wrong", r#"[{"key":"canary","value":8},{}]"#, "required field"),
        save("an item that is a text", r#"["k"]"#, "expected an object"),
        save("an item that is an array", r#"[["k",1]]"#, "expected an object"),
        save("key is an array", r#"[{"key":["k"]}]"#, "field \"key\""),
        save("key is an object", r#"[{"key":{}}]"#, "field \"key\""),
        save("etag is an array", r#"[{"key":"k","etag":[7]}]"#, "field \"etag\""),
        save("etag is an object", r#"[{"key":"k","etag":{"value":"7"}}]"#, "field \"etag\""),
        save(
            "etag is a UUID without quotes, as the guide prints it",
            r#"[{"key":"k","etag":9b2e5d1c-9b1d}]"#,
            "put it in quotes",
        ),
        save("metadata is an array", r#"[{"key":"k","metadata":[]}]"#, "field \"metadata\""),
        save("metadata is a text", r#"[{"key":"k","metadata":"a=b"}]"#, "field \"metadata\""),
        save("metadata has an object", r#"[{"key":"k","metadata":{"a":{}}}]"#, "field \"a\""),
        save("options is a text", r#"[{"key":"k","options":"strong"}]"#, "field \"options\""),
        save("options is an array", r#"[{"key":"k","options":["strong"]}]"#, "field \"options\""),
        save(
            "consistency is an array",
            r#"[{"key":"k","options":{"consistency":["strong"]}}]"#,
            "field \"consistency\"",
        ),
        save(
            "concurrency is an object",
            r#"[{"key":"k","options":{"concurrency":{}}}]"#,
            "field \"concurrency\"",
        ),
        save("|| in a key", r#"[{"key":"other||k","value":1}]"#, "can't contain '||'"),
        save("escaped || in a key", r#"[{"key":"a\u007c\u007cb"}]"#, "can't contain '||'"),
        save("a control character in a key", r#"[{"key":"a\nb"}]"#, "control character"),
        save("NUL in a key", r#"[{"key":"a\u0000b"}]"#, "control character"),
    ]
}

pub(super) fn options() -> Vec<Row> {
    let good = r#"[{"key":"canary","value":8}]"#;
    let bad_concurrency = r#"[{"key":"canary","options":{"concurrency":"first_write"}}]"#;
    let bad_consistency = r#"[{"key":"canary","options":{"consistency":"Strong"}}]"#;
    let with = |name, method, target, headers: &[(&str, &str)], says| {
        let body = if method == "POST" { good } else { "" };
        Row::new(name, request(method, target, headers, body), 400, MALFORMED, says)
    };
    let in_query = "/v1.0/state/statestore?concurrency=none";
    let get_query = "/v1.0/state/statestore/canary?consistency=linearizable";
    let get_concurrency = "/v1.0/state/statestore/canary?concurrency=none";
    let delete_query = "/v1.0/state/statestore/canary?concurrency=first";
    let overridden = "/v1.0/state/statestore?consistency=strong";
    let concurrency = "unrecognized concurrency model";
    let consistency = "unrecognized consistency model";
    vec![
        save("unknown concurrency in the body", bad_concurrency, concurrency),
        save("unknown consistency in the body", bad_consistency, consistency),
        with("unknown concurrency in the query", "POST", in_query, &[], concurrency),
        with("unknown consistency of a get", "GET", get_query, &[], consistency),
        with("unknown concurrency of a get", "GET", get_concurrency, &[], concurrency),
        with("unknown concurrency of a delete", "DELETE", delete_query, &[], concurrency),
        with(
            "unknown concurrency in a header",
            "POST",
            STORE_PATH,
            &[("concurrency", "firstwrite")],
            concurrency,
        ),
        with(
            "unknown consistency in a header",
            "DELETE",
            CANARY_PATH,
            &[("consistency", "weak")],
            consistency,
        ),
        with(
            "unknown option in a header that the query overrides",
            "POST",
            overridden,
            &[("consistency", "weak")],
            consistency,
        ),
        with(
            "option that is not ASCII",
            "DELETE",
            CANARY_PATH,
            &[("concurrency", "first-write\u{e9}")],
            "concurrency",
        ),
    ]
}

pub(super) fn times_to_live() -> Vec<Row> {
    let in_body = |name, ttl: &str| {
        let body = format!(r#"[{{"key":"k","value":1,"metadata":{{"ttlInSeconds":{ttl}}}}}]"#);
        save(name, body, "ttlInSeconds")
    };
    let in_query = |name, method, target| {
        let body = r#"[{"key":"k","value":1}]"#;
        Row::new(name, request(method, target, &[], body), 400, MALFORMED, "ttlInSeconds")
    };
    vec![
        in_body("ttl is a word", "\"soon\""),
        in_body("ttl is a fraction", "1.5"),
        in_body("ttl has a unit", "\"10s\""),
        in_body("ttl is too long", "2147483648"),
        in_body("ttl is far too long", "99999999999999999999"),
        in_body("ttl has white space", "\" 5\""),
        in_body("ttl is a boolean", "true"),
        in_query(
            "ttl in the query is a word",
            "POST",
            "/v1.0/state/statestore?metadata.ttlInSeconds=x",
        ),
        in_query(
            "ttl of a delete is a word",
            "DELETE",
            "/v1.0/state/statestore/canary?metadata.ttlInSeconds=x",
        ),
    ]
}

pub(super) fn conditions() -> Vec<Row> {
    let one = r#"[{"key":"canary","value":8}]"#;
    let two = r#"[{"key":"canary","value":8},{"key":"k","value":1}]"#;
    let with_etag = r#"[{"key":"canary","value":8,"etag":"7"}]"#;
    let save = |name, headers: &[(&str, &str)], body, says| {
        Row::new(name, request("POST", STORE_PATH, headers, body), 400, MALFORMED, says)
    };
    let delete = |name, headers: &[(&str, &str)], says| {
        Row::new(name, request("DELETE", CANARY_PATH, headers, ""), 400, MALFORMED, says)
    };
    let transact = |name, headers: &[(&str, &str)], says| {
        let body = r#"{"operations":[{"operation":"delete","request":{"key":"canary"}}]}"#;
        Row::new(name, request("POST", TRANSACTION_PATH, headers, body), 400, MALFORMED, says)
    };
    let both = [("If-Match", "7"), ("If-None-Match", "*")];
    vec![
        save("If-Match: *", &[("If-Match", "*")], one, "If-Match: *"),
        save("If-Match with two items", &[("If-Match", "7")], two, "one item"),
        save("If-Match and no items", &[("If-Match", "7")], "[]", "one item"),
        save("If-Match against the item", &[("If-Match", "8")], with_etag, "contradicts"),
        save("If-Match twice", &[("If-Match", "7"), ("If-Match", "8")], one, "If-Match"),
        save("If-Match is not ASCII", &[("If-Match", "\u{e9}")], one, "ASCII"),
        save("If-None-Match with an ETag", &[("If-None-Match", "\"7\"")], one, "If-None-Match"),
        save("If-None-Match with an item's ETag", &[("If-None-Match", "*")], with_etag, "ETag"),
        save("If-Match and If-None-Match", &both, one, "If-Match"),
        delete("If-Match: * on a delete", &[("If-Match", "*")], "If-Match: *"),
        delete("If-None-Match on a delete", &[("If-None-Match", "*")], "If-None-Match"),
        delete("If-Match is not ASCII on a delete", &[("If-Match", "\u{e9}")], "ASCII"),
        transact("If-Match on a transaction", &[("If-Match", "7")], "If-Match"),
        transact("If-None-Match on a transaction", &[("If-None-Match", "*")], "If-None-Match"),
    ]
}

/// A body with more metadata than every item could have a copy of.
fn with_metadata(list: &str) -> String {
    format!(r#"{{"{list}":[],"metadata":{{"a":"{}"}}}}"#, "v".repeat(5000))
}

pub(super) fn bulk_gets() -> Vec<Row> {
    let get = |name, body: &str, says| {
        Row::new(name, request("POST", BULK_PATH, &[], body), 400, MALFORMED, says)
    };
    let too_many = format!(r#"{{"keys":[{}"k"]}}"#, "\"k\",".repeat(10_000));
    vec![
        get("bulk: no body", "", "EOF"),
        get("bulk: an array", r#"["a"]"#, "expected an object"),
        get("bulk: keys is a text", r#"{"keys":"a"}"#, "field \"keys\""),
        get("bulk: keys is an object", r#"{"keys":{"a":1}}"#, "field \"keys\""),
        get("bulk: a key is an object", r#"{"keys":[{"key":"a"}]}"#, "expected a string"),
        get("bulk: an empty key", r#"{"keys":["a",""]}"#, "required field"),
        get("bulk: a key that is null", r#"{"keys":[null]}"#, "required field"),
        get("bulk: || in a key", r#"{"keys":["a||b"]}"#, "can't contain '||'"),
        get("bulk: parallelism is a text", r#"{"keys":[],"parallelism":"x"}"#, "parallelism"),
        get("bulk: metadata is an array", r#"{"keys":[],"metadata":[]}"#, "field \"metadata\""),
        get("bulk: trailing bytes", r#"{"keys":[]} x"#, "trailing characters"),
        Row::new(
            "bulk: unknown consistency",
            request("POST", "/v1.0/state/statestore/bulk?consistency=x", &[], r#"{"keys":[]}"#),
            400,
            MALFORMED,
            "unrecognized consistency model",
        ),
        Row::new(
            "bulk: much metadata",
            request("POST", BULK_PATH, &[], with_metadata("keys")),
            413,
            MALFORMED,
            "metadata of a request",
        ),
        Row::new(
            "bulk: 10 001 keys",
            request("POST", BULK_PATH, &[], too_many),
            413,
            MALFORMED,
            "10001 items",
        ),
    ]
}

pub(super) fn transactions() -> Vec<Row> {
    let post = |body: &str| request("POST", TRANSACTION_PATH, &[], body);
    let transact = |name, body: &str, says| Row::new(name, post(body), 400, MALFORMED, says);
    let operation = |name, operation: &str| {
        let body = format!(
            r#"{{"operations":[{{"operation":"delete","request":{{"key":"canary"}}}},{operation}]}}"#
        );
        let code = "ERR_NOT_SUPPORTED_STATE_OPERATION";
        Row::new(name, post(&body), 400, code, "use upsert or delete")
    };
    let request_of = |name, request: &str, says| {
        let body = format!(r#"{{"operations":[{{"operation":"upsert","request":{request}}}]}}"#);
        transact(name, &body, says)
    };
    let many = r#"{"operation":"delete","request":{"key":"canary"}},"#.repeat(10_000);
    let last = r#"{"operation":"delete","request":{"key":"canary"}}"#;
    vec![
        transact("transaction: no body", "", "EOF"),
        transact("transaction: an array", "[]", "expected an object"),
        transact("transaction: operations is an object", r#"{"operations":{}}"#, "operations"),
        transact("transaction: operations is a text", r#"{"operations":"x"}"#, "operations"),
        transact("transaction: an operation is null", r#"{"operations":[null]}"#, "object"),
        transact("transaction: an operation is a text", r#"{"operations":["upsert"]}"#, "object"),
        transact("transaction: metadata is a text", r#"{"metadata":"x"}"#, "field \"metadata\""),
        transact("transaction: half a body", r#"{"operations":[{"operation":"upsert""#, "EOF"),
        transact("transaction: trailing bytes", r#"{"operations":[]}]"#, "trailing characters"),
        request_of("transaction: request is null", "null", "required field"),
        request_of("transaction: request is a text", "\"k\"", "field \"request\""),
        request_of("transaction: request is an array", "[]", "field \"request\""),
        request_of("transaction: request without a key", r#"{"value":1}"#, "required field"),
        request_of("transaction: || in a key", r#"{"key":"a||b"}"#, "can't contain '||'"),
        request_of("transaction: etag is an array", r#"{"key":"k","etag":[]}"#, "field \"etag\""),
        request_of(
            "transaction: unknown concurrency",
            r#"{"key":"k","options":{"concurrency":"x"}}"#,
            "unrecognized concurrency model",
        ),
        request_of(
            "transaction: bad ttl",
            r#"{"key":"k","metadata":{"ttlInSeconds":"x"}}"#,
            "ttlInSeconds",
        ),
        operation("transaction: unknown operation", r#"{"operation":"insert","request":{}}"#),
        operation("transaction: operation in upper case", r#"{"operation":"Upsert"}"#),
        operation("transaction: no operation", r#"{"request":{"key":"k"}}"#),
        Row::new(
            "transaction: much metadata",
            request("POST", TRANSACTION_PATH, &[], with_metadata("operations")),
            413,
            MALFORMED,
            "metadata of a request",
        ),
        Row::new(
            "much metadata in the query",
            request("POST", &format!("{STORE_PATH}?{}", "metadata.".repeat(500)), &[], "[]"),
            413,
            MALFORMED,
            "metadata of a request",
        ),
        Row::new(
            "transaction: 10 001 operations",
            post(&format!(r#"{{"operations":[{many}{last}]}}"#)),
            400,
            "ERR_STATE_STORE_TOO_MANY_TRANSACTIONS",
            "10001 operations",
        ),
    ]
}
