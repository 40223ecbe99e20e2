use std::{
    collections::BTreeMap,
    env, fmt,
    hash::{BuildHasher, RandomState},
    sync::OnceLock,
};

use uuid::{Builder, Uuid};

use crate::{configuration::SecretScope, secrets::Kubernetes};

/// Who is loading the components, and what the surroundings offer them.
///
/// A value instead of the process's own state, so that a test can make up any.
#[derive(Clone, Default)]
pub struct Context {
    /// The application; `scopes` are about it. Empty if it has no name.
    pub app_id: String,
    /// Where it runs. `None` if that is unknown, and then no component is left out for it.
    pub namespace: Option<String>,
    /// What `envRef`, `secretstores.local.env` and `{podName}` read.
    pub environment: BTreeMap<String, String>,
    /// The cluster that it runs in. `None` outside of Kubernetes.
    pub kubernetes: Option<Kubernetes>,
    /// Which secrets components may have: of a store without a scope, all.
    pub secret_scopes: Vec<SecretScope>,
    /// Types that no component may have, such as `state.redis` or `state.redis/v1`, in any case.
    pub denied_types: Vec<String>,
    /// What the values of `{uuid}` are derived from.
    pub seed: Seed,
}

/// A secret number from which random values can be made again: the same for the same names.
#[derive(Clone, Default)]
pub struct Seed(RandomState);

impl Context {
    /// The context of this process: its environment, the namespace from `NAMESPACE`, and a seed
    /// that is the same for as long as the process lives. Variables that are not UTF-8 are left out.
    pub fn from_process(app_id: impl Into<String>) -> Context {
        let utf8 = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment: BTreeMap<_, _> = utf8.collect();
        let namespace = environment.get("NAMESPACE").filter(|it| !it.is_empty()).cloned();
        Context {
            app_id: app_id.into(),
            namespace,
            environment,
            seed: Seed::of_process(),
            ..Context::default()
        }
    }

    /// The variable, if it is set to anything.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }
}

impl Seed {
    fn of_process() -> Seed {
        static SEED: OnceLock<Seed> = OnceLock::new();
        SEED.get_or_init(Seed::default).clone()
    }

    /// A random UUID that is the same each time for the same place.
    pub(crate) fn uuid(&self, component: &str, field: &str, occurrence: usize) -> Uuid {
        let half = |it: u8| self.0.hash_one((component, field, occurrence, it)).to_be_bytes();
        let mut bytes = [0; 16];
        bytes[..8].copy_from_slice(&half(0));
        bytes[8..].copy_from_slice(&half(1));
        Builder::from_random_bytes(bytes).into_uuid()
    }
}

/// Hides the seed.
impl fmt::Debug for Seed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Seed").finish_non_exhaustive()
    }
}

/// Hides the environment: it holds tokens.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("app_id", &self.app_id)
            .field("namespace", &self.namespace)
            .field("secret_scopes", &self.secret_scopes)
            .field("denied_types", &self.denied_types)
            .finish_non_exhaustive()
    }
}
