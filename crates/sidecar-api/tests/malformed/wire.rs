//! Requests that are broken before anybody asks what they mean.

use super::{
    BODY_BYTES_MAX, BODY_READ, BULK_PATH, CANARY_PATH, Expected, MALFORMED, NO_ROUTE, Row,
    STORE_PATH, TOO_MANY_BYTES, TRANSACTION_PATH,
};
use crate::support::connection::request;

pub(super) fn keys_in_paths() -> Vec<Row> {
    let path = |name, method, key: &str, says| {
        let target = format!("{STORE_PATH}/{key}");
        Row::new(name, request(method, &target, &[], ""), 400, MALFORMED, says)
    };
    let long = "k".repeat(3000);
    let target = format!("{STORE_PATH}/{long}");
    vec![
        path("%zz in a key", "GET", "%zz", "percent-encode"),
        path("half an escape in a key", "GET", "a%2", "percent-encode"),
        path("a lone percent sign in a key", "DELETE", "100%", "percent-encode"),
        path("%FF in a key", "GET", "%FF", "percent-encode"),
        path("an overlong slash in a key", "GET", "%C0%AF", "percent-encode"),
        path("%00 in a key", "GET", "a%00b", "control character"),
        path("%0a in a key", "DELETE", "canary%0a", "control character"),
        path("%1F in a key", "GET", "%1F", "control character"),
        path("%7C%7C in a key", "GET", "other%7C%7Ccanary", "can't contain '||'"),
        path("|| in a path", "GET", "other||canary", "can't contain '||'"),
        Row::new("a key too long", request("GET", &target, &[], ""), 400, MALFORMED, "bytes"),
        Row::new(
            "a key too long to delete",
            request("DELETE", &target, &[], ""),
            400,
            MALFORMED,
            "bytes",
        ),
        Row::new(
            "a key too long to save",
            request("POST", STORE_PATH, &[], format!(r#"[{{"key":"{long}"}}]"#)),
            400,
            MALFORMED,
            "bytes",
        ),
        Row::new(
            "%zz in a store's name",
            request("GET", "/v1.0/state/%zz/k", &[], ""),
            400,
            MALFORMED,
            "percent-encode",
        ),
        Row::new(
            "an empty key in a path",
            request("GET", "/v1.0/state/statestore/", &[], ""),
            404,
            NO_ROUTE,
            "GET",
        ),
        Row::bare("bad UTF-8 in a path", b"GET /v1.0/state/s/\xff HTTP/1.1\r\n\r\n", 400),
        Row::bare("a space in a path", "GET /v1.0/state/s/a b HTTP/1.1\r\n\r\n", 400),
        Row::bare("NUL in a path", "GET /v1.0/state/s/a\0b HTTP/1.1\r\n\r\n", 400),
    ]
}

pub(super) fn queries() -> Vec<Row> {
    let get = |name, query: &str| {
        let target = format!("{CANARY_PATH}?{query}");
        Row::new(name, request("GET", &target, &[], ""), 400, MALFORMED, "percent-encode")
    };
    vec![
        get("%zz in a query", "consistency=%zz"),
        get("half an escape in a query", "a=%4"),
        get("%FF in a query", "metadata.a=%FF"),
        get("%FF in a parameter's name", "%FF=1"),
        Row::bare("bad UTF-8 in a query", b"GET /v1.0/state/s/k?\xff HTTP/1.1\r\n\r\n", 400),
    ]
}

pub(super) fn sizes() -> Vec<Row> {
    let too_large =
        |name, request: Vec<u8>| Row::new(name, request, 413, MALFORMED, "--max-body-size");
    let body = "x".repeat(TOO_MANY_BYTES);
    let chunk = format!("10000\r\n{}\r\n", "x".repeat(0x10000)).repeat(BODY_BYTES_MAX / 0x10000);
    let items = format!("[{}{{\"key\":\"k\"}}]", "{\"key\":\"k\"},".repeat(10_000));
    vec![
        too_large("a body too large", request("POST", STORE_PATH, &[], &body)),
        too_large("a bulk get too large", request("POST", BULK_PATH, &[], &body)),
        too_large("a transaction too large", request("POST", TRANSACTION_PATH, &[], &body)),
        too_large(
            "a body too large that does not come",
            head("POST", STORE_PATH, &["Content-Length: 99999999999"]),
        ),
        too_large("chunks too large", chunked(&format!("{chunk}1\r\nx\r\n0\r\n\r\n"))),
        too_large("chunks too large that do not end", chunked(&format!("{chunk}1\r\nx\r\n"))),
        Row::new(
            "10 001 items",
            request("POST", STORE_PATH, &[], items),
            413,
            MALFORMED,
            "10001 items",
        ),
        Row::new(
            "a value too large for the metadata",
            request("PUT", "/v1.0/metadata/a", &[], "x".repeat(70_000)),
            413,
            MALFORMED,
            "metadata takes",
        ),
    ]
}

pub(super) fn framing() -> Vec<Row> {
    let body =
        |lines: &[&str], body: &str| [&head("POST", STORE_PATH, lines), body.as_bytes()].concat();
    let cut = |name, request: Vec<u8>| Row::new(name, request, 400, BODY_READ, "body").truncated();
    let chunks = |name, it: &str| Row::new(name, chunked(it), 400, BODY_READ, "chunks");
    vec![
        cut("a body shorter than it says", body(&["Content-Length: 100"], "[{\"key\":\"k\"}]")),
        cut("a body that does not come", body(&["Content-Length: 5"], "")),
        cut("chunks that do not end", chunked("2\r\n[]\r\n")),
        cut("half a chunk", chunked("f\r\n[{\"key\"")),
        chunks("a chunk without a size", "xyz\r\n[]\r\n0\r\n\r\n"),
        chunks("a negative chunk", "-1\r\n[]\r\n0\r\n\r\n"),
        chunks("a chunk of more bytes than there are numbers", "fffffffffffffffff\r\n[]"),
        chunks("a chunk longer than its size", "1\r\n[]\r\n0\r\n\r\n"),
        Row::new(
            "both lengths: the chunks count, and nothing hides behind them",
            body(
                &["Content-Length: 4", "Transfer-Encoding: chunked"],
                "0\r\n\r\nDELETE /v1.0/state/statestore/canary HTTP/1.1\r\nHost: localhost\r\n\r\n",
            ),
            400,
            MALFORMED,
            "EOF",
        ),
        Row::bare("two lengths", body(&["Content-Length: 2", "Content-Length: 3"], "[] "), 400),
        Row::bare("two lengths in one header", body(&["Content-Length: 2, 3"], "[] "), 400),
        Row::bare("a length that is a word", body(&["Content-Length: two"], "[]"), 400),
        Row::bare("a negative length", body(&["Content-Length: -2"], "[]"), 400),
        Row::bare("a signed length", body(&["Content-Length: +2"], "[]"), 400),
        Row::bare(
            "chunked is not the last encoding",
            body(&["Transfer-Encoding: chunked, gzip"], "[]"),
            400,
        ),
        Row::bare("an unknown encoding", body(&["Transfer-Encoding: xchunked"], "[]"), 400),
        Row::bare(
            "chunks in HTTP/1.0",
            "POST /v1.0/state/statestore HTTP/1.0\r\n\
            Transfer-Encoding: chunked\r\n\r\n2\r\n[]\r\n0\r\n\r\n",
            400,
        ),
    ]
}

pub(super) fn heads() -> Vec<Row> {
    let get = |lines: &[&str]| head("GET", CANARY_PATH, lines);
    let large = format!("X: {}", "x".repeat(20_000));
    let many: Vec<String> = (0..101).map(|i| format!("X-{i}: x")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = format!("GET /v1.0/state/statestore/{} HTTP/1.1\r\n\r\n", "k".repeat(70_000));
    let closed = |name, request: &[u8]| Row {
        name,
        request: request.to_vec(),
        is_truncated: true,
        expected: Expected::Closed,
    };
    vec![
        Row::bare("a header too large", get(&[&large]), 431),
        Row::bare("too many headers", get(&many), 431),
        Row::bare("a path too long", long, 431),
        Row::bare("a folded header", get(&["X: a", " b"]), 400),
        Row::bare("a space before a colon", get(&["X : a"]), 400),
        Row::bare("a header without a colon", get(&["X"]), 400),
        Row::bare("a header without a name", get(&[": a"]), 400),
        Row::bare("NUL in a header", get(&["X: a\0b"]), 400),
        Row::bare("a bare CR in a header", get(&["X: a\rb: c"]), 400),
        Row::bare("an unknown version", "GET / HTTP/3.0\r\n\r\n", 400),
        Row::bare("HTTP/0.9", "GET /\r\n\r\n", 400),
        Row::bare("garbage", b"\x80\x81\x82 \0\0\r\n\r\n", 400),
        Row::bare("TLS", b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03 and so on", 400),
        Row::bare("a method with a colon", "GE:T / HTTP/1.1\r\n\r\n", 400),
        closed(
            "an HTTP/2 preface and garbage",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\ngarbage, garbage",
        ),
        Row::bare("half an HTTP/2 preface", "PRI * HTTP/2.0\r\n\r\nSM", 400).truncated(),
        closed(
            "an HTTP/2 frame too large",
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\xff\xff\xff\x04\0\0\0\0\0",
        ),
        closed("half a head", b"GET /v1.0/state/statestore/canary HTTP/1.1\r\nHost: loc"),
        closed("nothing", b""),
        Row::new(
            "lines that end with LF only",
            "GET /nowhere HTTP/1.1\nHost: localhost\n\n",
            404,
            NO_ROUTE,
            "not part of the state API",
        ),
    ]
}

/// A head that ends, and no body.
fn head(method: &str, target: &str, lines: &[&str]) -> Vec<u8> {
    let lines: String = lines.iter().map(|it| format!("{it}\r\n")).collect();
    format!("{method} {target} HTTP/1.1\r\nHost: localhost\r\n{lines}\r\n").into_bytes()
}

/// A save with this as the body's chunks.
fn chunked(chunks: &str) -> Vec<u8> {
    [&head("POST", STORE_PATH, &["Transfer-Encoding: chunked"]), chunks.as_bytes()].concat()
}
