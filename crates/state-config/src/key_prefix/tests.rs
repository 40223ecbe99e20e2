use super::{KeyPrefix, KeyPrefixError};

fn check(value: &str, app_id: &str, namespace: Option<&str>) -> String {
    KeyPrefix::parse(value).unwrap().resolve(app_id, "store", namespace)
}

#[test]
fn each_strategy_has_its_prefix() {
    assert_eq!(check("appid", "app", Some("ns")), "app||");
    assert_eq!(check("name", "app", Some("ns")), "store||");
    assert_eq!(check("namespace", "app", Some("ns")), "ns.app||");
    assert_eq!(check("none", "app", Some("ns")), "");
    assert_eq!(check("mine", "app", Some("ns")), "mine||");
    assert_eq!(check("", "app", Some("ns")), "||");
    assert_eq!(KeyPrefix::default().resolve("app", "store", None), "app||");
}

#[test]
fn case_does_not_matter_and_literals_become_lower_case() {
    assert_eq!(check("AppID", "App", None), "App||");
    assert_eq!(check("NONE", "app", None), "");
    assert_eq!(check("MyPrefix", "app", None), "myprefix||");
}

#[test]
fn what_is_unknown_is_left_out() {
    assert_eq!(check("appid", "", Some("ns")), "");
    assert_eq!(check("namespace", "", Some("ns")), "");
    assert_eq!(check("namespace", "app", None), "app||");
    assert_eq!(check("namespace", "app", Some("")), "app||");
    assert_eq!(check("name", "", None), "store||");
}

#[test]
fn the_separator_is_refused_in_a_literal() {
    assert_eq!(KeyPrefix::parse("a||b"), Err(KeyPrefixError::Separator));
    assert_eq!(KeyPrefix::parse("||"), Err(KeyPrefixError::Separator));
    assert!(KeyPrefix::parse("a|b").is_ok());
}

#[test]
fn a_literal_that_ends_in_half_a_separator_is_refused() {
    assert_eq!(KeyPrefix::parse("a|"), Err(KeyPrefixError::HalfSeparator));
    assert_eq!(KeyPrefix::parse("|"), Err(KeyPrefixError::HalfSeparator));
    assert!(KeyPrefix::parse("|a").is_ok());
}
