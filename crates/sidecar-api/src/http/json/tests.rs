use state::{Change, Consistency, ETag, Precondition};

use super::*;
use crate::{Component, Service};

/// A store in memory.
fn store() -> StoreHandle {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let driver = state_stores::driver("state.in-memory").unwrap();
    let store = runtime.block_on((driver.open)(Default::default())).unwrap();
    let component = Component::new("s", "state.in-memory", "v1", false);
    component.opened(store);
    Service::new("app", [component.into()]).store("s").unwrap()
}

fn items(body: &str) -> Result<Vec<Write>, String> {
    let items: List<Option<Item<'_>>> = parse(body.as_bytes())?;
    let put = |it: Option<Item<'_>>| it.unwrap_or_default().put(&Shared::default(), &store());
    items.kept.into_iter().map(put).collect::<Result<_, _>>().map_err(|e| e.message)
}

fn value(body: &str) -> String {
    let writes = items(body).unwrap();
    let Change::Put { value, .. } = &writes[0].change else { panic!("a save is a put") };
    String::from_utf8(value.to_vec()).unwrap()
}

#[test]
fn values_keep_their_bytes() {
    for json in [
        "9007199254740993",
        r#"{"b":1.10,"a":[1,  2]}"#,
        r#""caf\u00e9  <&>""#,
        "1e400",
        "null",
        r#"" ""#,
    ] {
        assert_eq!(value(&format!(r#"[{{"key":"k","value": {json} }}]"#)), json);
    }
    assert_eq!(value(r#"[{"key":"k"}]"#), "null");
}

#[test]
fn names_of_fields_may_have_any_case() {
    let writes = items(r#"[{"Key":"k","VALUE":1,"eTag":"7","Options":{"Consistency":"strong"}}]"#);
    let write = &writes.unwrap()[0];
    assert_eq!(write.precondition, Precondition::Matches(ETag::new("7").unwrap()));
    assert_eq!(write.consistency, Consistency::Strong);
}

#[test]
fn null_is_absent_and_the_last_field_counts() {
    let writes = items(
        r#"[{"key":"a","key":"k","etag":null,"metadata":null,"options":null,"other":{"x":[]}}]"#,
    )
    .unwrap();
    assert_eq!(writes[0].key.as_str(), "k");
    assert_eq!(writes[0].precondition, Precondition::Any);
    assert_eq!(items("null"), Ok(Vec::new()));
    assert_eq!(items("[]"), Ok(Vec::new()));
}

#[test]
fn a_number_is_taken_as_an_etag_by_its_text() {
    let writes = items(r#"[{"key":"k","etag":1732294861000000}]"#).unwrap();
    let etag = ETag::new("1732294861000000").unwrap();
    assert_eq!(writes[0].precondition, Precondition::Matches(etag));
}

#[test]
fn errors_name_the_field_and_the_place() {
    let check = |body: &str, expected: &str| {
        let message = items(body).unwrap_err();
        assert!(message.contains(expected), "{body}: {message}");
    };
    check("", "EOF");
    check("{}", "invalid type: map, expected a sequence at line 1 column 0");
    check(r#"[{"key":["k"]}]"#, "field \"key\": invalid type: array, expected a string");
    check(r#"[{"key":"k","metadata":[]}]"#, "field \"metadata\": invalid type: sequence");
    check(r#"[{"key":"k","options":"strong"}]"#, "field \"options\": invalid type: string");
    check(r#"[{"key":"k"},]"#, "trailing comma at line 1 column 14");
    check(r#"[{"key":"k"}] []"#, "trailing characters");
    check(r#"[{"value":1}]"#, "\"key\" is a required field");
    check("[null]", "\"key\" is a required field");
}

#[test]
fn bytes_that_are_no_text_are_refused_also_where_nobody_looks() {
    let check = |body: &[u8]| parse::<Transaction<'_>>(body).unwrap_err();
    assert_eq!(check(b"{\"more\":\"\xff\"}"), "invalid unicode code point at byte 9");
    assert!(check(b"{\"operations\":null,\"more\":[{\"\xc3\":1}]}").starts_with("invalid unicode"));
    assert!(check(b"{\"m\":{\"a\xff\":\"\"}}").starts_with("invalid unicode"));
}

#[test]
fn a_list_keeps_no_more_than_a_request_may_have() {
    let body = format!("[{}{{}}]", "{},".repeat(99_999));
    let list: List<Item<'_>> = parse(body.as_bytes()).unwrap();
    assert_eq!((list.kept.len(), list.len), (BULK_LEN_MAX, 100_000));
    let list: List<Item<'_>> = parse(b"[{},{}]").unwrap();
    assert_eq!((list.kept.len(), list.len), (2, 2));
}
