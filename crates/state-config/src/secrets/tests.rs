use std::fs;

use super::{NotOpened, Reference, SecretStores, open};
use crate::{Context, Properties};

/// Looks a secret up in a store of this type, named `vault`.
fn get(
    component_type: &str,
    properties: &[(&str, &str)],
    secret: &str,
    key: &str,
) -> Result<String, String> {
    let variables =
        [("APP_A", "1"), ("A", "2"), ("EMPTY", ""), ("dapr_x", "3"), ("APP_API_TOKEN", "4")];
    let context = Context {
        environment: variables.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        ..Context::default()
    };
    let properties: Properties = properties.iter().copied().collect();
    let mut stores = SecretStores::default();
    let store = open(component_type, &properties, &context).map_err(|e| match e {
        NotOpened::Mistake(it) | NotOpened::Unusable(it) => it,
    })?;
    stores.open("vault".to_owned(), store);
    let reference = Reference { store: "vault", secret, key, namespace: None };
    let it = stores.get(&reference, &context);
    it.map_err(|e| [e.message, e.hint].join("; "))
}

fn get_from_file(
    secrets: &str,
    settings: &[(&str, &str)],
    secret: &str,
    key: &str,
) -> Result<String, String> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("secrets.json");
    fs::write(&path, secrets).unwrap();
    let path = path.display().to_string();
    let settings = [&[("secretsFile", path.as_str())], settings].concat();
    get("secretstores.local.file", &settings, secret, key).map_err(|e| e.replace(&path, "FILE"))
}

fn get_variable(prefix: &str, secret: &str) -> Result<String, String> {
    get("SecretStores.Local.Env", &[("prefix", prefix)], secret, secret)
}

const NESTED: &str = r#"{"a": "1", "b": {"c": "2", "d": [true, 3]}, "n": null, "e": ""}"#;

#[test]
fn the_environment_is_read_with_its_prefix() {
    assert_eq!(get_variable("", "A").unwrap(), "2");
    assert_eq!(get_variable("APP_", "A").unwrap(), "1");
}

#[test]
fn tokens_cannot_be_read_and_what_is_unset_is_no_empty_password() {
    for (prefix, name) in [("", "APP_API_TOKEN"), ("APP_", "API_TOKEN"), ("dapr_", "x")] {
        let error = get_variable(prefix, name).unwrap_err();
        assert!(error.starts_with("components may not read"), "{error}");
    }
    for name in ["EMPTY", "NONE"] {
        let error = get_variable("", name).unwrap_err();
        assert!(error.contains(&format!("`{name}` is not set, or empty")), "{error}");
    }
    let error = get("secretstores.local.env", &[], "A", "b").unwrap_err();
    assert_eq!(
        error,
        "secret `A` of `vault` has no key `b`; leave out `key`: a variable has only one value"
    );
}

#[test]
fn a_nested_file_is_flattened() {
    let check = |name: &str| get_from_file(NESTED, &[], name, name);
    assert_eq!(check("a").unwrap(), "1");
    assert_eq!(check("b:c").unwrap(), "2");
    assert_eq!(check("b:d:0").unwrap(), "true");
    assert_eq!(check("b:d:1").unwrap(), "3");
    assert_eq!(
        check("b").unwrap_err(),
        "secret store `vault` has no secret `b`; did you mean `a`?"
    );
    assert_eq!(
        check("n").unwrap_err(),
        "secret store `vault` has no secret `n`; did you mean `a`?"
    );
    assert_eq!(
        check("e").unwrap_err(),
        "secret `e` of `vault` is empty; write `value: \"\"` if nothing is meant"
    );
    let dotted = get_from_file(NESTED, &[("nestedSeparator", ".")], "b.c", "b.c");
    assert_eq!(dotted.unwrap(), "2");
}

#[test]
fn a_secret_with_several_values_is_asked_for_one() {
    let check =
        |name: &str, key: &str| get_from_file(NESTED, &[("multiValued", "true")], name, key);
    assert_eq!(check("b", "c").unwrap(), "2");
    assert_eq!(check("b", "d:1").unwrap(), "3");
    assert_eq!(check("a", "a").unwrap(), "1");
    assert_eq!(
        check("b", "x").unwrap_err(),
        "secret `b` of `vault` has no key `x`; did you mean `c`?"
    );
}

#[test]
fn a_file_that_cannot_be_used_says_why_and_shows_nothing() {
    let missing = get("secretstores.local.file", &[("secretsFile", "no/such")], "a", "a");
    assert!(missing.unwrap_err().starts_with("`no/such`: the file cannot be opened: "));
    let unnamed = get("secretstores.local.file", &[], "a", "a").unwrap_err();
    assert_eq!(unnamed, "metadata field `secretsfile` is required");
    let error = get_from_file(r#"{"a": hunter2}"#, &[], "a", "a").unwrap_err();
    assert!(error.starts_with("`FILE` is not JSON: ") && !error.contains("hunter"), "{error}");
    for text in [r#"["hunter2"]"#, r#""hunter2""#] {
        let error = get_from_file(text, &[], "a", "a").unwrap_err();
        assert_eq!(error, "`FILE` is not a JSON object");
    }
}
