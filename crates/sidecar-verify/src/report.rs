//! What was found, for people at a terminal, for programs, and for a page that can be passed on.

mod html;
mod json;
mod lanes;
mod meaning;
mod names;
#[cfg(test)]
mod samples;
mod svg;
mod text;
mod timeline;
mod words;

use state_checker::Violation;

use crate::{Findings, Standing};

pub use names::{confidence, grouped};

/// A terminal, as far as [`text`] has to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terminal {
    /// How many characters fit in a line. Less than 60 is taken as 60, more than 100 as 100.
    pub columns: usize,
    /// Whether to add ANSI styles. `anstream` removes them where nobody wants them.
    pub colour: bool,
}

impl Default for Terminal {
    fn default() -> Terminal {
        Terminal { columns: 100, colour: true }
    }
}

/// For a terminal: a line for each guarantee, and the shortest counterexample of each that is
/// broken, drawn with a lane for each process.
///
/// What comes from the store cannot move the cursor or change colours: control characters are
/// written as escapes.
pub fn text(findings: &Findings, terminal: &Terminal) -> String {
    text::render(findings, terminal)
}

/// For a terminal: one counterexample, with what it means. The keys of its run began with `prefix`.
pub fn counterexample(
    violation: &Violation,
    endpoints: &[String],
    prefix: &str,
    terminal: &Terminal,
) -> String {
    text::alone(violation, endpoints, prefix, terminal)
}

/// For programs: everything there is, in a form that only grows.
///
/// | Field | What it is |
/// |---|---|
/// | `format` | The form of this report: 1. Within it fields are added, never changed or removed. |
/// | `store` | The name of the component. |
/// | `endpoints` | Texts: addresses, or how many sidecars of our own were asked. |
/// | `seed` | A text of decimal digits, because readers with 53-bit numbers would change it. |
/// | `prefix` | What all keys began with. |
/// | `seconds` | How long it took. |
/// | `operations`, `histories`, `unknown`, `faults` | Counts: operations, groups of keys that were judged, unknown outcomes, faults that were made. |
/// | `interrupted` | Whether it was ended before its time. |
/// | `audit[]` | `warning` (a truth value) and `text`. |
/// | `limits[]` | Texts: what the run could not find out. |
/// | `judgements[]` | One for each guarantee, in a fixed order. |
/// | `….guarantee` | `first-write`, `strong`, `tx`, `ttl`, `bulk`, `values`, `durability` or `recovery`, as in `--require`. |
/// | `….title` | What it is called in reports. |
/// | `….standing` | `holds`, `violated`, `not_offered` or `not_tested`. |
/// | `….detail` | Why, in half a sentence. |
/// | `….operations`, `….contended`, `….broken` | Counts: operations that had to do with it, those that overlapped another one, groups of keys or cases that showed it broken. |
/// | `….failed_cases[]` | `name` and `message`. |
/// | `….violations[]` | Counterexamples. |
/// | `….violations[].invariant` | `I1` to `I12`. |
/// | `….violations[].promise` | What that says, in a few words. |
/// | `….violations[].summary` | What happened, in a sentence. |
/// | `….violations[].group` | Which group of keys: they begin with `prefix`, a dash and this number. |
/// | `….violations[].unexplaining` | How many unknown operations cannot explain it. |
/// | `….violations[].records[]` | The operations, as in a raw history; times in nanoseconds. |
pub fn json(findings: &Findings) -> String {
    json::render(findings)
}

/// For a browser: one page that needs nothing else, runs no script, and may load nothing.
pub fn html(findings: &Findings) -> String {
    html::render(findings)
}

/// How the whole went, in a sentence.
fn outcome(findings: &Findings) -> String {
    let count = |standing| findings.judgements.iter().filter(|it| it.standing == standing).count();
    let (all, violated) = (findings.judgements.len(), count(Standing::Violated));
    if violated > 0 {
        return format!("{violated} of {all} guarantees violated");
    }
    match count(Standing::Holds) {
        0 => "nothing was tested".to_owned(),
        holds if holds == all => format!("all {all} guarantees hold"),
        holds => {
            format!("{holds} of {all} guarantees hold, the others are not offered or not tested")
        }
    }
}
