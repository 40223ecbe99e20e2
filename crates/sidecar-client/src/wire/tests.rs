use std::time::Duration;

use state::{Format, Key};

use super::*;

fn key() -> Key {
    Key::new("k").unwrap()
}

fn put(value: &'static str) -> Write {
    Write::put(key(), value)
}

fn body(write: Write) -> String {
    String::from_utf8(save(&[write]).unwrap()).unwrap()
}

#[test]
fn json_is_sent_as_it_is() {
    let json = r#"{"b":1.10, "a":9007199254740993}"#;
    assert_eq!(body(put(json)), format!(r#"[{{"key":"k","value":{json},"options":{{}}}}]"#));
    for other in ["", "\u{0}", "{", "1 2", " 1", "1\n"] {
        assert!(save(&[put(other)]).is_err(), "{other:?}");
    }
}

#[test]
fn preconditions_become_an_etag_or_an_option() {
    let etag = ETag::new("7").unwrap();
    let matches = body(put("1").when(Precondition::Matches(etag)));
    assert_eq!(matches, r#"[{"key":"k","value":1,"etag":"7","options":{}}]"#);
    let absent = body(put("1").when(Precondition::Absent));
    assert_eq!(absent, r#"[{"key":"k","value":1,"options":{"concurrency":"first-write"}}]"#);
}

#[test]
fn part_of_a_second_counts_as_one() {
    let check = |ttl| {
        let change = Change::Put { value: "1".into(), format: Format::Json, ttl: Ttl::After(ttl) };
        sent(&Write::new(key(), change)).unwrap().metadata[TTL].clone()
    };
    assert_eq!(check(Duration::from_secs(2)), "2");
    assert_eq!(check(Duration::from_millis(1001)), "2");
    assert_eq!(check(Duration::ZERO), "1", "0 would mean never");
}

#[test]
fn pieces_of_a_url_mean_themselves() {
    assert_eq!(piece("a/b c+d%..é").to_string(), "a%2Fb%20c%2Bd%25%2E%2E%C3%A9");
    let metadata = [("partition Key".to_owned(), "a&b".to_owned())].into();
    let query = query(None, Some("strong"), &metadata);
    assert_eq!(query, "?consistency=strong&metadata%2Epartition%20Key=a%26b");
}

#[test]
fn etags_that_look_like_something_else_are_quoted() {
    let check = |text| if_match(&ETag::new(text).unwrap());
    assert_eq!(check("7"), "7");
    assert_eq!(check("a b"), "a b");
    assert_eq!(check("*"), "\"*\"");
    assert_eq!(check("\"7\""), "\"\"7\"\"");
    assert_eq!(check(" 7"), "\" 7\"");
}

#[test]
fn bulk_get_is_answered_in_any_order() {
    let reads = ["a", "b", "c", "a"].map(|it| Read::new(Key::new(it).unwrap()));
    let body = br#"[{"key":"c"},{"key":"b","data":"AP8=","encoding":"base64"},
        {"key":"a","data":{"x": 1},"etag":"7","metadata":{"ttlExpireTime":"2030-01-01T00:00:00Z"}},
        {"key":""}]"#;
    let answers = found(body, &reads);
    let item = |i: usize| answers[i].as_ref().unwrap().as_ref();
    assert_eq!(item(0).unwrap().value, r#"{"x": 1}"#);
    assert_eq!(item(0).unwrap().etag, ETag::new("7"));
    assert!(item(0).unwrap().expires_at.is_some());
    assert_eq!(item(1).unwrap().value, b"\x00\xff"[..]);
    assert_eq!(item(2), None);
    assert_eq!(item(3), item(0));
}

#[test]
fn key_without_an_answer_is_not_taken_for_absent() {
    let reads = [Read::new(key())];
    assert!(found(b"[]", &reads)[0].is_err());
    assert!(found(b"", &reads)[0].is_err());
    assert!(found(br#"[{"key":"k","error":"the disk is full"}]"#, &reads)[0].is_err());
}
