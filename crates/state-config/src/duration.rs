use std::{fmt, time::Duration};

use serde::{Deserialize, Deserializer, de};

/// A span of time as Go's `time.ParseDuration` reads it: `1h2m3.5s`, `100ms`, `-1s`.
///
/// As a field of a settings struct it also accepts a whole number, of seconds, and empty text,
/// which is zero. Source: dapr/kit metadata/duration.go.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GoDuration {
    nanoseconds: i64,
}

impl GoDuration {
    /// A whole number of seconds. Saturates at about 292 years.
    pub const fn from_secs(seconds: i64) -> GoDuration {
        GoDuration { nanoseconds: seconds.saturating_mul(1_000_000_000) }
    }

    /// Reads Go's notation and nothing else; a number needs a unit, unless it is `0`.
    pub fn parse(text: &str) -> Option<GoDuration> {
        let (sign, rest) = match text.strip_prefix('-') {
            Some(rest) => (-1, rest),
            None => (1, text.strip_prefix('+').unwrap_or(text)),
        };
        if rest == "0" {
            return Some(GoDuration::default());
        }
        let mut total: i128 = 0;
        let mut rest = rest;
        loop {
            let (nanoseconds, tail) = term(rest)?;
            total = total.checked_add(nanoseconds)?;
            if tail.is_empty() {
                return Some(GoDuration { nanoseconds: i64::try_from(sign * total).ok()? });
            }
            rest = tail;
        }
    }

    /// The length in nanoseconds, which may be negative.
    pub fn as_nanos(self) -> i64 {
        self.nanoseconds
    }

    /// The same as a `Duration`. `None` if it is negative.
    pub fn to_duration(self) -> Option<Duration> {
        u64::try_from(self.nanoseconds).ok().map(Duration::from_nanos)
    }
}

impl<'de> Deserialize<'de> for GoDuration {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<GoDuration, D::Error> {
        deserializer.deserialize_str(GoDurationVisitor)
    }
}

struct GoDurationVisitor;

impl de::Visitor<'_> for GoDurationVisitor {
    type Value = GoDuration;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a duration such as `5s` or `1m30s`, or a whole number of seconds")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<GoDuration, E> {
        let text = text.trim();
        if text.is_empty() {
            return Ok(GoDuration::default());
        }
        let seconds = || text.parse().ok().map(GoDuration::from_secs);
        GoDuration::parse(text)
            .or_else(seconds)
            .ok_or_else(|| E::invalid_value(de::Unexpected::Other("text"), &self))
    }
}

/// Reads one number with its unit, such as `1.5h`: how many nanoseconds it is, and what follows.
fn term(text: &str) -> Option<(i128, &str)> {
    let number_len = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, rest) = text.split_at(number_len);
    let unit_len = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, tail) = rest.split_at(unit_len);
    let unit: i128 = match unit {
        "ns" => 1,
        // U+00B5 is the micro sign, U+03BC the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3_600 * 1_000_000_000,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() {
        return None;
    }
    if !fraction.bytes().all(|it| it.is_ascii_digit()) {
        return None;
    }
    // An hour has 13 digits of nanoseconds; no later digit of a fraction can matter.
    let fraction = &fraction[..fraction.len().min(13)];
    let parse = |digits: &str| if digits.is_empty() { Some(0) } else { digits.parse().ok() };
    let whole: i128 = parse(whole)?;
    let tenths: i128 = parse(fraction)?;
    let below = tenths * unit / 10_i128.pow(fraction.len() as u32);
    Some((whole.checked_mul(unit)?.checked_add(below)?, tail))
}

#[cfg(test)]
mod tests;
