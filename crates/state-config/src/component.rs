use std::{path::PathBuf, time::Duration};

use serde::de::DeserializeOwned;
use uuid::Uuid;

use crate::{
    context::Context,
    key_prefix::{self, KeyPrefix},
    manifest::{Entry, Manifest, Origin},
    problem::{Problem, Report, printable},
    properties::{Properties, PropertyError},
    secrets::{self, Reference, SecretStores, Unresolved, scopes},
};

/// A state store to open, as its file says, with secrets resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Component {
    /// The name that applications use: one segment of a URL's path.
    pub name: String,
    /// The type as written, such as `state.redis`; upper and lower case are the same.
    pub component_type: String,
    /// The version in lower case; empty if there is none.
    pub version: String,
    /// The store's own settings, and those of the runtime.
    pub properties: Properties,
    /// What is put before keys.
    pub key_prefix: KeyPrefix,
    /// Whether the start goes on without this store if it cannot be opened.
    pub ignore_errors: bool,
    /// How long opening may take. More than zero.
    pub init_timeout: Duration,
    /// Where it is written.
    pub source: Source,
}

/// Where a component is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file.
    pub file: PathBuf,
    /// The first line of its document, from 1.
    pub line: u64,
}

impl Component {
    /// Whether it leaves the version to the store: none, or `v0`.
    pub fn has_no_version(&self) -> bool {
        matches!(self.version.as_str(), "" | "v0")
    }

    /// Whether both say the same, wherever that is written: what is open for one serves the other.
    pub fn is_same_as(&self, other: &Component) -> bool {
        let Component {
            name,
            component_type,
            version,
            properties,
            key_prefix,
            ignore_errors,
            init_timeout,
            source: _,
        } = self;
        *name == other.name
            && *component_type == other.component_type
            && *version == other.version
            && properties.is_same_as(&other.properties)
            && *key_prefix == other.key_prefix
            && *ignore_errors == other.ignore_errors
            && *init_timeout == other.init_timeout
    }

    /// Reads the properties into a store's own settings struct; see [`Properties::parse`].
    pub fn settings<T: DeserializeOwned>(&self) -> Result<T, Box<Problem>> {
        let problem = |e: PropertyError| self.problem(e.line(), e.to_string(), None);
        self.properties.parse().map_err(|e| Box::new(problem(e)))
    }

    /// What to warn of: properties that the store's own settings struct does not have.
    pub fn unknown_settings<T: DeserializeOwned>(&self) -> Vec<Problem> {
        let unknown = self.properties.unknown::<T>().into_iter();
        unknown
            .map(|it| {
                let message =
                    format!("`{}` has no metadata field `{}`", self.component_type, it.name);
                let hint = match it.meant {
                    Some(meant) => format!("did you mean `{meant}`?"),
                    None => "it is ignored".to_owned(),
                };
                self.problem(it.line, message, Some(hint))
            })
            .collect()
    }

    fn problem(&self, line: Option<u64>, message: String, hint: Option<String>) -> Problem {
        Problem {
            file: self.source.file.clone(),
            line: Some(line.unwrap_or(self.source.line)),
            column: None,
            component: Some(self.name.clone()),
            message: printable(&message),
            hint: hint.as_deref().map(printable),
            ignorable: self.ignore_errors,
        }
    }
}

/// Makes a component of a manifest. `None` if anything in its report forbids it.
pub(crate) fn resolve(
    manifest: &Manifest,
    stores: &SecretStores,
    context: &Context,
    report: &mut Report,
) -> Option<Component> {
    let properties = properties(manifest, stores, context, report);
    let key_prefix = key_prefix(manifest, &properties, context, report);
    if !report.problems.is_empty() {
        return None;
    }
    Some(Component {
        name: manifest.name.clone(),
        component_type: manifest.component_type.clone(),
        version: manifest.version.clone(),
        properties,
        key_prefix,
        ignore_errors: manifest.ignore_errors,
        init_timeout: manifest.init_timeout,
        source: Source { file: report.file.clone(), line: manifest.place.line },
    })
}

/// Fills in what the file says by reference. What cannot be is a problem, and left out.
pub(crate) fn properties(
    manifest: &Manifest,
    stores: &SecretStores,
    context: &Context,
    report: &mut Report,
) -> Properties {
    let mut properties = Properties::default();
    for entry in &manifest.entries {
        match value(entry, manifest, stores, context) {
            Ok(value) => {
                let secret = match &entry.origin {
                    Origin::Secret { name, .. } => {
                        warn_of_scopes(entry, name, manifest, context, report);
                        Some(name.clone())
                    }
                    Origin::Literal(_) | Origin::Environment(_) => None,
                };
                properties.insert_at(Some(entry.place.line), secret, entry.name.clone(), value);
            }
            // Differs from Dapr: which starts the store without the property.
            Err(it) => {
                let message = format!("metadata field `{}`: {}", entry.name, it.message);
                report.problem(entry.place, message, &it.hint);
            }
        }
    }
    properties
}

