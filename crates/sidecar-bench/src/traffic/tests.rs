use std::collections::HashSet;

use super::*;

#[test]
fn a_value_is_json_of_its_size() {
    for len in [100, VALUE_LEN, 65_536] {
        let value = value(len);
        assert_eq!(value.len(), len);
        serde_json::from_slice::<serde_json::Value>(&value).unwrap();
    }
}

#[test]
fn no_key_comes_again_before_all_others_have() {
    for len in [1000, KEYS, 100_000] {
        let keys: HashSet<String> = (0..len).map(|it| key(it, len)).collect();
        assert_eq!(keys.len(), len);
        assert_eq!(key(len, len), key(0, len));
    }
}

#[test]
fn bulk_gets_read_every_key_once_and_in_the_order_of_gets() {
    let traffic = Traffic::usual();
    let requests = traffic.requests(Operation::BulkGet, Vec::new());
    let mut keys = Vec::new();
    for n in 0..requests.len() {
        let (head, body) = parts(&requests.get(n));
        assert!(head.starts_with("POST /v1.0/state/statestore/bulk HTTP/1.1\r\n"));
        assert!(head.ends_with(&format!("content-length: {}", body.to_string().len())));
        let these = body["keys"].as_array().unwrap();
        assert_eq!(these.len(), BULK_LEN);
        keys.extend(these.iter().map(|it| it.as_str().unwrap().to_owned()));
    }
    assert_eq!(keys, (0..KEYS).map(|it| traffic.key(it)).collect::<Vec<_>>());
}

#[test]
fn every_body_is_json_that_says_what_it_should() {
    let traffic = Traffic::usual();
    let body = |operation| parts(&traffic.requests(operation, vec!["17".to_owned()]).get(0)).1;
    assert!(body(Operation::Save)[0]["value"]["note"].is_string());
    let conditional = body(Operation::SaveEtag);
    assert_eq!(conditional[0]["etag"], "17");
    assert_eq!(conditional[0]["options"]["concurrency"], "first-write");
    assert_eq!(body(Operation::SaveTtl)[0]["metadata"]["ttlInSeconds"], TTL_SECONDS);
    assert_eq!(body(Operation::Transaction)["operations"].as_array().unwrap().len(), 5);
    let (_, strong) = parts(&traffic.strong_saves().get(0));
    assert_eq!(strong[0]["options"]["consistency"], "strong");
}

#[test]
fn what_fills_a_store_has_every_key_once() {
    for value_len in [100, VALUE_LEN, 65_536] {
        let traffic = Traffic::new(Wire::Http, 1_000, value_len, BULK_LEN);
        let requests = traffic.fill();
        let mut keys = HashSet::new();
        for n in 0..requests.len() {
            let (_, body) = parts(&requests.get(n));
            for item in body.as_array().unwrap() {
                assert!(keys.insert(item["key"].as_str().unwrap().to_owned()));
            }
        }
        assert_eq!(keys.len(), traffic.keys);
    }
}

#[test]
fn values_that_would_be_too_long_together_are_fewer() {
    let keys = |value_len| Traffic::new(Wire::Http, 1_000_000, value_len, BULK_LEN).keys;
    assert_eq!((keys(100), keys(VALUE_LEN), keys(65_536)), (1_000_000, 1_000_000, 2048));
}

/// Head and body of a request over HTTP.
fn parts(request: &Request) -> (String, serde_json::Value) {
    let Request::Http(request) = request else { panic!("it is for gRPC") };
    let (head, body) = str::from_utf8(request).unwrap().split_once("\r\n\r\n").unwrap();
    (head.to_owned(), serde_json::from_str(body).unwrap())
}
