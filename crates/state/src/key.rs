use std::{error, fmt, sync::Arc};

/// What stands between a prefix and the application's own key in a store, and therefore may not
/// stand inside the latter. Source: Dapr's key scheme.
pub const KEY_SEPARATOR: &str = "||";

/// The name of a value, in UTF-8. Cheap to clone.
///
/// One that an application has chosen has at least one byte and no control characters.
///
/// Text becomes a `Key` once, at the edge. Nothing further in sees raw text, so nothing further
/// in can decode it a second time.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key(Arc<str>);

/// Why a text is not a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyError {
    /// It has no bytes at all.
    Empty,
    /// It contains [`KEY_SEPARATOR`].
    Separator,
    /// It contains a byte below 0x20.
    ControlCharacter,
}

impl Key {
    /// Makes a key of what an application sent.
    ///
    /// The length is not checked here: stores differ, see [`Capabilities::key_len_max`].
    ///
    /// [`Capabilities::key_len_max`]: crate::Capabilities::key_len_max
    pub fn new(text: &str) -> Result<Key, KeyError> {
        if text.is_empty() {
            return Err(KeyError::Empty);
        }
        // One look at each byte is enough for most keys.
        let is_suspect = |it| it < 0x20 || it == KEY_SEPARATOR.as_bytes()[0];
        if text.bytes().any(is_suspect) {
            if text.contains(KEY_SEPARATOR) {
                return Err(KeyError::Separator);
            }
            if text.bytes().any(|it| it < 0x20) {
                return Err(KeyError::ControlCharacter);
            }
        }
        Ok(Key(text.into()))
    }

    /// Makes a key of what a store holds, which may have any form: other programs write there too.
    pub fn stored(text: &str) -> Key {
        Key(text.into())
    }

    /// The key `prefix` + `self`.
    pub fn prefixed(&self, prefix: &str) -> Key {
        Key([prefix, &self.0].concat().into())
    }

    /// What is left of this key without `prefix`; `None` if it does not begin with it.
    pub fn strip_prefix(&self, prefix: &str) -> Option<Key> {
        self.0.strip_prefix(prefix).map(Key::stored)
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            KeyError::Empty => "a key must not be empty",
            KeyError::Separator => "a key must not contain '||'",
            KeyError::ControlCharacter => "a key must not contain control characters",
        })
    }
}

impl error::Error for KeyError {}
