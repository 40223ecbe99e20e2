use serde::{
    Deserialize,
    de::{IntoDeserializer, value},
};

use super::GoDuration;

const SECOND: i64 = 1_000_000_000;

fn parse(text: &str) -> Option<i64> {
    GoDuration::parse(text).map(GoDuration::as_nanos)
}

fn read(text: &str) -> Option<i64> {
    let text: value::StrDeserializer<'_, value::Error> = text.into_deserializer();
    GoDuration::deserialize(text).ok().map(GoDuration::as_nanos)
}

#[test]
fn gos_notation_is_understood() {
    for (text, nanoseconds) in [
        ("0", 0),
        ("-0", 0),
        ("5s", 5 * SECOND),
        ("100ms", SECOND / 10),
        ("1.5h", 5400 * SECOND),
        ("1h2m3.5s", 3723 * SECOND + SECOND / 2),
        ("-1m", -60 * SECOND),
        ("+1m", 60 * SECOND),
        (".5s", SECOND / 2),
        ("1.s", SECOND),
        ("7us", 7_000),
        ("7\u{b5}s", 7_000),
        ("7\u{3bc}s", 7_000),
        ("9ns", 9),
        ("0.1234567890123456789s", 123_456_789),
        ("2562047h47m16.854775807s", i64::MAX),
        ("-2562047h47m16.854775808s", i64::MIN),
    ] {
        assert_eq!(parse(text), Some(nanoseconds), "{text}");
    }
}

#[test]
fn what_go_refuses_is_refused() {
    for text in ["", "-", "5", "s", ".s", "1.2.3s", "5 s", "5d", "1h-2m", "2562048h", "é", "5s "] {
        assert_eq!(parse(text), None, "{text}");
    }
}

#[test]
fn settings_also_take_whole_seconds_and_nothing() {
    assert_eq!(read("30"), Some(30 * SECOND));
    assert_eq!(read("-1"), Some(-SECOND));
    assert_eq!(read(" 30 "), Some(30 * SECOND));
    assert_eq!(read("1m"), Some(60 * SECOND));
    assert_eq!(read(""), Some(0));
    assert_eq!(read("1.5"), None);
    assert_eq!(read("soon"), None);
}

#[test]
fn only_a_negative_one_is_no_duration() {
    let to_duration = |text: &str| GoDuration::parse(text).unwrap().to_duration();
    assert_eq!(to_duration("1s"), Some(std::time::Duration::from_secs(1)));
    assert_eq!(to_duration("0"), Some(std::time::Duration::ZERO));
    assert_eq!(to_duration("-1s"), None);
}
