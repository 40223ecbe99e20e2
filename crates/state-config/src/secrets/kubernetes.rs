//! Secrets of a Kubernetes cluster.

use std::{cell::RefCell, collections::BTreeMap, fmt, sync::Arc};

use serde::Deserialize;

use super::{EMPTY, Reference, Unresolved, meant, unresolved};
use crate::context::Context;

pub(crate) const TYPE: &str = "secretstores.kubernetes";

/// The store that is there without a file, and that is meant where none is named.
pub(crate) const BUILT_IN: &str = "kubernetes";

/// The cluster that the sidecar runs in.
#[derive(Clone)]
pub struct Kubernetes {
    /// Who is asked for secrets.
    pub secrets: Arc<dyn SecretSource>,
    /// Whether there is a secret store `kubernetes` without a component file for it.
    pub has_built_in_store: bool,
}

/// Reads secrets of a cluster: what this crate, which knows no network, is given to ask.
pub trait SecretSource: Send + Sync {
    /// Returns the values of a Secret by key, already decoded. Blocks for as long as it takes, which
    /// should have a limit.
    fn read(&self, namespace: &str, name: &str) -> Result<Secret, SecretRefusal>;

    /// The namespace of the pod, if that is known.
    fn namespace(&self) -> Option<String>;
}

/// The values of one Secret, by key.
pub type Secret = BTreeMap<String, Vec<u8>>;

/// Why a source has no secret to give. Holds no secret itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SecretRefusal {
    /// What failed.
    pub message: String,
    /// What to do about it; may be empty.
    pub hint: String,
    /// Whether the source cannot be asked at all, so that it is not asked for another secret.
    pub is_unreachable: bool,
}

/// A secret store of this type that is open.
pub(crate) struct KubernetesStore {
    source: Arc<dyn SecretSource>,
    default_namespace: String,
}

#[derive(Default, Deserialize)]
pub(super) struct Settings {
    #[serde(default)]
    defaultnamespace: String,
    #[serde(default)]
    kubeconfigpath: String,
}

/// What has been read during one load: a secret is asked for once, however many fields use it.
#[derive(Default)]
pub(crate) struct Cache {
    answers: RefCell<BTreeMap<(String, String), Result<Secret, SecretRefusal>>>,
}

impl KubernetesStore {
    /// Opens a store, or says why it cannot be.
    pub(super) fn open(settings: Settings, context: &Context) -> Result<KubernetesStore, String> {
        // Differs from Dapr: it reads the file, and one in the home directory without being told.
        if !settings.kubeconfigpath.is_empty() {
            let message = "`kubeconfigPath` is not supported: only the cluster that the sidecar \
                           runs in is asked, as the service account of its pod; remove the field";
            return Err(message.to_owned());
        }
        let Some(kubernetes) = &context.kubernetes else {
            let message = "this sidecar does not run in a pod of Kubernetes, where \
                           `KUBERNETES_SERVICE_HOST` is set";
            return Err(message.to_owned());
        };
        let default_namespace = settings.defaultnamespace;
        Ok(KubernetesStore { source: kubernetes.secrets.clone(), default_namespace })
    }

    /// Looks up one value. Never returns empty text.
    pub(super) fn get(
        &self,
        reference: &Reference<'_>,
        cache: &Cache,
        context: &Context,
    ) -> Result<String, Unresolved> {
        let Reference { store, secret, key, .. } = *reference;
        let namespace = self.namespace(reference, context)?;
        // Names become part of a URL.
        for (what, name) in [("namespace", namespace.as_str()), ("Secret", secret)] {
            if !is_object_name(name) {
                let message = format!("no {what} of Kubernetes can be called `{name}`");
                return unresolved(message, "use lower-case letters, digits, `-` and `.`");
            }
        }
        let values = cache.read(&*self.source, &namespace, secret);
        let values = values.map_err(|it| Unresolved {
            message: format!("secret store `{store}`: {}", it.message),
            hint: it.hint,
        })?;
        let Some(value) = values.get(key) else {
            let message =
                format!("Secret `{secret}` of the namespace `{namespace}` has no key `{key}`");
            let hint = match key == secret {
                true => "write `key` below `secretKeyRef`".to_owned(),
                false => meant(key, values.keys()),
            };
            return unresolved(message, hint);
        };
        match std::str::from_utf8(value) {
            Ok("") => unresolved(format!("key `{key}` of the Secret `{secret}` is empty"), EMPTY),
            Ok(text) => Ok(text.to_owned()),
            Err(_) => {
                let message = format!("key `{key}` of the Secret `{secret}` is not UTF-8 text");
                unresolved(message, "")
            }
        }
    }

    /// Where to look. Source: dapr components-contrib secretstores/kubernetes.
    fn namespace(
        &self,
        reference: &Reference<'_>,
        context: &Context,
    ) -> Result<String, Unresolved> {
        let default = Some(self.default_namespace.as_str());
        let told = [reference.namespace, context.variable("NAMESPACE"), default];
        if let Some(namespace) = told.into_iter().flatten().find(|it| !it.is_empty()) {
            return Ok(namespace.to_owned());
        }
        // Differs from Dapr: which fails, although the pod says where it runs.
        match self.source.namespace() {
            Some(namespace) => Ok(namespace),
            None => {
                let message =
                    format!("nothing says which namespace secret `{}` is in", reference.secret);
                unresolved(message, "set the environment variable `NAMESPACE`")
            }
        }
    }
}

impl Cache {
    fn read(
        &self,
        source: &dyn SecretSource,
        namespace: &str,
        name: &str,
    ) -> Result<Secret, SecretRefusal> {
        let mut answers = self.answers.borrow_mut();
        let id = (namespace.to_owned(), name.to_owned());
        if let Some(answer) = answers.get(&id) {
            return answer.clone();
        }
        // Each attempt may take the whole deadline, and the start waits for it.
        let refusals = answers.values().filter_map(|it| it.as_ref().err());
        if let Some(refusal) = refusals.into_iter().find(|it| it.is_unreachable) {
            return Err(refusal.clone());
        }
        let answer = source.read(namespace, name);
        answers.insert(id, answer.clone());
        answer
    }
}

/// Hides the source, which may hold a token.
impl fmt::Debug for Kubernetes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Kubernetes")
            .field("has_built_in_store", &self.has_built_in_store)
            .finish_non_exhaustive()
    }
}

/// Whether this is a DNS subdomain, which names of Secrets and namespaces are.
/// Source: Kubernetes, Object Names and IDs.
fn is_object_name(name: &str) -> bool {
    const LEN_MAX: usize = 253;
    let is_label = |it: &str| {
        let plain = |it: u8| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'-';
        !it.is_empty() && it.bytes().all(plain) && !it.starts_with('-') && !it.ends_with('-')
    };
    name.len() <= LEN_MAX && name.split('.').all(is_label)
}

#[cfg(test)]
mod tests;
