//! Secret stores: where `secretKeyRef` looks.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use zeroize::Zeroizing;

use crate::{
    context::Context,
    file,
    properties::{Properties, PropertyError, UnknownProperty},
    spelling::did_you_mean,
};

mod kubernetes;
pub(crate) mod scopes;

pub(crate) use kubernetes::BUILT_IN;
use kubernetes::KubernetesStore;
pub use kubernetes::{Kubernetes, Secret, SecretRefusal, SecretSource};

const ENVIRONMENT: &str = "secretstores.local.env";
const FILE: &str = "secretstores.local.file";

/// The types of secret stores that there are.
pub(crate) const TYPES: [&str; 3] = [ENVIRONMENT, FILE, kubernetes::TYPE];

/// What to do where a secret is empty, and that is no mistake.
const EMPTY: &str = "write `value: \"\"` if nothing is meant";

/// The secret stores of one load, by component name.
#[derive(Default)]
pub(crate) struct SecretStores {
    by_name: BTreeMap<String, Slot>,
    cache: kubernetes::Cache,
}

/// What a component wants of a secret store.
#[derive(Clone, Copy)]
pub(crate) struct Reference<'a> {
    pub(crate) store: &'a str,
    pub(crate) secret: &'a str,
    pub(crate) key: &'a str,
    /// The namespace that the component itself is for.
    pub(crate) namespace: Option<&'a str>,
}

enum Slot {
    Open(SecretStore),
    /// It is there, but cannot be asked, for this reason.
    Closed(String),
}

/// A secret store that is open.
pub(crate) enum SecretStore {
    /// The environment; the prefix is put before names.
    Environment { prefix: String },
    /// Secrets by name, and in each of them values by key.
    File(ByName),
    /// A cluster of Kubernetes.
    Kubernetes(KubernetesStore),
}

/// Why a secret store cannot be opened.
pub(crate) enum NotOpened {
    /// There is a mistake in its component file, or in what that refers to.
    Mistake(String),
    /// It is a kind of store that cannot be used here, which matters only to who asks it.
    Unusable(String),
}

/// Values by key, by the name of their secret. Their memory is cleared at the end.
type ByName = BTreeMap<String, BTreeMap<String, Zeroizing<String>>>;

/// Why a secret is not to be had, without any secret in it.
pub(crate) struct Unresolved {
    pub(crate) message: String,
    pub(crate) hint: String,
}

#[derive(Deserialize)]
struct EnvironmentSettings {
    #[serde(default)]
    prefix: String,
}

#[derive(Deserialize)]
struct FileSettings {
    secretsfile: String,
    #[serde(default)]
    nestedseparator: String,
    #[serde(default)]
    multivalued: bool,
}

impl SecretStores {
    /// The stores that are there without a component file.
    pub(crate) fn built_in(context: &Context) -> SecretStores {
        let mut stores = SecretStores::default();
        let Some(kubernetes) = &context.kubernetes else { return stores };
        if !kubernetes.has_built_in_store {
            let reason = "it is switched off by `--disable-builtin-k8s-secret-store`; name another \
                          with `auth: {secretStore: <name>}`";
            stores.close(BUILT_IN.to_owned(), reason);
            return stores;
        }
        if let Ok(store) = KubernetesStore::open(kubernetes::Settings::default(), context) {
            stores.open(BUILT_IN.to_owned(), SecretStore::Kubernetes(store));
        }
        stores
    }

    pub(crate) fn open(&mut self, name: String, store: SecretStore) {
        self.by_name.insert(name, Slot::Open(store));
    }

    /// Remembers why a store cannot be asked, for those who ask it.
    pub(crate) fn close(&mut self, name: String, reason: impl Into<String>) {
        self.by_name.insert(name, Slot::Closed(reason.into()));
    }

    /// As [`close`](SecretStores::close), for a component that is no secret store, or none of this
    /// application: it does not stand in the way of a built-in one.
    pub(crate) fn close_unless_open(&mut self, name: &str, reason: impl Into<String>) {
        if !matches!(self.by_name.get(name), Some(Slot::Open(_))) {
            self.close(name.to_owned(), reason);
        }
    }

    /// Looks up one value of one secret. Never returns empty text.
    pub(crate) fn get(
        &self,
        reference: &Reference<'_>,
        context: &Context,
    ) -> Result<String, Unresolved> {
        let Reference { store, .. } = *reference;
        let Some(slot) = self.by_name.get(store) else {
            let hint = did_you_mean(store, self.by_name.keys().map(String::as_str));
            let hint =
                hint.unwrap_or_else(|| format!("add one, of type `{FILE}` or `{ENVIRONMENT}`"));
            return unresolved(format!("there is no secret store `{store}`"), hint);
        };
        let opened = match slot {
            Slot::Open(it) => it,
            Slot::Closed(reason) => {
                let message = format!("the secret store `{store}` cannot be used: {reason}");
                return unresolved(message, "");
            }
        };
        opened.get(reference, &self.cache, context)
    }
}

impl SecretStore {
    fn get(
        &self,
        reference: &Reference<'_>,
        cache: &kubernetes::Cache,
        context: &Context,
    ) -> Result<String, Unresolved> {
        let Reference { store, secret, key, .. } = *reference;
        match self {
            SecretStore::Kubernetes(it) => it.get(reference, cache, context),
            SecretStore::Environment { prefix } if secret == key => {
                variable(&format!("{prefix}{secret}"), context)
            }
            SecretStore::Environment { .. } => {
                let message = format!("secret `{secret}` of `{store}` has no key `{key}`");
                unresolved(message, "leave out `key`: a variable has only one value")
            }
            SecretStore::File(secrets) => {
                let Some(values) = secrets.get(secret) else {
                    let message = format!("secret store `{store}` has no secret `{secret}`");
                    return unresolved(message, meant(secret, secrets.keys()));
                };
                match values.get(key) {
                    Some(value) if !value.is_empty() => Ok(value.to_string()),
                    Some(_) => {
                        unresolved(format!("secret `{secret}` of `{store}` is empty"), EMPTY)
                    }
                    None => {
                        let message = format!("secret `{secret}` of `{store}` has no key `{key}`");
                        unresolved(message, meant(key, values.keys()))
                    }
                }
            }
        }
    }
}

