use std::{collections::BTreeMap, error, fmt};

use serde::de::DeserializeOwned;
use zeroize::Zeroizing;

use crate::spelling::nearest;

mod text;

/// Metadata names that the runtime understands itself, on any state component.
/// Source: dapr pkg/components/state, pkg/encryption, pkg/outbox.
const RUNTIME_NAMES: [&str; 9] = [
    "actorstatestore",
    // Ours: Dapr has one format.
    "encryptionformat",
    "keyprefix",
    "outboxdiscardwhenmissingstate",
    "outboxpublishpubsub",
    "outboxpublishtopic",
    "outboxpubsub",
    "primaryencryptionkey",
    "secondaryencryptionkey",
];

/// A component's `spec.metadata`: text by name, secrets already resolved.
///
/// Names are the same in upper and lower case.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Properties {
    by_lower_case_name: BTreeMap<String, Property>,
}

#[derive(Clone, PartialEq, Eq)]
struct Property {
    name: String,
    /// Any of them may be a secret, so its memory is cleared at the end.
    value: Zeroizing<String>,
    line: Option<u64>,
    /// The secret that the value was taken from.
    secret: Option<String>,
}

/// A property is missing, or is not of the type that its store declared.
///
/// Says the property's name and what it should be, never what it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyError {
    name: Option<String>,
    line: Option<u64>,
    message: String,
    /// Whether the message is a settings struct's own, which may quote the value.
    foreign: bool,
}

/// A property that neither the store nor the runtime knows.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnknownProperty {
    /// Its name, as written.
    pub name: String,
    /// The line of its file, from 1; `None` if it comes from none.
    pub line: Option<u64>,
    /// What it may have been meant to be.
    pub meant: Option<String>,
}

impl Properties {
    /// The value of a property, in whichever case its name is written.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.find(name).map(|it| it.value.as_str())
    }

    /// Adds a property that is in no file, or replaces one.
    pub fn insert(&mut self, name: impl Into<String>, value: impl Into<String>) {
        self.insert_at(None, None, name.into(), value.into());
    }

    /// The line of the file that a property is in, from 1.
    pub fn line_of(&self, name: &str) -> Option<u64> {
        self.find(name).and_then(|it| it.line)
    }

    /// The name of the secret that a property was taken from: `secretKeyRef.name`. `None` if its value
    /// is in the file itself, or comes from an environment variable.
    pub fn secret_of(&self, name: &str) -> Option<&str> {
        self.find(name).and_then(|it| it.secret.as_deref())
    }

    /// Removes a property; returns its value, whose memory is cleared at the end.
    pub fn take(&mut self, name: &str) -> Option<Zeroizing<String>> {
        self.by_lower_case_name.remove(&name.to_lowercase()).map(|it| it.value)
    }

    /// A property that is none of `names`, but looks like a slip of the fingers in one of them, and that
    /// one.
    pub fn misspelt<'a>(&self, names: &[&'a str]) -> Option<(&str, &'a str)> {
        let is_right = |it: &str| names.iter().any(|name| name.eq_ignore_ascii_case(it));
        let mut wrong = self.names().filter(|it| !is_right(it));
        wrong.find_map(|it| Some((it, nearest(it, names.iter().copied())?)))
    }

    /// The names as written, in alphabetical order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.by_lower_case_name.values().map(|it| it.name.as_str())
    }

    /// Reads the properties into a store's own settings struct, whose fields are the schema.
    ///
    /// The names and aliases of the fields must be in lower case. Values are read generously, as
    /// dapr/kit does:
    /// - a `bool` is true for `y yes true t on 1`, and false for anything else;
    /// - a number may have white space around it, and is zero if empty;
    /// - an `Option` is `None` if empty;
    /// - an `enum` is one of its variants, in any case;
    /// - a `Vec` is separated by `,`, keeping white space;
    /// - a duration is a [`GoDuration`](crate::GoDuration).
    ///
    /// Properties that the struct does not have are passed over; see
    /// [`unknown`](Properties::unknown).
    pub fn parse<T: DeserializeOwned>(&self) -> Result<T, PropertyError> {
        T::deserialize(text::Fields(self))
    }

    /// The properties that are neither a field of the settings struct `T`, nor understood by the
    /// runtime. None if `T` is not a plain struct, whose fields cannot be known.
    pub fn unknown<T: DeserializeOwned>(&self) -> Vec<UnknownProperty> {
        let Some(fields) = text::fields_of::<T>() else {
            return Vec::new();
        };
        let known = |name: &str| fields.contains(&name) || RUNTIME_NAMES.contains(&name);
        let unknown = self.by_lower_case_name.iter().filter(|(name, _)| !known(name));
        unknown
            .map(|(_, it)| UnknownProperty {
                name: it.name.clone(),
                line: it.line,
                meant: nearest(&it.name, fields.iter().copied()).map(str::to_owned),
            })
            .collect()
    }

    /// Whether both have the same values under the same names, wherever they are written.
    pub(crate) fn is_same_as(&self, other: &Properties) -> bool {
        let (ours, theirs) = (&self.by_lower_case_name, &other.by_lower_case_name);
        ours.len() == theirs.len()
            && ours.iter().zip(theirs).all(|((name, it), (other_name, other))| {
                name == other_name && it.value == other.value && it.secret == other.secret
            })
    }

    pub(crate) fn insert_at(
        &mut self,
        line: Option<u64>,
        secret: Option<String>,
        name: String,
        value: String,
    ) {
        let property = Property { value: value.into(), line, secret, name };
        self.by_lower_case_name.insert(property.name.to_lowercase(), property);
    }

    fn find(&self, name: &str) -> Option<&Property> {
        self.by_lower_case_name.get(&name.to_lowercase())
    }
}

impl PropertyError {
    /// The property, if the error is about one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The line of the file that the property is in, from 1. `None` if it is not there.
    pub fn line(&self) -> Option<u64> {
        self.line
    }
}

impl<N: Into<String>, V: Into<String>> FromIterator<(N, V)> for Properties {
    fn from_iter<I: IntoIterator<Item = (N, V)>>(it: I) -> Properties {
        let mut properties = Properties::default();
        for (name, value) in it {
            properties.insert(name, value);
        }
        properties
    }
}

/// Hides values: any of them may be a password.
impl fmt::Debug for Properties {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}

impl fmt::Display for PropertyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.name {
            Some(name) => write!(f, "metadata field `{name}` {}", self.message),
            None => f.write_str(&self.message),
        }
    }
}

impl error::Error for PropertyError {}

impl fmt::Display for UnknownProperty {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "unknown metadata field `{}`", self.name)?;
        match &self.meant {
            Some(meant) => write!(f, "; did you mean `{meant}`?"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;
