//! Requests that may be right, but not here, not now, or not from there.

use super::{
    BULK_PATH, CANARY_PATH, HOST, MALFORMED, NO_ROUTE, NO_STORE, NO_STORES, NOT_READY, ORIGIN, Row,
    SAVE, STORE_PATH, TOO_MANY_BYTES, TRANSACTION_PATH,
};
use crate::support::connection::request;

pub(super) fn routes() -> Vec<Row> {
    let none = |name, method, target| {
        let says = "not part of the state API";
        Row::new(name, request(method, target, &[], ""), 404, NO_ROUTE, says)
    };
    vec![
        none("an unknown route", "GET", "/v2.0/state/statestore/canary"),
        none("the root", "GET", "/"),
        none("another API", "POST", "/v1.0/invoke/app/method/m"),
        none("a get of a store", "GET", STORE_PATH),
        none("a delete of a store", "DELETE", STORE_PATH),
        none("a post to a key", "POST", CANARY_PATH),
        none("a patch", "PATCH", STORE_PATH),
        none("OPTIONS", "OPTIONS", STORE_PATH),
        none("OPTIONS *", "OPTIONS", "*"),
        none("TRACE", "TRACE", STORE_PATH),
        none("a method of nobody's", "BREW", STORE_PATH),
        none("a method in lower case", "post", STORE_PATH),
        none("a way out of the root", "GET", "/../../etc/passwd"),
        none("a post of metadata", "POST", "/v1.0/metadata"),
        none("a get of the shutdown", "GET", "/v1.0/shutdown"),
    ]
}

pub(super) fn callers() -> Vec<Row> {
    let from = |name, headers: &[(&str, &str)], status, code, says| {
        Row::new(name, request("DELETE", CANARY_PATH, headers, ""), status, code, says)
    };
    let refused =
        |name, headers: &[(&str, &str)]| from(name, headers, 403, ORIGIN, "--allowed-origins");
    let host = |name, host: &str| from(name, &[("Host", host)], 421, HOST, "--allowed-hosts");
    let absolute = "http://evil.example/v1.0/state/statestore/canary";
    vec![
        host("DNS rebinding", "evil.example:3500"),
        host("a host that begins like ours", "localhost.evil.example"),
        host("a host that ends like ours", "evil.localhost"),
        host("an empty host", ""),
        host("a host with a user's name", "localhost@evil.example"),
        from(
            "two hosts",
            &[("Host", "localhost"), ("Host", "evil.example")],
            400,
            MALFORMED,
            "Host",
        ),
        Row::new(
            "an absolute form with another host",
            request("DELETE", absolute, &[], ""),
            421,
            HOST,
            "--allowed-hosts",
        ),
        refused("a web page", &[("Origin", "http://evil.example")]),
        refused("a web page of nobody's", &[("Origin", "null")]),
        refused("a web page on this machine", &[("Origin", "http://localhost:8080")]),
        refused("a cross-site request", &[("Sec-Fetch-Site", "cross-site")]),
        refused("a same-site request", &[("Sec-Fetch-Site", "same-site")]),
        refused("a strange site", &[("Sec-Fetch-Site", "\u{e9}")]),
        refused(
            "a web page that says it is ours",
            &[("Sec-Fetch-Site", "same-origin"), ("Origin", "http://evil.example")],
        ),
    ]
}

pub(super) fn stores() -> Vec<Row> {
    let get = |name, store: &str, status, code, says| {
        let target = format!("/v1.0/state/{store}/k");
        Row::new(name, request("GET", &target, &[], ""), status, code, says)
    };
    let broken = |path| request("POST", path, &[], "{");
    vec![
        get("an unknown store", "statestor", 400, NO_STORE, "failing, opening, poor, statestore"),
        get("a store's name in other case", "StateStore", 400, NO_STORE, "is not found"),
        get("a store that is opening", "opening", 503, NOT_READY, "it is being opened"),
        get("a store that is failing", "failing", 503, NOT_READY, "cannot reach the database"),
        Row::new("an unknown store and a broken save", broken("/v1.0/state/x"), 400, NO_STORE, "x"),
        Row::new(
            "an unknown store and a broken bulk get",
            broken("/v1.0/state/x/bulk"),
            400,
            NO_STORE,
            "x",
        ),
        Row::new(
            "a store that is opening and a broken transaction",
            broken("/v1.0/state/opening/transaction"),
            503,
            NOT_READY,
            "opened",
        ),
        Row::new(
            "an unknown store and a body too large",
            request("POST", "/v1.0/state/x", &[], "x".repeat(TOO_MANY_BYTES)),
            400,
            NO_STORE,
            "x",
        ),
    ]
}

/// What this store cannot do, it never does unconditionally, for ever, or weakly instead.
pub(super) fn refusals_of_a_store() -> Vec<Row> {
    let save = |name, item: &str, says| {
        let body = format!(r#"[{{"key":"k","value":1,{item}}}]"#);
        Row::new(name, request("POST", "/v1.0/state/poor", &[], body), 400, SAVE, says)
    };
    let strong = "ERR_STATE_CONSISTENCY_NOT_SUPPORTED";
    vec![
        save("an ETag it has not", r#""etag":"7""#, "does not support ETags"),
        save("a create it has not", r#""options":{"concurrency":"first-write"}"#, "ETags"),
        save("a ttl it has not", r#""metadata":{"ttlInSeconds":"5"}"#, "a time to live"),
        Row::new(
            "a strong read it has not",
            request("GET", "/v1.0/state/poor/k?consistency=strong", &[], ""),
            400,
            strong,
            "does not offer strong consistency",
        ),
        Row::new(
            "a strong delete it has not",
            request("DELETE", "/v1.0/state/poor/k", &[("consistency", "strong")], ""),
            400,
            strong,
            "does not offer strong consistency",
        ),
        Row::new(
            "a transaction it has not, and broken",
            request("POST", "/v1.0/state/poor/transaction", &[], "{"),
            500,
            "ERR_STATE_STORE_NOT_SUPPORTED",
            "doesn't support transactions",
        ),
    ]
}

pub(super) fn system() -> Vec<Row> {
    let put = |name, target, body: &[u8], says| {
        Row::new(name, request("PUT", target, &[], body), 400, MALFORMED, says)
    };
    vec![
        put("metadata that is not UTF-8", "/v1.0/metadata/a", b"\xff", "UTF-8"),
        put("%zz in a metadata's name", "/v1.0/metadata/%zz", b"1", "percent-encode"),
        Row::new(
            "%zz in a health query",
            request("GET", "/v1.0/healthz?appid=%zz", &[], ""),
            400,
            MALFORMED,
            "percent-encode",
        ),
        Row::new(
            "another application's health",
            request("GET", "/v1.0/healthz?appid=other", &[], ""),
            500,
            "ERR_HEALTH_APPID_NOT_MATCH",
            "does not match",
        ),
    ]
}

/// The same for a sidecar that has no store at all.
pub(crate) fn without_stores() -> Vec<Row> {
    let none = |name, request| Row::new(name, request, 500, NO_STORES, "--resources-path");
    vec![
        none("get without stores", request("GET", CANARY_PATH, &[], "")),
        none("delete without stores", request("DELETE", CANARY_PATH, &[], "")),
        none("broken save without stores", request("POST", STORE_PATH, &[], "{")),
        none("broken bulk get without stores", request("POST", BULK_PATH, &[], "{")),
        none("broken transaction without stores", request("POST", TRANSACTION_PATH, &[], "{")),
    ]
}
