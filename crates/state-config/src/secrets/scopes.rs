//! Which secrets this application may have. Its components may have others, too: scopes are about what is handed
//! to the application, and this sidecar hands it none. Source: dapr docs, "How To: Use secret scoping".

use crate::configuration::SecretScope;

/// Returns what to change in the scopes if they do not allow a secret. A secret is meant by its
/// name, in its exact case. Source: dapr pkg/config `IsSecretAllowed`.
pub(crate) fn check(scopes: &[SecretScope], store: &str, secret: &str) -> Result<(), &'static str> {
    let Some(scope) = scopes.iter().find(|it| it.store_name == store) else { return Ok(()) };
    let names = |list: &[String]| list.iter().any(|it| it == secret);
    if !scope.allowed_secrets.is_empty() {
        return match names(&scope.allowed_secrets) {
            true => Ok(()),
            false => Err("add it to `allowedSecrets`"),
        };
    }
    if names(&scope.denied_secrets) {
        return Err("remove it from `deniedSecrets`");
    }
    match scope.allowed_by_default {
        true => Ok(()),
        false => Err("`defaultAccess` is `deny`: add it to `allowedSecrets`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_decide_as_in_dapr() {
        for (allowed_by_default, allowed, denied, a, b) in [
            (true, &[][..], &[][..], true, true),
            (false, &[], &[], false, false),
            (true, &["a"], &[], true, false),
            (false, &["a"], &[], true, false),
            (true, &[], &["a"], false, true),
            (false, &[], &["a"], false, false),
            (true, &["a"], &["a"], true, false),
            (true, &["A"], &[], false, false),
        ] {
            let list = |names: &[&str]| names.iter().map(|it| (*it).to_owned()).collect();
            let scope = SecretScope {
                store_name: "vault".to_owned(),
                allowed_by_default,
                allowed_secrets: list(allowed),
                denied_secrets: list(denied),
            };
            let check = |store, secret| check(std::slice::from_ref(&scope), store, secret).is_ok();
            assert_eq!((check("vault", "a"), check("vault", "b")), (a, b), "{scope:?}");
            assert!(check("other", "a"), "{scope:?}");
        }
    }
}
