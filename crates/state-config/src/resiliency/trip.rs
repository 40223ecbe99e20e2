//! The condition under which a circuit breaker opens, in the part of CEL that counters need.
//!
//! Our own, because all of CEL in Rust adds 2 MB to the program for one comparison of numbers. What is
//! here means the same as in CEL: <https://github.com/google/cel-spec/blob/master/doc/langdef.md>.

use std::fmt;

use self::expression::{Expression, Value};

mod expression;
mod parser;

/// What a circuit breaker has seen since it last changed its state, or began a new interval.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Attempts that were let through.
    pub requests: u32,
    /// Those that the store answered.
    pub total_successes: u32,
    /// Those that failed.
    pub total_failures: u32,
    /// Those that were answered since the last failure.
    pub consecutive_successes: u32,
    /// Those that failed since the last success.
    pub consecutive_failures: u32,
}

/// A condition over [`Counts`], such as `consecutiveFailures > 5`.
#[derive(Clone, PartialEq)]
pub struct Trip {
    text: String,
    expression: Expression,
}

/// The names that a condition can use.
const COUNTERS: [(&str, fn(&Counts) -> u32); 5] = [
    ("requests", |it| it.requests),
    ("totalSuccesses", |it| it.total_successes),
    ("totalFailures", |it| it.total_failures),
    ("consecutiveSuccesses", |it| it.consecutive_successes),
    ("consecutiveFailures", |it| it.consecutive_failures),
];

impl Trip {
    /// Reads a condition, or says in words what is wrong with it.
    pub fn parse(text: &str) -> Result<Trip, String> {
        let expression = parser::parse(text)?;
        Ok(Trip { text: text.trim().to_owned(), expression })
    }

    /// Whether the condition holds. One that cannot be computed, as after a division by zero, does
    /// not, as in Dapr.
    pub fn holds(&self, counts: &Counts) -> bool {
        self.expression.value(counts) == Some(Value::Bool(true))
    }
}

impl Default for Trip {
    /// Dapr's: more than five failures one after the other.
    fn default() -> Trip {
        Trip::parse("consecutiveFailures > 5").expect("it is a condition")
    }
}

impl fmt::Debug for Trip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.text, f)
    }
}

#[cfg(test)]
mod tests;
