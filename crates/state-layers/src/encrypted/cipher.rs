use std::{fmt, sync::Arc};

use bytes::Bytes;
use state::{Error, FailureKind, Key, Result};

use super::{
    dapr::{self, Gcm},
    envelope::{Envelope, Subkey},
    keys::{Encryption, EncryptionKey, WrittenForm},
};

/// Encrypts and decrypts the values of one store.
pub struct Cipher {
    store: String,
    /// The primary key, and the secondary one if there is one.
    keys: Vec<Ready>,
    written: WrittenForm,
}

/// What stored bytes are, to judge by their form alone.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Form {
    /// An envelope, under the key of this name.
    Steadfast(String),
    /// Dapr's form, under the key of this name, which may be empty.
    Dapr(String),
    /// An envelope that is cut off, or of a version that is not known here; or Dapr's form with
    /// something amiss.
    Damaged,
    /// Anything else: a value that is not encrypted.
    Plain,
}

/// A key, with what follows from it for one store.
struct Ready {
    name: Arc<str>,
    subkey: Subkey,
    gcm: Gcm,
}

/// Why stored bytes cannot be decrypted.
#[derive(Debug)]
pub(super) enum Unreadable {
    Plain,
    Damaged,
    Newer,
    NoKeyName,
    UnknownKey(String),
    /// The key of that name is another one now, or belongs to another store.
    OtherKey(String),
    Changed,
    ChangedOrOtherKey(String),
    NotAccepted,
}

impl Cipher {
    /// The cipher of the component `store`.
    pub fn new(store: &str, encryption: &Encryption) -> Cipher {
        let ready = |it: &EncryptionKey| Ready {
            name: it.name().into(),
            subkey: Subkey::derive(it.bytes(), store),
            gcm: Gcm::new(it.bytes()),
        };
        let keys = [Some(&encryption.primary), encryption.secondary.as_ref()];
        Cipher {
            store: store.to_owned(),
            keys: keys.into_iter().flatten().map(ready).collect(),
            written: encryption.written,
        }
    }

    /// Encrypts the value of `key`, as the store has the key, with the primary key.
    ///
    /// # Errors
    ///
    /// If there are no random numbers, or the value has more than 64 GiB.
    pub fn seal(&self, key: &Key, value: &[u8]) -> Result<Bytes> {
        let Ready { name, subkey, gcm } = self.primary();
        let sealed = match self.written {
            WrittenForm::Steadfast | WrittenForm::SteadfastOnly => {
                subkey.seal(name, &self.store, key.as_str(), value)
            }
            WrittenForm::Dapr => gcm.seal(name, value),
        };
        sealed.map(Bytes::from)
    }

    /// Decrypts what is stored under `key`, as the store has the key, with the key that it names.
    ///
    /// # Errors
    ///
    /// [`FailureKind::Corrupt`] if it is not encrypted, damaged, was moved here, or names a key that
    /// there is not.
    pub fn open(&self, key: &Key, sealed: &[u8]) -> Result<Bytes> {
        self.try_open(key, sealed).map(Bytes::from).map_err(|e| e.explain(&self.store))
    }

    /// What stored bytes are.
    pub fn form(&self, sealed: &[u8]) -> Form {
        match (Envelope::parse(sealed), dapr::Sealed::parse(sealed)) {
            (Some(Ok(it)), _) => Form::Steadfast(it.key_name.to_owned()),
            (Some(Err(_)), _) => Form::Damaged,
            (None, Some(it)) => Form::Dapr(it.key_name.to_owned()),
            (None, None) if self.ends_like_daprs(sealed) => Form::Damaged,
            (None, None) => Form::Plain,
        }
    }

    /// The form that [`seal`](Cipher::seal) makes.
    pub fn current(&self) -> Form {
        let name = self.primary().name.to_string();
        match self.written {
            WrittenForm::Steadfast | WrittenForm::SteadfastOnly => Form::Steadfast(name),
            WrittenForm::Dapr => Form::Dapr(name),
        }
    }

    /// The same cipher, which also reads Dapr's form if this one does not.
    pub fn lenient(self) -> Cipher {
        let written = match self.written {
            WrittenForm::SteadfastOnly => WrittenForm::Steadfast,
            other => other,
        };
        Cipher { written, ..self }
    }

