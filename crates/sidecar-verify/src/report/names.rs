//! Names and numbers, as readers want them.

use std::collections::BTreeSet;

/// ETags up to this length are shown in full: version numbers are, UUIDs and hashes are not.
const ETAG_CHARS_MAX: usize = 12;

/// How much of a longer ETag is shown.
const ETAG_CHARS_SHOWN: usize = 8;

/// Longer names of endpoints are replaced by their number.
const ENDPOINT_CHARS_MAX: usize = 24;

/// All endpoints; of addresses on one host, all but the first as ports.
pub(super) fn all_endpoints(endpoints: &[String]) -> String {
    let short = |(i, address): (usize, &String)| {
        let name = u16::try_from(i).map(|it| endpoint(endpoints, it)).unwrap_or_default();
        if i > 0 && name.starts_with(':') { name } else { plain(address) }
    };
    endpoints.iter().enumerate().map(short).collect::<Vec<_>>().join(", ")
}

/// The name of an endpoint, as short as it can be.
pub(super) fn endpoint(endpoints: &[String], number: u16) -> String {
    let hosts: Option<Vec<(&str, &str)>> = endpoints.iter().map(|it| host_and_port(it)).collect();
    match hosts.as_deref().and_then(|it| Some((it, it.get(usize::from(number))?))) {
        Some((all, (host, port))) if all.iter().all(|it| it.0 == *host) => format!(":{port}"),
        Some((_, (host, port))) if host.len() + port.len() < ENDPOINT_CHARS_MAX => {
            plain(&format!("{host}:{port}"))
        }
        _ => format!("#{}", number + 1),
    }
}

fn host_and_port(address: &str) -> Option<(&str, &str)> {
    let (_, rest) = address.split_once("://")?;
    let (host, port) = rest.split('/').next()?.rsplit_once(':')?;
    port.parse::<u16>().ok().map(|_| (host, port))
}

/// A text from outside without what would move a cursor, change colours or turn the line around.
pub(super) fn plain(text: &str) -> String {
    let mut plain = String::with_capacity(text.len());
    for it in text.chars() {
        let hidden = matches!(it,
            '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{feff}');
        if it.is_control() || hidden {
            plain.extend(it.escape_default());
        } else {
            plain.push(it);
        }
    }
    plain
}

/// The beginning of a long ETag; or its end, or all of it, if others begin in the same way.
pub(super) fn shorten(etag: &str, all: &BTreeSet<&str>) -> Option<String> {
    let shown = plain(etag);
    let chars: Vec<char> = shown.chars().collect();
    if chars.len() <= ETAG_CHARS_MAX {
        return None;
    }
    let head: String = chars[..ETAG_CHARS_SHOWN].iter().collect();
    let tail: String = chars[chars.len() - ETAG_CHARS_SHOWN..].iter().collect();
    let unique = |has: &dyn Fn(&str) -> bool| all.iter().filter(|it| has(&plain(it))).count() == 1;
    if unique(&|it| it.starts_with(&head)) {
        Some(format!("{head}…"))
    } else if unique(&|it| it.ends_with(&tail)) {
        Some(format!("…{tail}"))
    } else {
        None
    }
}

/// A number with its digits in groups of three. The spaces do not break.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push('\u{a0}');
        }
        grouped.push(digit);
    }
    grouped
}

/// What `n` operations without a flaw say of the flaws that there may be and that show: the rule of
/// three. If
/// one of every `n / 3` operations went wrong, independently of each other, `n` of them would all
/// go well in fewer than 5 % of runs.
pub fn confidence(n: u64) -> String {
    match n / 3 {
        0 | 1 => "too few operations to tell".to_owned(),
        one_in => format!(
            "a flaw that shows in 1 of {} or more would have been seen with 95\u{a0}% certainty",
            grouped(one_in)
        ),
    }
}

#[cfg(test)]
mod tests;
