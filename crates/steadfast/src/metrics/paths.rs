//! The label `path`: few values, none of which a caller can make up.

use parking_lot::RwLock;
use sidecar_api::Target;

/// A path with placeholders, such as `/v1.0/state/{store}/{key}`: `{name}` stands for one part, `{name...}` and a slash at
/// the end for all that follows. Source: Dapr's `pathMatching`, which has these from Go's `ServeMux`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PathPattern {
    text: String,
    parts: Vec<Part>,
}

/// Ordered from the particular to the general: of several patterns that fit, the first counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Literal(String),
    Any,
    Rest,
}

impl PathPattern {
    /// Reads a pattern; `None` if it does not begin with a slash.
    pub(crate) fn new(text: &str) -> Option<PathPattern> {
        let mut parts = Vec::new();
        let rest = text.strip_prefix('/')?;
        for part in rest.split('/') {
            let inner = part.strip_prefix('{').and_then(|it| it.strip_suffix('}'));
            parts.push(match inner {
                Some(it) if it.ends_with("...") => Part::Rest,
                Some(_) => Part::Any,
                None if part.is_empty() => Part::Rest,
                None => Part::Literal(part.to_owned()),
            });
        }
        Some(PathPattern { text: text.to_owned(), parts })
    }

    /// As it was written.
    pub(crate) fn as_str(&self) -> &str {
        &self.text
    }

    fn fits(&self, path: &str) -> bool {
        let mut parts = path.strip_prefix('/').unwrap_or(path).split('/');
        for part in &self.parts {
            match (part, parts.next()) {
                (Part::Rest, _) => return true,
                (Part::Literal(it), Some(found)) if it == found => {}
                (Part::Any, Some(found)) if !found.is_empty() => {}
                _ => return false,
            }
        }
        parts.next().is_none()
    }
}

/// Everything that is counted by path, with the label of each.
pub(super) struct Paths<T> {
    by_store: bool,
    stores: RwLock<Vec<(String, Labelled<T>)>>,
    others: Vec<Labelled<T>>,
    patterns: Vec<(PathPattern, Labelled<T>)>,
    unmatched: Labelled<T>,
    unknown: Labelled<T>,
}

#[derive(Default)]
struct Labelled<T> {
    label: String,
    counted: T,
}

/// Paths that are no store's.
const OTHERS: [&str; 6] = [
    "/v1.0/healthz",
    "/v1.0/healthz/components",
    "/v1.0/healthz/outbound",
    "/v1.0/metadata",
    "/v1.0/metadata/{key}",
    "/v1.0/shutdown",
];

impl<T: Default> Paths<T> {
    /// Paths that are told apart by their stores if `by_store`, and otherwise by these patterns alone.
    pub(super) fn new(by_store: bool, patterns: &[PathPattern]) -> Paths<T> {
        let mut patterns = patterns.to_vec();
        patterns.sort_by(|a, b| a.parts.cmp(&b.parts));
        let labelled = |it: PathPattern| (it.clone(), Labelled::new(&it.text));
        Paths {
            by_store,
            stores: RwLock::default(),
            others: OTHERS.iter().map(|it| Labelled::new(it)).collect(),
            patterns: patterns.into_iter().map(labelled).collect(),
            unmatched: Labelled::new(""),
            // Differs from Dapr: there, each path that somebody makes up is a label of its own.
            unknown: Labelled::new("UNKNOWN"),
        }
    }

    /// Tells this store apart from now on.
    pub(super) fn store(&self, name: &str) {
        let mut stores = self.stores.write();
        if !stores.iter().any(|(it, _)| it == name) {
            stores.push((name.to_owned(), Labelled::new(&format!("/v1.0/state/{name}"))));
        }
    }

    /// Gives the label of a path to `record`, and what is counted under it.
    pub(super) fn with(&self, target: Target<'_>, path: &str, record: impl FnOnce(&str, &T)) {
        let fitting = || self.patterns.iter().find(|(it, _)| it.fits(path)).map(|(_, it)| it);
        if let Some(it) = fitting() {
            return record(&it.label, &it.counted);
        }
        if !self.by_store {
            return record(&self.unmatched.label, &self.unmatched.counted);
        }
        let found = match target {
            Target::State { store, .. } => {
                let stores = self.stores.read();
                if let Some((_, it)) = stores.iter().find(|(it, _)| it == store) {
                    return record(&it.label, &it.counted);
                }
                None
            }
            Target::Other { path, .. } => self.others.iter().find(|it| it.label == path),
            Target::Unknown => None,
        };
        let it = found.unwrap_or(&self.unknown);
        record(&it.label, &it.counted);
    }
}

impl<T: Default> Labelled<T> {
    fn new(label: &str) -> Labelled<T> {
        Labelled { label: label.to_owned(), counted: T::default() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(by_store: bool, patterns: &[&str], target: Target<'_>, path: &str) -> String {
        let patterns: Vec<_> = patterns.iter().filter_map(|it| PathPattern::new(it)).collect();
        let paths: Paths<()> = Paths::new(by_store, &patterns);
        paths.store("s");
        let mut found = String::new();
        paths.with(target, path, |label, ()| found = label.to_owned());
        found
    }

    const GET: Target<'_> = Target::State { endpoint: "GetState", store: "s", has_key: true };

    #[test]
    fn keys_and_made_up_names_are_no_labels() {
        assert_eq!(label(true, &[], GET, "/v1.0/state/s/k"), "/v1.0/state/s");
        let other = Target::State { endpoint: "GetState", store: "made-up", has_key: true };
        assert_eq!(label(true, &[], other, "/v1.0/state/made-up/k"), "UNKNOWN");
        assert_eq!(label(true, &[], Target::Unknown, "/a/b"), "UNKNOWN");
        assert_eq!(label(false, &[], GET, "/v1.0/state/s/k"), "");
    }

    #[test]
    fn the_most_particular_pattern_counts() {
        let patterns = ["/", "/v1.0/state/{store}/{key}", "/v1.0/state/s/{key}", "/v1.0/{rest...}"];
        for (path, expected) in [
            ("/v1.0/state/s/k", "/v1.0/state/s/{key}"),
            ("/v1.0/state/t/k", "/v1.0/state/{store}/{key}"),
            ("/v1.0/state/t/k/more", "/v1.0/{rest...}"),
            ("/v1.0/state/s", "/v1.0/{rest...}"),
            ("/else", "/"),
        ] {
            assert_eq!(label(false, &patterns, GET, path), expected, "{path}");
        }
        assert_eq!(label(false, &["/v1.0/state/{store}"], GET, "/v1.0/state/s/k"), "");
        assert_eq!(label(true, &["/v1.0/state/{store}"], GET, "/v1.0/state/s/k"), "/v1.0/state/s");
        assert_eq!(PathPattern::new("no/slash"), None);
    }
}
