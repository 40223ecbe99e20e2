//! Environment variables in the text of a configuration.

use std::borrow::Cow;

use crate::{
    context::Context,
    problem::{Place, Report},
};

/// Puts in the values of `$NAME` and `${NAME}`. A `$` before anything else stays, which Dapr does not always grant.
///
/// A variable that is not set is a problem: Dapr puts nothing in its place, which is hardly what anybody means.
pub(super) fn expand(text: &str, context: &Context, report: &mut Report) -> String {
    let mut expanded = String::with_capacity(text.len());
    for (line, it) in (1..).zip(text.split_inclusive('\n')) {
        // Nobody misses a variable in a comment.
        match it.trim_start().starts_with('#') {
            true => expanded.push_str(it),
            false => expanded.push_str(&expand_line(it, line, context, report)),
        }
    }
    expanded
}

fn expand_line<'a>(
    text: &'a str,
    line: u64,
    context: &Context,
    report: &mut Report,
) -> Cow<'a, str> {
    if !text.contains('$') {
        return Cow::Borrowed(text);
    }
    let mut pieces = text.split('$');
    let mut expanded = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let Some((name, rest)) = name_and_rest(piece) else {
            expanded.push('$');
            expanded.push_str(piece);
            continue;
        };
        match context.environment.get(name) {
            // A line break in a value would make other fields of it.
            Some(value) if !value.contains(char::is_control) => expanded.push_str(value),
            Some(_) => {
                let message = format!("the environment variable `{name}` has control characters");
                report.problem(Place { line, column: 1 }, message, "set it to one line of text");
            }
            None => {
                let message = format!("the environment variable `{name}` is not set");
                let hint = "set it, if need be to nothing; every `$` with a name stands for one";
                report.problem(Place { line, column: 1 }, message, hint);
            }
        }
        expanded.push_str(rest);
    }
    Cow::Owned(expanded)
}

/// The name that a piece of text after a `$` begins with, if it does, and what comes after it.
fn name_and_rest(piece: &str) -> Option<(&str, &str)> {
    let is_letter = |it: char| it.is_ascii_alphabetic() || it == '_';
    let is_part = |it: char| is_letter(it) || it.is_ascii_digit();
    let (name, rest) = match piece.strip_prefix('{') {
        Some(inner) => inner.split_once('}')?,
        None => piece.split_at(piece.find(|it| !is_part(it)).unwrap_or(piece.len())),
    };
    let is_name = name.starts_with(is_letter) && name.chars().all(is_part);
    is_name.then_some((name, rest))
}
