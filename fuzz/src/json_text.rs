//! Takes valid JSON apart without decoding any of it. Shares nothing with the code under test.

/// The elements of an array as they are written; none of anything else.
pub(crate) fn elements(json: &str) -> Vec<&str> {
    let Some(mut rest) = inside(json, '[', ']') else { return Vec::new() };
    let mut elements = Vec::new();
    while !rest.is_empty() {
        let (element, after) = rest.split_at(len(rest));
        elements.push(element);
        rest = trim(after).strip_prefix(',').map(trim).unwrap_or_default();
    }
    elements
}

/// The members of an object: decoded names, and values as they are written.
pub(crate) fn members(json: &str) -> Vec<(String, &str)> {
    let Some(mut rest) = inside(json, '{', '}') else { return Vec::new() };
    let mut members = Vec::new();
    while !rest.is_empty() {
        let (name, after) = rest.split_at(len(rest));
        let name = serde_json::from_str(name).expect("a name is a string");
        let value = trim(trim(after).strip_prefix(':').expect("a name has a value"));
        let (value, after) = value.split_at(len(value));
        members.push((name, value));
        rest = trim(after).strip_prefix(',').map(trim).unwrap_or_default();
    }
    members
}

/// A text as the API understands it: strings are decoded, the rest is what is written.
pub(crate) fn text(json: &str) -> String {
    match json {
        "null" => String::new(),
        _ if json.starts_with('"') => serde_json::from_str(json).expect("it is valid"),
        _ => json.to_owned(),
    }
}

/// Takes off the white space that JSON knows, and no other.
pub(crate) fn trim(json: &str) -> &str {
    json.trim_matches([' ', '\t', '\n', '\r'])
}

fn inside(json: &str, first: char, last: char) -> Option<&str> {
    trim(json).strip_prefix(first)?.strip_suffix(last).map(trim)
}

/// How long the first value of a text is.
fn len(json: &str) -> usize {
    let (mut depth, mut in_string, mut escaped) = (0, false, false);
    for (at, it) in json.char_indices() {
        match it {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' if in_string && depth == 0 => return at + 1,
            '"' => in_string = !in_string,
            _ if in_string => {}
            '[' | '{' => depth += 1,
            ']' | '}' | ',' | ':' | ' ' | '\t' | '\n' | '\r' if depth == 0 => return at,
            ']' | '}' if depth == 1 => return at + 1,
            ']' | '}' => depth -= 1,
            _ => {}
        }
    }
    json.len()
}

#[cfg(test)]
mod tests;
