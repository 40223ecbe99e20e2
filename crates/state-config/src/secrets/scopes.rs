//! Which secrets the components of this application may have.

use std::{collections::BTreeMap, error, fmt};

/// The secret scopes of a `Configuration`: one at most for each secret store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretScopes {
    by_store: BTreeMap<String, SecretScope>,
}

/// What may be read from one secret store. A secret is meant by its name, in its exact case.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SecretScope {
    /// The secret store, by the name of its component.
    pub store_name: String,
    /// What holds for secrets in neither list.
    pub default_access: Access,
    /// If it names any secret, all others are refused, whatever else is written.
    pub allowed_secrets: Vec<String>,
    /// These are refused.
    pub denied_secrets: Vec<String>,
}

/// Whether something may be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Access {
    /// It may.
    #[default]
    Allow,
    /// It may not.
    Deny,
}

/// Two scopes are about the same secret store, which this names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DuplicateScope(pub String);

impl SecretScopes {
    /// Gathers the scopes.
    ///
    /// # Errors
    ///
    /// If two are about the same store: it would depend on their order which one counts.
    pub fn new(
        scopes: impl IntoIterator<Item = SecretScope>,
    ) -> Result<SecretScopes, DuplicateScope> {
        let mut by_store = BTreeMap::new();
        for scope in scopes {
            if let Some(earlier) = by_store.insert(scope.store_name.clone(), scope) {
                return Err(DuplicateScope(earlier.store_name));
            }
        }
        Ok(SecretScopes { by_store })
    }

    /// Whether a secret may be read. If not, returns what to change in the scope.
    pub(crate) fn check(&self, store: &str, secret: &str) -> Result<(), &'static str> {
        self.by_store.get(store).map_or(Ok(()), |it| it.check(secret))
    }
}

impl SecretScope {
    /// Source: dapr pkg/config `IsSecretAllowed`.
    fn check(&self, secret: &str) -> Result<(), &'static str> {
        let names = |list: &[String]| list.iter().any(|it| it == secret);
        if !self.allowed_secrets.is_empty() {
            return match names(&self.allowed_secrets) {
                true => Ok(()),
                false => Err("add it to `allowedSecrets`"),
            };
        }
        if names(&self.denied_secrets) {
            return Err("remove it from `deniedSecrets`");
        }
        match self.default_access {
            Access::Allow => Ok(()),
            Access::Deny => Err("`defaultAccess` is `deny`: add it to `allowedSecrets`"),
        }
    }
}

impl Access {
    /// Reads `allow` or `deny`, in any case; empty text is `allow`. `None` for anything else.
    pub fn parse(text: &str) -> Option<Access> {
        match text.to_ascii_lowercase().as_str() {
            "" | "allow" => Some(Access::Allow),
            "deny" => Some(Access::Deny),
            _ => None,
        }
    }
}

impl fmt::Display for DuplicateScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "there are two secret scopes for the store `{}`; keep one of them", self.0)
    }
}

impl error::Error for DuplicateScope {}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope(default_access: Access, allowed: &[&str], denied: &[&str]) -> SecretScope {
        let list = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
        SecretScope {
            store_name: "vault".to_owned(),
            default_access,
            allowed_secrets: list(allowed),
            denied_secrets: list(denied),
        }
    }

    #[test]
    fn scopes_decide_as_in_dapr() {
        use Access::{Allow, Deny};
        for (default_access, allowed, denied, a, b) in [
            (Allow, &[][..], &[][..], true, true),
            (Deny, &[], &[], false, false),
            (Allow, &["a"], &[], true, false),
            (Deny, &["a"], &[], true, false),
            (Allow, &[], &["a"], false, true),
            (Deny, &[], &["a"], false, false),
            (Allow, &["a"], &["a"], true, false),
            (Allow, &["A"], &[], false, false),
        ] {
            let scope = scope(default_access, allowed, denied);
            let scopes = SecretScopes::new([scope.clone()]).unwrap();
            let check = |store, secret| scopes.check(store, secret).is_ok();
            assert_eq!((check("vault", "a"), check("vault", "b")), (a, b), "{scope:?}");
            assert!(check("other", "a"), "{scope:?}");
        }
    }

    #[test]
    fn two_scopes_for_one_store_are_refused() {
        let scope = scope(Access::Allow, &[], &[]);
        let other = SecretScope { store_name: "other".to_owned(), ..scope.clone() };
        assert!(SecretScopes::new([scope.clone(), other.clone()]).is_ok());
        let error = SecretScopes::new([scope.clone(), other, scope]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "there are two secret scopes for the store `vault`; keep one of them"
        );
    }

    #[test]
    fn access_is_one_of_two_words() {
        assert_eq!(Access::parse(""), Some(Access::Allow));
        assert_eq!(Access::parse("Allow"), Some(Access::Allow));
        assert_eq!(Access::parse("DENY"), Some(Access::Deny));
        assert_eq!(Access::parse("denied"), None);
    }
}