/// Whether this is a secret store that we have.
pub(crate) fn is_supported(component_type: &str) -> bool {
    TYPES.iter().any(|it| it.eq_ignore_ascii_case(component_type))
}

/// The properties that a secret store of a supported type does not have.
pub(crate) fn unknown(component_type: &str, properties: &Properties) -> Vec<UnknownProperty> {
    if component_type.eq_ignore_ascii_case(ENVIRONMENT) {
        return properties.unknown::<EnvironmentSettings>();
    }
    if component_type.eq_ignore_ascii_case(kubernetes::TYPE) {
        return properties.unknown::<kubernetes::Settings>();
    }
    properties.unknown::<FileSettings>()
}

/// Opens a secret store of a supported type; reads its file, if it has one, relative to the
/// working directory.
pub(crate) fn open(
    component_type: &str,
    properties: &Properties,
    context: &Context,
) -> Result<SecretStore, NotOpened> {
    if component_type.eq_ignore_ascii_case(ENVIRONMENT) {
        let EnvironmentSettings { prefix } = properties.parse()?;
        return Ok(SecretStore::Environment { prefix });
    }
    if component_type.eq_ignore_ascii_case(kubernetes::TYPE) {
        let store = KubernetesStore::open(properties.parse()?, context);
        return store.map(SecretStore::Kubernetes).map_err(NotOpened::Unusable);
    }
    read_file(&properties.parse()?).map_err(NotOpened::Mistake)
}

fn read_file(settings: &FileSettings) -> Result<SecretStore, String> {
    let path = Path::new(&settings.secretsfile);
    let text = file::read(path).map_err(|e| format!("`{}`: {}", path.display(), e.message))?;
    let text = Zeroizing::new(text);
    let not_json = |e| format!("`{}` is not JSON: {e}", path.display());
    // Not straight into a map: serde would quote what it found instead.
    let serde_json::Value::Object(secrets) = serde_json::from_str(&text).map_err(not_json)? else {
        return Err(format!("`{}` is not a JSON object", path.display()));
    };
    let separator = match settings.nestedseparator.as_str() {
        "" => ":",
        it => it,
    };
    Ok(SecretStore::File(by_name(secrets, separator, settings.multivalued)))
}

impl From<PropertyError> for NotOpened {
    fn from(e: PropertyError) -> NotOpened {
        NotOpened::Mistake(e.to_string())
    }
}

/// Whether a variable holds the sidecar's own tokens and settings, which are not for components.
/// Source: dapr pkg/runtime/processor/secret `isEnvVarAllowed`.
pub(crate) fn is_reserved(variable: &str) -> bool {
    let variable = variable.to_uppercase();
    variable.starts_with("DAPR_") || variable == "APP_API_TOKEN"
}

/// Reads an environment variable for a component. Never returns empty text.
pub(crate) fn variable(name: &str, context: &Context) -> Result<String, Unresolved> {
    if is_reserved(name) {
        let message = format!("components may not read the environment variable `{name}`");
        return unresolved(message, "use a variable of another name");
    }
    match context.variable(name) {
        Some(value) => Ok(value.to_owned()),
        None => {
            let message = format!("the environment variable `{name}` is not set, or empty");
            unresolved(message, format!("set it, or {EMPTY}"))
        }
    }
}

/// A nested object is one secret for each text in it, `a:b`; or, if `multivalued`, each member of
/// the outermost object is a secret whose keys are such names.
fn by_name(
    secrets: serde_json::Map<String, serde_json::Value>,
    separator: &str,
    multivalued: bool,
) -> ByName {
    let mut by_name = BTreeMap::new();
    for (name, value) in secrets {
        let mut values = BTreeMap::new();
        if multivalued && value.is_object() {
            flatten(String::new(), value, separator, &mut values);
            by_name.insert(name, values);
            continue;
        }
        flatten(name, value, separator, &mut values);
        let singles = values.into_iter().map(|(name, it)| (name.clone(), [(name, it)].into()));
        by_name.extend(singles);
    }
    by_name
}

fn flatten(
    path: String,
    value: serde_json::Value,
    separator: &str,
    values: &mut BTreeMap<String, Zeroizing<String>>,
) {
    let below = |name: &str| {
        if path.is_empty() { name.to_owned() } else { format!("{path}{separator}{name}") }
    };
    match value {
        serde_json::Value::Null => {}
        serde_json::Value::String(it) => {
            values.insert(path, it.into());
        }
        serde_json::Value::Bool(_) | serde_json::Value::Number(_) => {
            values.insert(path, value.to_string().into());
        }
        serde_json::Value::Array(items) => {
            for (i, item) in items.into_iter().enumerate() {
                flatten(below(&i.to_string()), item, separator, values);
            }
        }
        serde_json::Value::Object(members) => {
            for (name, member) in members {
                flatten(below(&name), member, separator, values);
            }
        }
    }
}

fn meant<'a>(word: &str, names: impl Iterator<Item = &'a String>) -> String {
    did_you_mean(word, names.map(String::as_str)).unwrap_or_default()
}

fn unresolved<T>(message: String, hint: impl Into<String>) -> Result<T, Unresolved> {
    Err(Unresolved { message, hint: hint.into() })
}

#[cfg(test)]
mod tests;
