//! Which JSON texts a server's JSON type gives back with the meaning that they had.

use std::collections::HashSet;

/// Whether a content type means JSON.
pub(super) fn is_json_type(content_type: &str) -> bool {
    let essence = content_type.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/json")
}

/// How deep a document may be nested: RedisJSON takes 126 levels, one of which is around the value.
const DEPTH_MAX: usize = 100;

/// Whether RedisJSON keeps the meaning of `json`, which is one valid text: all its numbers, to the last digit, and
/// all its strings. White space, the order of fields and the way to write a character may change.
///
/// Source: RedisJSON keeps whole numbers of 64 bits, other numbers as IEEE 754 doubles, one field of each name, and
/// strings in UTF-8, which has no room for half of a surrogate pair.
pub(super) fn survives(json: &[u8]) -> bool {
    // The names so far in each object that is open; `None` for a list.
    let mut open: Vec<Option<HashSet<&[u8]>>> = Vec::new();
    let mut expects_name = false;
    let mut rest = json;
    while let [first, tail @ ..] = rest {
        rest = match first {
            b'"' => {
                let Some(after) = string(tail) else { return false };
                let text = &tail[..tail.len() - after.len()];
                if std::mem::take(&mut expects_name)
                    && let Some(Some(names)) = open.last_mut()
                    // A name with an escape may be another one, written otherwise.
                    && (text.contains(&b'\\') || !names.insert(text))
                {
                    return false;
                }
                after
            }
            b'{' | b'[' => {
                expects_name = *first == b'{';
                open.push(expects_name.then(HashSet::new));
                if open.len() > DEPTH_MAX {
                    return false;
                }
                tail
            }
            b'}' | b']' => {
                open.pop();
                expects_name = false;
                tail
            }
            b',' => {
                expects_name = matches!(open.last(), Some(Some(_)));
                tail
            }
            b'-' | b'0'..=b'9' => {
                let is_part =
                    |it: &u8| matches!(it, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
                let len = rest.iter().take_while(|it| is_part(it)).count();
                let (number, after) = rest.split_at(len);
                if !number_survives(number) {
                    return false;
                }
                after
            }
            _ => tail,
        };
    }
    true
}

/// What follows a string, of which the first quote was read. `None` if it does not survive.
fn string(text: &[u8]) -> Option<&[u8]> {
    let mut rest = text;
    loop {
        match rest {
            [b'"', after @ ..] => return Some(after),
            // Halves of a pair are rare, and so are pairs in this form: neither is worth telling apart.
            [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => return None,
            [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
            [] => return None,
        }
    }
}

fn number_survives(number: &[u8]) -> bool {
    let Ok(text) = std::str::from_utf8(number) else { return false };
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
            assert!(survives(kept.as_bytes()), "{kept}");
        }
        for lost in
            ["-0", "9223372036854775808", "1.10", "1e5", "1e999", "0.1000000000000000055", "1E3"]
        {
            assert!(!survives(lost.as_bytes()), "{lost}");
        }
    }

    #[test]
    fn numbers_in_strings_are_strings_and_half_characters_do_not_survive() {
        assert!(survives(br#"{"1.10": "1.10 \" 1e999", "b": [true, null, 1.5]}"#));
        assert!(!survives(br#"{"a": "x", "b": [1.10]}"#));
        assert!(!survives(br#""\ud800""#));
        assert!(survives(br#""\u00e9 \\ud800""#));
    }

    #[test]
    fn a_name_that_comes_twice_and_what_is_too_deep_do_not_survive() {
        assert!(survives(br#"{"a": {"a": 1}, "b": ["a", "a"], "c": "a"}"#));
        assert!(!survives(br#"{"a": 1, "b": {"c": [1]}, "a": 2}"#));
        assert!(!survives(br#"{"\u0061": 1}"#));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(survives(nested(DEPTH_MAX).as_bytes()));
        assert!(!survives(nested(DEPTH_MAX + 1).as_bytes()));
    }

    #[test]
    fn a_content_type_may_have_parameters() {
        assert!(is_json_type("Application/JSON; charset=utf-8"));
        assert!(!is_json_type("text/plain"));
    }
}
