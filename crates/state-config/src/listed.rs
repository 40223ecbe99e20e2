//! Components as a list for people: all of them, also those that are wrong or for others.

use std::path::Path;

use crate::{
    component::Source,
    manifest::{Reading, SkipReason},
    node::{Content, Node},
    problem::printable,
};

/// What a component file says of one component, as far as it can be understood.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Listed {
    /// Its name; empty if it has none.
    pub name: String,
    /// Its `spec.type`; empty if it has none.
    pub component_type: String,
    /// Its `spec.version`; empty if it has none.
    pub version: String,
    /// The applications that it is for; none means all.
    pub scopes: Vec<String>,
    /// Where it is written.
    pub source: Source,
    /// What it is to this application.
    pub standing: Standing,
}

/// What a component is to an application.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Standing {
    /// A state store that the application may use.
    StateStore,
    /// Holds secrets for the others.
    SecretStore,
    /// It is left out, and not by mistake.
    Skipped(SkipReason),
    /// It cannot be used; the problems say why.
    Wrong,
}

/// What a document is called, before anything is checked.
pub(crate) struct Label {
    name: String,
    component_type: String,
    version: String,
    scopes: Vec<String>,
    line: u64,
}

impl Label {
    /// `None` if the document is no component.
    pub(crate) fn of(document: &Node) -> Option<Label> {
        let text = |it: Option<&Node>| it.and_then(Node::scalar).map(|it| printable(&it));
        if text(document.get("kind")).as_deref() != Some("Component") {
            return None;
        }
        let spec = |name: &str| text(document.get("spec").and_then(|it| it.get(name)));
        let scopes = match document.get("scopes").map(|it| &it.content) {
            Some(Content::List(items)) => items.iter().filter_map(|it| text(Some(it))).collect(),
            _ => Vec::new(),
        };
        Some(Label {
            name: text(document.get("metadata").and_then(|it| it.get("name"))).unwrap_or_default(),
            component_type: spec("type").unwrap_or_default(),
            version: spec("version").unwrap_or_default(),
            scopes,
            line: document.place.line,
        })
    }

    pub(crate) fn listed(self, file: &Path, standing: Standing) -> Listed {
        let Label { name, component_type, version, scopes, line } = self;
        let source = Source { file: file.to_owned(), line };
        Listed { name, component_type, version, scopes, source, standing }
    }
}

impl Standing {
    pub(crate) fn of(reading: &Reading) -> Standing {
        match reading {
            // The latter is no component, and so never listed.
            Reading::Nothing | Reading::Resiliency(_) => Standing::Wrong,
            Reading::Skipped(it) => Standing::Skipped(it.reason.clone()),
            Reading::Manifest(it) if it.is_secret_store() => Standing::SecretStore,
            Reading::Manifest(_) => Standing::StateStore,
        }
    }
}

#[cfg(test)]
mod tests;