    fn try_open(&self, key: &Key, sealed: &[u8]) -> Result<Vec<u8>, Unreadable> {
        if let Some(envelope) = Envelope::parse(sealed) {
            let envelope = envelope?;
            let ready = self.named(envelope.key_name)?;
            return ready.subkey.open(&envelope, &self.store, key.as_str());
        }
        // Differs from Dapr: nothing at all is an empty value there, so that anyone who can write to
        // the database can make values empty. An empty value that is encrypted has bytes.
        let Some(sealed) = dapr::Sealed::parse(sealed) else {
            return Err(match self.ends_like_daprs(sealed) {
                true => Unreadable::Damaged,
                false => Unreadable::Plain,
            });
        };
        if self.written == WrittenForm::SteadfastOnly {
            return Err(Unreadable::NotAccepted);
        }
        self.named(sealed.key_name)?.gcm.open(&sealed)
    }

    /// Never another key by trial.
    fn named(&self, name: &str) -> Result<&Ready, Unreadable> {
        if name.is_empty() {
            return Err(Unreadable::NoKeyName);
        }
        let found = self.keys.iter().find(|it| *it.name == *name);
        found.ok_or_else(|| Unreadable::UnknownKey(name.to_owned()))
    }

    /// Whether these bytes name one of the keys as Dapr's form does. They are then not taken for a value
    /// that is not encrypted.
    fn ends_like_daprs(&self, sealed: &[u8]) -> bool {
        dapr::name_at_end(sealed).is_some_and(|it| self.named(it).is_ok())
    }

    fn primary(&self) -> &Ready {
        &self.keys[0]
    }
}

impl Unreadable {
    fn explain(self, store: &str) -> Error {
        const BEGIN: &str = "could not decrypt data for state store";
        let reason = match self {
            Unreadable::Plain => {
                "the stored value is not encrypted; if it was written before encryption was turned \
                 on, run `steadfast rekey --from-plaintext`"
                    .to_owned()
            }
            Unreadable::Damaged => "the stored value is damaged, or cut off".to_owned(),
            Unreadable::Newer => {
                "the stored value has a version or algorithm that this program does not know; use a \
                 newer one"
                    .to_owned()
            }
            Unreadable::NoKeyName => {
                "encryption key name not found on record; Dapr writes such values if the key is in \
                 the component file itself, and nobody can tell with which key"
                    .to_owned()
            }
            Unreadable::UnknownKey(name) => format!(
                "the stored value is under the key {}, which the component does not have; add the \
                 secret of that name as secondaryEncryptionKey",
                shown(&name)
            ),
            Unreadable::OtherKey(name) => format!(
                "the stored value is under another key of the name {}, or belongs to another \
                 component; each key needs a secret with a name of its own, and a component must \
                 keep its name",
                shown(&name)
            ),
            Unreadable::Changed => {
                "the stored value was changed, or moved here from another key or application"
                    .to_owned()
            }
            Unreadable::ChangedOrOtherKey(name) => format!(
                "the stored value was changed, or is under another key of the name {}; each key \
                 needs a secret with a name of its own",
                shown(&name)
            ),
            Unreadable::NotAccepted => {
                "the stored value has Dapr's form, and encryptionFormat is steadfast-only; run \
                 `steadfast rekey`"
                    .to_owned()
            }
        };
        Error::new(FailureKind::Corrupt, format!("{BEGIN} {store}: {reason}"))
    }
}

/// A name that comes from a database, if it could be one of a secret.
fn shown(name: &str) -> String {
    let good = |it: u8| it.is_ascii_alphanumeric() || b"-_.:/".contains(&it);
    match name.bytes().all(good) {
        true => format!("`{name}`"),
        false => format!("of {} bytes with unusual characters", name.len()),
    }
}

/// Bytes that nobody can foresee.
pub(super) fn random<const LEN: usize>() -> Result<[u8; LEN]> {
    let mut bytes = [0; LEN];
    getrandom::fill(&mut bytes).map_err(|e| {
        let message = "nothing was written: the system has no random numbers for encryption";
        Error::new(FailureKind::Unavailable, message).with_source(e)
    })?;
    Ok(bytes)
}

pub(super) fn too_long() -> Error {
    Error::new(FailureKind::Invalid, "the value is too long to be encrypted")
}

/// Shows names only.
impl fmt::Debug for Cipher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.keys.iter().map(|it| &it.name).collect();
        f.debug_struct("Cipher")
            .field("store", &self.store)
            .field("keys", &names)
            .field("written", &self.written)
            .finish()
    }
}
