use std::collections::HashMap;

use serde::{Deserialize, de::DeserializeOwned};

use super::Properties;
use crate::GoDuration;

fn parse<T: DeserializeOwned>(properties: &[(&str, &str)]) -> Result<T, String> {
    let properties: Properties = properties.iter().copied().collect();
    properties.parse().map_err(|e| e.to_string())
}

/// Parses one property named `x` as a field of type `T`.
fn one<T: DeserializeOwned>(value: &str) -> Result<T, String> {
    #[derive(Deserialize)]
    struct One<T> {
        x: T,
    }
    parse::<One<T>>(&[("X", value)]).map(|it| it.x)
}

#[derive(Debug, PartialEq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum Mode {
    Node,
    Cluster,
}

#[derive(Debug, PartialEq, Deserialize)]
struct Settings {
    #[serde(alias = "url")]
    connectionstring: String,
    #[serde(default)]
    timeout: GoDuration,
}

#[test]
fn names_are_the_same_in_any_case() {
    let mut properties: Properties = [("redisHost", "a")].into_iter().collect();
    assert_eq!(properties.get("REDISHOST"), Some("a"));
    properties.insert("RedisHost", "b");
    assert_eq!(properties.get("redishost"), Some("b"));
    assert_eq!(properties.names().collect::<Vec<_>>(), ["RedisHost"]);
    assert_eq!(properties.line_of("redisHost"), None);
    assert_eq!(properties.get("other"), None);
}

#[test]
fn a_truthy_word_is_true_and_any_other_false() {
    for word in ["y", "yes", "true", "t", "on", "1", " TRUE "] {
        assert_eq!(one::<bool>(word), Ok(true), "{word}");
    }
    for word in ["", "n", "false", "0", "2", "enabled"] {
        assert_eq!(one::<bool>(word), Ok(false), "{word}");
    }
}

#[test]
fn numbers_are_trimmed_and_empty_is_zero() {
    assert_eq!(one::<u16>(" 6379\n"), Ok(6379));
    assert_eq!(one::<i64>("-1"), Ok(-1));
    assert_eq!(one::<u32>(""), Ok(0));
    assert_eq!(one::<f64>("0.5"), Ok(0.5));
}

#[test]
fn what_is_empty_is_no_option() {
    assert_eq!(one::<Option<u32>>(""), Ok(None));
    assert_eq!(one::<Option<u32>>("3"), Ok(Some(3)));
    assert_eq!(one::<Option<String>>(""), Ok(None));
    assert_eq!(parse::<HashMap<String, String>>(&[("A", "b")]).unwrap()["a"], "b");
}

#[test]
fn lists_are_split_at_commas_and_variants_found_in_any_case() {
    assert_eq!(one::<Vec<String>>("a, b"), Ok(vec!["a".to_owned(), " b".to_owned()]));
    assert_eq!(one::<Vec<u8>>("1, 2"), Ok(vec![1, 2]));
    assert_eq!(one::<Vec<String>>(""), Ok(vec![]));
    assert_eq!(one::<Mode>("Cluster "), Ok(Mode::Cluster));
}

#[test]
fn durations_are_gos_or_seconds() {
    assert_eq!(one::<GoDuration>("90"), Ok(GoDuration::from_secs(90)));
    assert_eq!(one::<GoDuration>("1m30s"), Ok(GoDuration::from_secs(90)));
    assert_eq!(one::<Option<GoDuration>>("1s"), Ok(Some(GoDuration::from_secs(1))));
}

#[test]
fn an_error_says_what_is_expected_and_not_what_is_there() {
    let error = |it: Result<(), String>| it.unwrap_err();
    let unit = |_: u16| ();
    assert_eq!(
        error(one::<u16>("hunter2").map(unit)),
        "metadata field `X` should be a whole number from 0 to 65535"
    );
    assert_eq!(
        error(one::<Mode>("hunter2").map(drop)),
        "metadata field `X` should be one of `node`, `cluster`"
    );
    assert_eq!(
        error(one::<GoDuration>("hunter2").map(drop)),
        "metadata field `X` should be a duration such as `5s` or `1m30s`, or a whole number of \
         seconds"
    );
    assert_eq!(error(one::<char>("hunter2").map(drop)), "metadata field `X` should be a character");
}