fn value(
    entry: &Entry,
    manifest: &Manifest,
    stores: &SecretStores,
    context: &Context,
) -> Result<String, Unresolved> {
    match &entry.origin {
        Origin::Literal(text) => {
            expand(text, |i| context.seed.uuid(&manifest.name, &entry.name, i), context)
        }
        Origin::Environment(name) => variable(name, context),
        // Differs from Dapr: which takes quotes off a secret that has them, and fills in templates.
        Origin::Secret { name, key } => {
            let Some(store) = secret_store(manifest, context) else {
                return Err(Unresolved {
                    message: format!(
                        "the component does not say which secret store `{name}` is in"
                    ),
                    hint: "write `auth: {secretStore: <name>}` at the top level".to_owned(),
                });
            };
            let namespace = manifest.namespace.as_deref();
            stores.get(&Reference { store, secret: name, key, namespace }, context)
        }
    }
}

/// The secret store that the component's references are about.
fn secret_store<'a>(manifest: &'a Manifest, context: &Context) -> Option<&'a str> {
    let in_kubernetes = context.kubernetes.is_some().then_some(secrets::BUILT_IN);
    manifest.secret_store.as_deref().or(in_kubernetes)
}

/// Says so if the application itself may not have a secret that its component uses: whoever wrote the scopes
/// may not know of it.
fn warn_of_scopes(
    entry: &Entry,
    secret: &str,
    manifest: &Manifest,
    context: &Context,
    report: &mut Report,
) {
    let Some(store) = secret_store(manifest, context) else { return };
    if let Err(remedy) = scopes::check(&context.secret_scopes, store, secret) {
        let message = format!(
            "metadata field `{}`: the secret scopes keep secret `{secret}` of `{store}` from the application, but \
             its components use it",
            entry.name
        );
        let hint = format!("if the application may have it: {remedy} in the `Configuration`");
        report.warning(entry.place, message, &hint);
    }
}

/// Fills in `{uuid}`, `{podName}`, `{namespace}` and `{appID}`.
fn expand(
    text: &str,
    uuid: impl Fn(usize) -> Uuid,
    context: &Context,
) -> Result<String, Unresolved> {
    let mut pieces = text.split("{uuid}");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for (i, piece) in pieces.enumerate() {
        text.push_str(&uuid(i).to_string());
        text.push_str(piece);
    }
    if text.contains("{podName}") {
        let Some(pod) = context.variable("POD_NAME") else {
            return Err(Unresolved {
                message:
                    "`{podName}` stands for the environment variable `POD_NAME`, which is not set"
                        .to_owned(),
                hint: "set it, or use `{uuid}`".to_owned(),
            });
        };
        text = text.replace("{podName}", pod);
    }
    let namespace = context.namespace.as_deref().unwrap_or("default");
    let text = text.replace("{namespace}", &format!("{namespace}.{}", context.app_id));
    Ok(text.replace("{appID}", &context.app_id))
}

fn variable(name: &str, context: &Context) -> Result<String, Unresolved> {
    if name.is_empty() || name.contains([' ', '$']) {
        return Err(Unresolved {
            message: format!("`envRef` cannot be `{}`", name),
            hint: "write the name of an environment variable".to_owned(),
        });
    }
    let allowed = context.variable("DAPR_ENV_KEYS");
    let is_allowed = allowed.is_none_or(|it| it.split(' ').any(|it| it == name));
    if !is_allowed && !secrets::is_reserved(name) {
        return Err(Unresolved {
            message: format!("components may not read the environment variable `{name}`"),
            hint: "add it to `DAPR_ENV_KEYS`, which lists those that they may".to_owned(),
        });
    }
    secrets::variable(name, context)
}

fn key_prefix(
    manifest: &Manifest,
    properties: &Properties,
    context: &Context,
    report: &mut Report,
) -> KeyPrefix {
    let Some(value) = properties.get("keyPrefix") else {
        return KeyPrefix::default();
    };
    let entry = manifest.entries.iter().find(|it| it.name.eq_ignore_ascii_case("keyPrefix"));
    let place = entry.map_or(manifest.place, |it| it.place);
    let key_prefix = match KeyPrefix::parse(value) {
        Ok(it) => it,
        Err(e) => {
            report.problem(place, e.to_string(), "write a prefix without it; it is added");
            return KeyPrefix::default();
        }
    };
    match &key_prefix {
        KeyPrefix::Name if key_prefix::check(&manifest.name).is_err() => {
            let message =
                "`keyPrefix` is `name`, and the component's name contains `||`, or ends in `|`";
            report.problem(place, message, "give the component a name without it");
        }
        KeyPrefix::Namespace if context.namespace.as_ref().is_some_and(|it| it.contains("||")) => {
            let message = "`keyPrefix` is `namespace`, and the namespace contains `||`";
            report.problem(place, message, "set `NAMESPACE` to a name without it");
        }
        KeyPrefix::Literal(literal) if literal != value => {
            let message = "`keyPrefix` is used in lower case";
            report.warning(place, message, "write it in lower case, so that nobody is misled");
        }
        _ => {}
    }
    key_prefix
}
