use std::{collections::BTreeMap, env, fmt};

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
}

impl Context {
    /// The context of this process: its environment, and the namespace from `NAMESPACE`.
    /// Variables that are not UTF-8 are left out.
    pub fn from_process(app_id: impl Into<String>) -> Context {
        let utf8 = env::vars_os().filter_map(|(name, value)| {
            Some((name.into_string().ok()?, value.into_string().ok()?))
        });
        let environment: BTreeMap<_, _> = utf8.collect();
        let namespace = environment.get("NAMESPACE").filter(|it| !it.is_empty()).cloned();
        Context { app_id: app_id.into(), namespace, environment }
    }

    /// The variable, if it is set to anything.
    pub(crate) fn variable(&self, name: &str) -> Option<&str> {
        self.environment.get(name).map(String::as_str).filter(|it| !it.is_empty())
    }
}

/// Hides the environment: it holds tokens.
impl fmt::Debug for Context {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Context")
            .field("app_id", &self.app_id)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
