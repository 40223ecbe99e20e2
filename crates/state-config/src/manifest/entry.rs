//! The entries of `spec.metadata`.

use std::collections::BTreeMap;

use super::{doubtful, field};
use crate::{
    node::{Content, Key, Node},
    problem::{Place, Report},
};

const LIST_FORM: &str = "write a list: `- name: redisHost` and, below it, `value: localhost:6379`";
const SECRET_FORM: &str = "write `secretKeyRef: {name: <secret>, key: <key>}`";

/// One entry, with a name that no other has. Has no `Debug`: it may hold a password.
pub(crate) struct Entry {
    pub(crate) name: String,
    pub(crate) place: Place,
    pub(crate) origin: Origin,
}

/// Where a value comes from.
pub(crate) enum Origin {
    /// It is in the file.
    Literal(String),
    /// It is in an environment variable.
    Environment(String),
    /// It is in the component's secret store.
    Secret { name: String, key: String },
}

pub(super) fn read_all(spec: &Node, report: &mut Report) -> Vec<Entry> {
    let Some(metadata) = spec.get("metadata") else {
        return Vec::new();
    };
    let Content::List(items) = &metadata.content else {
        let message = format!("`spec.metadata` should be a list, not {}", metadata.kind());
        report.problem(metadata.place, message, &list_form(metadata));
        return Vec::new();
    };
    let mut lines = BTreeMap::new();
    let mut entries = Vec::new();
    for item in items {
        let Some(entry) = read(item, report) else {
            continue;
        };
        if let Some(line) = lines.insert(entry.name.to_lowercase(), entry.place.line) {
            let message = format!("metadata field `{}` is here for the second time", entry.name);
            let hint = format!("remove one of the two; the other is in line {line}");
            report.problem(entry.place, message, &hint);
        }
        entries.push(entry);
    }
    entries
}

fn read(item: &Node, report: &mut Report) -> Option<Entry> {
    if !matches!(item.content, Content::Mapping(_)) {
        let message = format!("a metadata field should be a mapping, not {}", item.kind());
        report.problem(item.place, message, LIST_FORM);
        return None;
    }
    if item.get("name").is_none() {
        report.problem(item.place, "a metadata field without `name`", &list_form(item));
        return None;
    }
    field::check_names(item, "a metadata field", &field::ENTRY, report);
    let name = field::text(item, "name", "name", report)?;
    if name.is_empty() {
        report.problem(item.place, "a metadata field with an empty `name`", LIST_FORM);
        return None;
    }
    let origin = origin(item, &name, report)?;
    Some(Entry { name, place: item.place, origin })
}

/// Decides between the three ways to give a value as Dapr does: a variable counts if there is no
/// literal, and a secret counts before a literal.
fn origin(item: &Node, name: &str, report: &mut Report) -> Option<Origin> {
    let literal = item.get_nullable("value");
    let variable = match item.get("envRef") {
        Some(_) => Some(field::text(item, "envRef", "envRef", report)?),
        None => None,
    };
    let secret = match item.get("secretKeyRef") {
        Some(it) => Some(secret(it, report)?),
        None => None,
    };
    // Tools write out empty references beside a literal.
    let secret =
        secret.filter(|(name, key)| literal.is_none() || !(name.is_empty() && key.is_empty()));
    let variable = variable.filter(|it| literal.is_none() || !it.is_empty());

    let sources = [literal.is_some_and(is_given), variable.is_some(), secret.is_some()];
    if sources.into_iter().filter(|it| *it).count() > 1 {
        let message = format!("metadata field `{name}` has more than one source");
        report.warning(item.place, message, "keep one of `value`, `envRef` and `secretKeyRef`");
    }
    let has_literal = literal.is_some_and(|it| !matches!(it.content, Content::Null));
    if let Some(variable) = variable.filter(|_| !has_literal) {
        return Some(Origin::Environment(variable));
    }
    if let Some((secret, key)) = secret {
        if secret.is_empty() {
            let message = format!("the `secretKeyRef` of `{name}` does not name a secret");
            report.problem(item.place, message, SECRET_FORM);
            return None;
        }
        let key = if key.is_empty() { secret.clone() } else { key };
        return Some(Origin::Secret { name: secret, key });
    }
    let Some(literal) = literal else {
        let message = format!("metadata field `{name}` has no `value`");
        report.problem(item.place, message, "write `value: \"\"` if it is to be empty");
        return None;
    };
    if let Content::Null = literal.content {
        let message = format!("the value of `{name}` is empty");
        let hint = "write `value: \"\"` if it is meant to be; text that begins with `#` or `&` \
                    needs quotes";
        report.warning(literal.place, message, hint);
    }
    let is_reference = |name: &str| {
        let is_one = |(key, _): &(Key, Node)| key.text.eq_ignore_ascii_case(name);
        literal.entries().iter().any(is_one)
    };
    if let Some(reference) =
        ["secretKeyRef", "envRef", "valueFrom"].into_iter().find(|it| is_reference(it))
    {
        let message =
            format!("the value of `{name}` is a mapping with `{reference}`, as it is written");
        report.problem(
            literal.place,
            message,
            "write `secretKeyRef` or `envRef` beside `name`, without `value`",
        );
        return None;
    }
    if literal.is_rewritten {
        let message =
            format!("the value of `{name}` is a number, and is not kept as it is written");
        report.warning(literal.place, message, "put it in quotes if it is meant as text");
    }
    let text = literal.flattened();
    if let Some((message, hint)) = doubtful::check(name, &text) {
        report.warning(literal.place, message, hint);
    }
    Some(Origin::Literal(text))
}

/// Whether a literal says anything, rather than filling a place.
fn is_given(literal: &Node) -> bool {
    !literal.flattened().is_empty()
}

fn secret(node: &Node, report: &mut Report) -> Option<(String, String)> {
    if !matches!(node.content, Content::Mapping(_)) {
        let message = format!("`secretKeyRef` should be a mapping, not {}", node.kind());
        report.problem(node.place, message, SECRET_FORM);
        return None;
    }
    field::check_names(node, "`secretKeyRef`", &field::SECRET_KEY_REF, report);
    let mut text = |name, path| field::text(node, name, path, report).unwrap_or_default();
    Some((text("name", "secretKeyRef.name"), text("key", "secretKeyRef.key")))
}

/// The list form, with the first name of a mapping that was written instead.
fn list_form(mapping: &Node) -> String {
    match mapping.entries().first() {
        Some((key, _)) if !field::ENTRY.contains(&key.text.as_str()) => {
            let name = &key.text;
            format!("write a list: `- name: {name}` and, below it, `value: ...`")
        }
        _ => LIST_FORM.to_owned(),
    }
}
