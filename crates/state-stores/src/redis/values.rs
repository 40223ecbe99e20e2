//! The texts of settings, read as strictly as Dapr reads those of its Redis store, and of no other.
//! Source: dapr/kit config/decode.go.

use std::str::FromStr;

use state::{Error, FailureKind, Result};
use state_config::GoDuration;

/// A switch, in the words that Go's `strconv.ParseBool` knows. Off if there is no text.
pub(super) fn switch(name: &str, text: &Option<String>) -> Result<bool> {
    match text.as_deref() {
        None | Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some(_) => Err(invalid(format!("{name} must be true or false"))),
    }
}

/// A number of the range of `N`. `None` if there is no text.
pub(super) fn number<N: FromStr>(name: &str, text: &Option<String>) -> Result<Option<N>> {
    let Some(text) = text else { return Ok(None) };
    match text.parse() {
        Ok(it) => Ok(Some(it)),
        Err(_) => Err(invalid(format!("{name} must be a whole number, and not out of range"))),
    }
}

/// A time in nanoseconds: Go's notation, or a whole number of milliseconds. A negative number is one of
/// nanoseconds, which drivers take for "never". `None` if there is no text.
pub(super) fn duration(name: &str, text: &Option<String>) -> Result<Option<i64>> {
    let Some(text) = text else { return Ok(None) };
    if let Ok(number) = text.parse::<i64>() {
        return Ok(Some(if number < 0 { number } else { number.saturating_mul(1_000_000) }));
    }
    match GoDuration::parse(text) {
        Some(it) => Ok(Some(it.as_nanos())),
        None => Err(invalid(format!(
            "{name} must be a duration such as 500ms or 3s, or a whole number of milliseconds"
        ))),
    }
}

fn invalid(message: String) -> Error {
    Error::new(FailureKind::Invalid, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(it: &str) -> Option<String> {
        Some(it.to_owned())
    }

    #[test]
    fn a_switch_is_one_of_go_s_words() {
        assert!(switch("x", &text("True")).unwrap());
        assert!(!switch("x", &None).unwrap());
        for other in ["yes", "on", "", " true"] {
            assert!(switch("x", &text(other)).is_err(), "{other:?}");
        }
    }

    #[test]
    fn a_number_without_a_unit_is_milliseconds_and_a_negative_one_nanoseconds() {
        assert_eq!(duration("x", &text("250")).unwrap(), Some(250_000_000));
        assert_eq!(duration("x", &text("1m")).unwrap(), Some(60_000_000_000));
        assert_eq!(duration("x", &text("-1")).unwrap(), Some(-1));
        assert!(duration("x", &text("soon")).is_err());
    }

    #[test]
    fn a_number_fits_its_type() {
        assert_eq!(number::<u16>("x", &text("6379")).unwrap(), Some(6379));
        assert!(number::<u16>("x", &text("65536")).is_err());
        assert!(number::<u16>("x", &text("6.5")).is_err());
    }
}
