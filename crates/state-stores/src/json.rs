//! Which JSON texts a server's JSON type gives back with the meaning that they had.

use std::collections::HashSet;

/// What a server's JSON type keeps. All of them have one field of each name, and strings in UTF-8, which has no room
/// for half of a surrogate pair.
#[derive(Clone, Copy, Debug)]
pub(crate) struct JsonType {
    /// How deep a document may be nested.
    pub(crate) depth_max: usize,
    /// Whether a number comes back as it was written.
    pub(crate) keeps_number: fn(&str) -> bool,
    /// Whether a string may have a zero in it.
    pub(crate) keeps_zero: bool,
}

impl JsonType {
    /// Whether the meaning of `json` is kept, which is one valid text: all its numbers, to the last digit, and all its
    /// strings. White space, the order of fields and the way to write a character may change.
    pub(crate) fn keeps(&self, json: &[u8]) -> bool {
        // The names so far in each object that is open; `None` for a list.
        let mut open: Vec<Option<HashSet<&[u8]>>> = Vec::new();
        let mut expects_name = false;
        let mut rest = json;
        while let [first, tail @ ..] = rest {
            rest = match first {
                b'"' => {
                    let Some(after) = self.string(tail) else { return false };
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
                    if open.len() > self.depth_max {
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
                    if !std::str::from_utf8(number).is_ok_and(self.keeps_number) {
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
    fn string<'a>(&self, text: &'a [u8]) -> Option<&'a [u8]> {
        let mut rest = text;
        loop {
            match rest {
                [b'"', after @ ..] => return Some(after),
                // Halves of a pair are rare, and so are pairs in this form: neither is worth telling apart.
                [b'\\', b'u', b'd' | b'D', b'8'..=b'9' | b'a'..=b'f' | b'A'..=b'F', ..] => {
                    return None;
                }
                [b'\\', b'u', b'0', b'0', b'0', b'0', ..] if !self.keeps_zero => return None,
                [b'\\', _, after @ ..] | [_, after @ ..] => rest = after,
                [] => return None,
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Keeps numbers that are a digit.
    fn survives(json: &[u8]) -> bool {
        JsonType { depth_max: 100, keeps_number: |it| it.len() == 1, keeps_zero: false }.keeps(json)
    }

    #[test]
    fn numbers_in_strings_are_strings_and_half_characters_do_not_survive() {
        assert!(survives(br#"{"1.10": "1.10 \" 1e999", "b": [true, null, 1]}"#));
        assert!(!survives(br#"{"a": "x", "b": [1.10]}"#));
        assert!(!survives(br#""\ud800""#));
        assert!(survives(br#""\u00e9 \\ud800 \\u0000""#));
        assert!(!survives(br#""\u0000""#));
    }

    #[test]
    fn a_name_that_comes_twice_and_what_is_too_deep_do_not_survive() {
        assert!(survives(br#"{"a": {"a": 1}, "b": ["a", "a"], "c": "a"}"#));
        assert!(!survives(br#"{"a": 1, "b": {"c": [1]}, "a": 2}"#));
        assert!(!survives(br#"{"\u0061": 1}"#));
        let nested = |depth: usize| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(survives(nested(100).as_bytes()));
        assert!(!survives(nested(101).as_bytes()));
    }
}
