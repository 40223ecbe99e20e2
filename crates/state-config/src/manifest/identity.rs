//! Whether a document is a component, or only almost.

use crate::{
    node::{Content, Node},
    problem::Report,
    spelling::nearest,
};

const API_VERSION: &str = "dapr.io/v1alpha1";
const KIND: &str = "Component";

/// Returns `false` for documents about other things, and for components that say so wrongly;
/// these are reported, since nobody finds a component that is missing without a word.
pub(super) fn is_component(document: &Node, report: &mut Report) -> bool {
    if !matches!(document.content, Content::Mapping(_)) {
        let message = format!("the document is {}, not a mapping", document.kind());
        let hint = format!("a component begins with `apiVersion: {API_VERSION}`");
        report.problem(document.place, message, &hint);
        return false;
    }
    let kind = document.get("kind").and_then(Node::scalar);
    let api_version = document.get("apiVersion").and_then(Node::scalar);
    let is_ours = api_version.as_deref() == Some(API_VERSION);
    match kind.as_deref() {
        Some(KIND) if is_ours => true,
        Some(KIND) => {
            report_api_version(document, api_version.as_deref(), report);
            false
        }
        Some("List" | "ComponentList") => {
            report_components_of_list(document, report);
            false
        }
        Some(kind) => {
            // `Configuration` and what else there may be are not our business.
            if nearest(kind, [KIND]).is_some() && (is_ours || looks_like_component(document)) {
                report_kind(document, report);
            }
            false
        }
        None => {
            if is_ours || looks_like_component(document) {
                report_kind(document, report);
            }
            false
        }
    }
}

fn report_api_version(document: &Node, api_version: Option<&str>, report: &mut Report) {
    let hint = format!("write `apiVersion: {API_VERSION}`");
    match (document.get("apiVersion"), api_version) {
        (Some(node), Some(it)) => {
            report.problem(node.place, format!("a component cannot have apiVersion `{it}`"), &hint);
        }
        _ => report.problem(document.place, "the component has no `apiVersion`", &hint),
    }
}

/// `kubectl get` writes lists. Differs from Dapr: which passes over them without a word.
fn report_components_of_list(list: &Node, report: &mut Report) {
    let Some(Content::List(items)) = list.get("items").map(|it| &it.content) else { return };
    let kind = |it: &Node| it.get("kind").and_then(Node::scalar);
    let Some(first) = items.iter().find(|it| kind(it).as_deref() == Some(KIND)) else { return };
    let message = "a component within a list is not read";
    report.problem(first.place, message, "write each as a document of its own, divided by `---`");
}

fn report_kind(document: &Node, report: &mut Report) {
    let hint = format!("write `kind: {KIND}`");
    match document.get("kind") {
        Some(node) => {
            let kind = node.flattened();
            report.problem(node.place, format!("there is no kind `{kind}`"), &hint);
        }
        None => report.problem(document.place, "the document has no `kind`", &hint),
    }
}

fn looks_like_component(document: &Node) -> bool {
    let component_type = document.get("spec").and_then(|it| it.get("type"));
    let component_type = component_type.and_then(Node::scalar).unwrap_or_default();
    component_type.to_lowercase().starts_with("state.")
}
