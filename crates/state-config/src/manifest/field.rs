//! The names of fields: misspelt, misplaced or given twice.

use std::collections::BTreeMap;

use crate::{
    node::{Content, Node},
    problem::Report,
    spelling::did_you_mean,
};

pub(super) const ENTRY: [&str; 4] = ["name", "value", "secretKeyRef", "envRef"];
pub(super) const SECRET_KEY_REF: [&str; 2] = ["name", "key"];

const DOCUMENT: [&str; 6] = ["apiVersion", "kind", "metadata", "spec", "auth", "scopes"];
const METADATA: [&str; 2] = ["name", "namespace"];
const SPEC: [&str; 5] = ["type", "version", "metadata", "ignoreErrors", "initTimeout"];
const AUTH: [&str; 1] = ["secretStore"];

/// Fields that are often written one level too high or too deep, where Dapr passes over them.
const HOMES: [(&str, &str); 6] = [
    ("scopes", "write it at the top level, beside `spec`"),
    ("auth", "write it at the top level, beside `spec`"),
    ("secretStore", "write it below `auth`, at the top level"),
    ("type", "write it below `spec`"),
    ("ignoreErrors", "write it below `spec`"),
    ("initTimeout", "write it below `spec`"),
];

/// Reports the fields of a component that Dapr would pass over without a word.
pub(super) fn check(document: &Node, report: &mut Report) {
    check_duplicates(document, true, report);
    check_names(document, "the document", &DOCUMENT, report);
    if let Some(metadata) = document.get("metadata") {
        check_spelling(metadata, "metadata", &METADATA, report);
    }
    if let Some(spec) = document.get("spec") {
        check_names(spec, "`spec`", &SPEC, report);
    }
    let Some(auth) = document.get("auth") else {
        return;
    };
    if !matches!(auth.content, Content::Mapping(_)) {
        let message = format!("`auth` should be a mapping, not {}", auth.kind());
        report.problem(auth.place, message, "write `auth: {secretStore: <name>}`");
    }
    check_names(auth, "`auth`", &AUTH, report);
}

/// Reports fields that are not among those `known`: as a problem where it is clear what was
/// meant, otherwise as a warning.
pub(super) fn check_names(
    mapping: &Node,
    place: &str,
    known: &[&'static str],
    report: &mut Report,
) {
    for (key, _) in mapping.entries() {
        if known.iter().any(|it| it.eq_ignore_ascii_case(&key.text)) {
            continue;
        }
        let name = &key.text;
        let message = format!("{place} has no field `{name}`");
        let home = HOMES.iter().find(|(field, _)| field.eq_ignore_ascii_case(&key.text));
        if let Some((_, hint)) = home {
            report.problem(key.place, message, hint);
        } else if let Some(hint) = did_you_mean(&key.text, known.iter().copied()) {
            report.problem(key.place, message, &hint);
        } else {
            report.warning(key.place, message, "it is ignored");
        }
    }
}

/// As [`check_names`], for a mapping in which Kubernetes puts fields of its own.
fn check_spelling(mapping: &Node, place: &str, known: &[&'static str], report: &mut Report) {
    for (key, _) in mapping.entries() {
        if known.iter().any(|it| it.eq_ignore_ascii_case(&key.text)) {
            continue;
        }
        if let Some(hint) = did_you_mean(&key.text, known.iter().copied()) {
            let message = format!("`{place}` has no field `{}`", key.text);
            report.problem(key.place, message, &hint);
        }
    }
}

/// The text of a field that should be one word or number. `None` if it is absent, or reported.
pub(super) fn text(mapping: &Node, name: &str, path: &str, report: &mut Report) -> Option<String> {
    let node = mapping.get(name)?;
    let text = node.scalar();
    if text.is_none() {
        let message = format!("`{path}` should be text, not {}", node.kind());
        report.problem(node.place, message, "write one word, in quotes if need be");
    }
    text
}

/// Reports keys given twice, at any depth. `fold` is whether upper and lower case are the same,
/// as they are everywhere but inside of values.
pub(crate) fn check_duplicates(node: &Node, fold: bool, report: &mut Report) {
    if let Content::List(items) = &node.content {
        items.iter().for_each(|it| check_duplicates(it, fold, report));
    }
    let entries = node.entries();
    let canonical = |key: &str| if fold { key.to_ascii_lowercase() } else { key.to_owned() };
    let mut lines = BTreeMap::new();
    for (key, value) in entries {
        if let Some(line) = lines.insert(canonical(&key.text), key.place.line) {
            let message = format!("`{}` is here for the second time", key.text);
            let hint = format!("remove one of the two; the other is in line {line}");
            report.problem(key.place, message, &hint);
        }
        check_duplicates(value, fold && !key.text.eq_ignore_ascii_case("value"), report);
    }
}