#[test]
fn a_check_of_the_stores_own_cannot_quote_a_value() {
    #[derive(Debug, Deserialize)]
    #[serde(try_from = "String")]
    struct Checked;

    impl TryFrom<String> for Checked {
        type Error = String;

        fn try_from(it: String) -> Result<Checked, String> {
            Err(if it == "plain" { "must be better".to_owned() } else { format!("bad: {it}") })
        }
    }

    assert_eq!(
        one::<Checked>("hunter2").unwrap_err(),
        "metadata field `X` has a value that is not allowed"
    );
    assert_eq!(one::<Checked>("plain").unwrap_err(), "metadata field `X` must be better");
}

#[test]
fn a_missing_property_is_named_with_what_may_be_meant() {
    assert_eq!(
        parse::<Settings>(&[]).unwrap_err(),
        "metadata field `connectionstring` is required"
    );
    assert_eq!(
        parse::<Settings>(&[("connectionStrng", "")]).unwrap_err(),
        "metadata field `connectionstring` is required; is `connectionStrng` meant to be it?"
    );
}

#[test]
fn an_alias_stands_for_its_field_but_not_beside_it() {
    let settings: Settings = parse(&[("URL", "a")]).unwrap();
    assert_eq!(settings.connectionstring, "a");
    assert_eq!(
        parse::<Settings>(&[("url", "a"), ("connectionString", "b")]).unwrap_err(),
        "metadata field `connectionstring` is given twice, under two of its names"
    );
}

#[test]
fn unknown_is_what_neither_store_nor_runtime_has() {
    let known = ["connectionString", "URL", "timeout", "keyPrefix", "primaryEncryptionKey"];
    let unknown = ["timout", "whatever"];
    let all = known.into_iter().chain(unknown).map(|it| (it, ""));
    let properties: Properties = all.collect();
    let rendered: Vec<_> =
        properties.unknown::<Settings>().iter().map(ToString::to_string).collect();
    assert_eq!(
        rendered,
        [
            "unknown metadata field `timout`; did you mean `timeout`?",
            "unknown metadata field `whatever`",
        ]
    );
    assert_eq!(properties.unknown::<HashMap<String, String>>(), []);
}

#[test]
fn debug_shows_names_only() {
    let properties: Properties = [("redisPassword", "hunter2")].into_iter().collect();
    assert_eq!(format!("{properties:?}"), r#"{"redisPassword"}"#);
}

#[test]
fn a_property_can_be_taken_out() {
    let mut properties: Properties = [("primaryEncryptionKey", "hunter2")].into_iter().collect();
    assert_eq!(properties.secret_of("primaryEncryptionKey"), None);
    assert_eq!(*properties.take("PRIMARYencryptionkey").unwrap(), "hunter2");
    assert_eq!(properties.get("primaryEncryptionKey"), None);
    assert!(properties.take("primaryEncryptionKey").is_none());
}

#[test]
fn a_name_that_is_nearly_right_is_found() {
    let names = ["primaryEncryptionKey", "encryptionFormat"];
    let misspelt = |name: &str| {
        let properties: Properties = [(name, "")].into_iter().collect();
        properties.misspelt(&names).map(|(_, meant)| meant)
    };
    for slip in ["primaryEncrpytionKey", "primary_encryption_key", "PrimaryEncryptionKeys"] {
        assert_eq!(misspelt(slip), Some("primaryEncryptionKey"), "{slip}");
    }
    assert_eq!(misspelt("encyptionFormat"), Some("encryptionFormat"));
    for other in ["primaryencryptionkey", "encryptionFormat", "redisHost", "keyPrefix"] {
        assert_eq!(misspelt(other), None, "{other}");
    }
}
