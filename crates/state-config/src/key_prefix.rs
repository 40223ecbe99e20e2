use std::{error, fmt};

/// What separates a prefix from the key.
const SEPARATOR: &str = "||";

/// How the keys of one application are told from those of others in the same database.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum KeyPrefix {
    /// The application's id: `app||key`. The default.
    #[default]
    AppId,
    /// The component's name: applications that use the same component share keys.
    Name,
    /// Namespace and application: `namespace.app||key`.
    Namespace,
    /// Nothing at all: everyone who uses the database shares keys.
    None,
    /// The same text for everyone. Does not contain `||` or end in `|`, and may be empty.
    Literal(String),
}

/// Why a text cannot be put before keys: it would not be clear where it ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyPrefixError {
    /// It contains `||`, which separates it from the key.
    Separator,
    /// It ends in `|`: with the key `b`, `a|` would be the same as `a` with the key `|b`.
    HalfSeparator,
}

impl KeyPrefix {
    /// Understands the value of the metadata field `keyPrefix`; upper case becomes lower case, as
    /// in Dapr, also in a literal prefix.
    pub fn parse(value: &str) -> Result<KeyPrefix, KeyPrefixError> {
        let value = value.to_lowercase();
        match value.as_str() {
            "appid" => Ok(KeyPrefix::AppId),
            "name" => Ok(KeyPrefix::Name),
            "namespace" => Ok(KeyPrefix::Namespace),
            "none" => Ok(KeyPrefix::None),
            _ => check(&value).map(|()| KeyPrefix::Literal(value)),
        }
    }

    /// The text to put before every key, `||` included; empty if keys stay as they are.
    ///
    /// Without an application id there is nothing to tell apart, so `AppId` and `Namespace` are
    /// empty then. Without a namespace, `Namespace` is the same as `AppId`.
    pub fn resolve(&self, app_id: &str, component: &str, namespace: Option<&str>) -> String {
        match self {
            KeyPrefix::AppId | KeyPrefix::Namespace if app_id.is_empty() => String::new(),
            KeyPrefix::AppId => format!("{app_id}{SEPARATOR}"),
            KeyPrefix::Name => format!("{component}{SEPARATOR}"),
            KeyPrefix::Namespace => match namespace.filter(|it| !it.is_empty()) {
                Some(namespace) => format!("{namespace}.{app_id}{SEPARATOR}"),
                None => format!("{app_id}{SEPARATOR}"),
            },
            KeyPrefix::None => String::new(),
            KeyPrefix::Literal(prefix) => format!("{prefix}{SEPARATOR}"),
        }
    }
}

/// Checks that what stands before `||` can be told from what follows, whatever the key is.
///
/// Differs from Dapr: it takes a prefix that ends in `|`.
pub(crate) fn check(prefix: &str) -> Result<(), KeyPrefixError> {
    if prefix.contains(SEPARATOR) {
        return Err(KeyPrefixError::Separator);
    }
    if prefix.ends_with('|') {
        return Err(KeyPrefixError::HalfSeparator);
    }
    Ok(())
}

impl fmt::Display for KeyPrefixError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyPrefixError::Separator => {
                "`keyPrefix` contains `||`, which separates the prefix from the key"
            }
            KeyPrefixError::HalfSeparator => {
                "`keyPrefix` ends in `|`, and `||` separates the prefix from the key"
            }
        })
    }
}

impl error::Error for KeyPrefixError {}

#[cfg(test)]
mod tests;
