//! Fields of a configuration, each of the form that it should have, or reported.

use crate::{
    manifest::field,
    node::{Content, Node},
    problem::{Place, Report},
};

/// Whether a value is a mapping; reported if it is something else.
pub(super) fn is_mapping(node: &Node, path: &str, report: &mut Report) -> bool {
    let is_mapping = matches!(node.content, Content::Mapping(_));
    if !is_mapping {
        let message = format!("`{path}` should be a mapping, not {}", node.kind());
        report.problem(node.place, message, "indent its fields below it");
    }
    is_mapping
}

/// A field that should be a mapping. `None` if it is absent, or reported.
pub(super) fn mapping<'a>(
    section: &'a Node,
    name: &str,
    path: &str,
    report: &mut Report,
) -> Option<&'a Node> {
    section.get(name).filter(|it| is_mapping(it, path, report))
}

/// A field that should be true or false, also as text.
pub(super) fn switch(section: &Node, name: &str, path: &str, report: &mut Report) -> Option<bool> {
    let node = section.get(name)?;
    let value = node.scalar().and_then(|it| it.to_ascii_lowercase().parse().ok());
    if value.is_none() {
        let message = format!("`{path}` should be true or false, not {}", node.kind());
        report.problem(node.place, message, "write `true` or `false`");
    }
    value
}

/// A field that should be a whole number.
pub(super) fn number(section: &Node, name: &str, path: &str, report: &mut Report) -> Option<u64> {
    let node = section.get(name)?;
    let value = node.scalar().and_then(|it| it.parse().ok());
    if value.is_none() {
        let message = format!("`{path}` should be a whole number");
        report.problem(node.place, message, "write digits alone");
    }
    value
}

/// A field that should be a list of whole numbers, and where it is.
pub(super) fn numbers(
    section: &Node,
    name: &str,
    path: &str,
    report: &mut Report,
) -> Option<(Place, Vec<u64>)> {
    let node = section.get(name)?;
    let parse = |it: &Node| it.scalar().and_then(|it| it.parse().ok());
    let numbers = match &node.content {
        Content::List(items) => items.iter().map(parse).collect::<Option<Vec<_>>>(),
        _ => None,
    };
    match numbers {
        Some(numbers) => Some((node.place, numbers)),
        None => {
            let message = format!("`{path}` should be a list of whole numbers");
            report.problem(node.place, message, "write a list such as [1, 5, 25]");
            None
        }
    }
}

/// A field that should be a list of words; one word is a list, too.
pub(super) fn texts(
    section: &Node,
    name: &str,
    path: &str,
    report: &mut Report,
) -> Option<Vec<String>> {
    let node = section.get(name)?;
    let texts = match &node.content {
        Content::List(items) => items.iter().map(Node::scalar).collect::<Option<Vec<_>>>(),
        _ => node.scalar().map(|it| vec![it]),
    };
    if texts.is_none() {
        let message = format!("`{path}` should be a list of texts");
        report.problem(node.place, message, "write a list such as [one, two]");
    }
    texts
}

/// A field that should be a list of mappings; those that are something else are reported.
pub(super) fn entries<'a>(
    section: &'a Node,
    name: &str,
    path: &str,
    report: &mut Report,
) -> Option<Vec<&'a Node>> {
    let node = section.get(name)?;
    let Content::List(items) = &node.content else {
        let message = format!("`{path}` should be a list, not {}", node.kind());
        report.problem(node.place, message, "begin each of its items with `- `");
        return None;
    };
    let path = format!("an item of `{path}`");
    Some(items.iter().filter(|it| is_mapping(it, &path, report)).collect())
}

/// A field of an item that has to be there.
pub(super) fn required(
    item: &Node,
    name: &str,
    path: &str,
    example: &str,
    report: &mut Report,
) -> Option<String> {
    if item.get(name).is_none() {
        let message = format!("an item of `{path}` has no `{name}`");
        report.problem(item.place, message, &format!("write {example}"));
        return None;
    }
    field::text(item, name, &format!("{path}.{name}"), report).filter(|it| !it.is_empty())
}
