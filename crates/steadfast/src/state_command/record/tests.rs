use super::*;

fn record(value: &[u8]) -> Record {
    Record {
        key: Key::stored("a \"key\" \u{e9}"),
        value: Bytes::copy_from_slice(value),
        etag: Some("7".to_owned()),
        expires_at: Some(SystemTime::UNIX_EPOCH + Duration::from_millis(1_800_000_000_123)),
    }
}

/// What a record is after it was a line.
fn there_and_back(record: &Record) -> Record {
    let line = record.line();
    assert_eq!(line.iter().filter(|it| **it == b'\n').count(), 1, "it is one line");
    let Parsed::Record(Raw { key, value, etag, expires_at }) = parse(&line).unwrap() else {
        panic!("no record");
    };
    Record { key: Key::stored(&key), value, etag, expires_at }
}

#[test]
fn every_value_comes_back_byte_for_byte() {
    let deep = "[".repeat(300) + &"]".repeat(300);
    for value in [
        &b""[..],
        b"null",
        b"\"text\"",
        b"{ \"b\" :  1.50,\t\"a\":[ 1e400, 9007199254740993 ] }",
        b" 1",
        b"1 ",
        b"{\n}",
        b"1\r",
        b"not json",
        b"\"half\\ud83d\"",
        b"{\"a\":1,\"a\":2}",
        &[0, 255, 10, 13, 128],
        deep.as_bytes(),
    ] {
        assert_eq!(there_and_back(&record(value)), record(value), "{value:?}");
    }
    let bare = Record { etag: None, expires_at: None, ..record(b"1") };
    assert_eq!(there_and_back(&bare), bare);
}

#[test]
fn json_stands_in_the_line_as_it_is() {
    let line = String::from_utf8(record(b"{\"a\": [1,  2]}").line()).unwrap();
    assert!(line.contains(r#""value":{"a": [1,  2]}"#), "{line}");
    assert!(line.contains(r#""expiresAt":"2027-01-15T08:00:00.123Z""#), "{line}");
    let line = String::from_utf8(record(&[255]).line()).unwrap();
    assert!(line.contains(r#""base64":"/w==""#), "{line}");
}

#[test]
fn a_line_that_is_wrong_says_how_and_shows_no_value() {
    for (line, words) in [
        (r#"{"key":"k","value":"sec"#, "ends too early"),
        (r#"{"key":"k","value":secret}"#, "not JSON"),
        (r#"{"key":"k"}"#, "either `value` or `base64`"),
        (r#"{"key":"k","value":1,"base64":"MQ=="}"#, "either `value` or `base64`"),
        (r#"{"key":"k","base64":"*secret*"}"#, "not base64"),
        (r#"{"key":"","value":1}"#, "`key` is empty"),
        (r#"{"key":"k","value":1,"expiresAt":"secret"}"#, "`expiresAt`"),
        (r#"{"key":"k","value":1,"secret":1}"#, "no record"),
        (r#"["secret"]"#, "no object"),
        (r#"{"steadfast":{"secret":1}}"#, "about the export"),
    ] {
        let message = format!("{}", parse(line.as_bytes()).unwrap_err());
        assert!(message.contains(words), "{line}: {message}");
        assert!(!message.contains("secret"), "{message}");
    }
    assert!(matches!(parse(b" \r\n").unwrap(), Parsed::Empty));
}

#[test]
fn marks_come_back() {
    let end = End { records: 3 };
    let line = Mark::End(end.clone()).line();
    assert_eq!(line, b"{\"steadfast\":{\"end\":{\"records\":3}}}\n");
    let Parsed::Mark(Mark::End(it)) = parse(&line).unwrap() else { panic!() };
    assert_eq!(it, end);
}

#[test]
fn what_is_left_of_a_life_is_kept() {
    let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_800_000_000);
    let ttl = |left_ms: u64| {
        let expires_at = Some(now + Duration::from_millis(left_ms));
        match (Record { expires_at, ..record(b"1") }).write(Precondition::Any, now).change {
            Change::Put { ttl: Ttl::After(it), .. } => it.as_secs(),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!((ttl(10_000), ttl(10_999), ttl(300)), (10, 10, 1));
    let never = Record { expires_at: None, ..record(b"1") };
    let Change::Put { ttl, .. } = never.write(Precondition::Any, now).change else { panic!() };
    assert_eq!(ttl, Ttl::Never, "also if the component has a default");
    assert!(record(b"1").is_expired(now + Duration::from_secs(1)) && !record(b"1").is_expired(now));
}

#[test]
fn a_store_that_is_not_exact_may_change_what_means_nothing() {
    assert!(same_value(b"{\"a\":1, \"b\":2}", b"{\"b\":2,\"a\":1}", false));
    assert!(!same_value(b"{\"a\":1, \"b\":2}", b"{\"b\":2,\"a\":1}", true));
    assert!(!same_value(b"not", b"json", false));
    assert!(!same_value(b"1", b"2", false));
}
