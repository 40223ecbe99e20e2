//! Which JSON texts RedisJSON can have.

use crate::json::JsonType;

/// Whether a content type means JSON.
pub(super) fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// What RedisJSON keeps.
///
/// Source: it takes 126 levels, one of which is around the value; whole numbers are of 64 bits, others IEEE 754 doubles.
pub(super) const REDIS_JSON: JsonType =
    JsonType { depth_max: 100, keeps_number: number_survives, keeps_zero: true };

fn number_survives(text: &str) -> bool {
    if text.bytes().all(|it| it.is_ascii_digit() || it == b'-') {
        // There is no whole number that is minus nothing.
        return text != "-0" && text.parse::<i64>().is_ok();
    }
    let Ok(double) = text.parse::<f64>() else { return false };
    // The shortest text of the double is the one that it is written as.
    double.is_finite() && format!("{double:?}") == text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_survive_to_the_last_digit_or_not_at_all() {
        for kept in
            ["0", "-1", "9007199254740993", "-9223372036854775808", "3.141592653589", "0.1", "1e21"]
        {
            assert!(REDIS_JSON.keeps(kept.as_bytes()), "{kept}");
        }
        for lost in
            ["-0", "9223372036854775808", "1.10", "1e5", "1e999", "0.1000000000000000055", "1E3"]
        {
            assert!(!REDIS_JSON.keeps(lost.as_bytes()), "{lost}");
        }
    }

    #[test]
    fn a_content_type_may_have_parameters() {
        assert!(is_json_type("Application/JSON; charset=utf-8"));
        assert!(!is_json_type("text/plain"));
    }
}
