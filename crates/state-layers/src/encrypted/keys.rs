use std::{error, fmt, sync::Arc};

use zeroize::Zeroizing;

/// The longest name of a key, in bytes: an envelope has one byte for the length.
const NAME_LEN_MAX: usize = 255;

/// A secret key and the name that stored values call it by. Cheap to clone; its memory is cleared at
/// the end.
#[derive(Clone)]
pub struct EncryptionKey {
    name: Arc<str>,
    bytes: Arc<Zeroizing<Vec<u8>>>,
}

/// The keys of one component, and in which form values are written.
#[derive(Clone, Debug)]
pub struct Encryption {
    pub(super) primary: EncryptionKey,
    pub(super) secondary: Option<EncryptionKey>,
    pub(super) written: WrittenForm,
}

/// In which form values are written. Those of the other are read as well, but for one case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum WrittenForm {
    /// The envelope, which is bound to its key and its store.
    #[default]
    Steadfast,
    /// The envelope, and nothing else is read: whoever can write to the database cannot put a value
    /// of Dapr's form, which is bound to nothing, in another place.
    SteadfastOnly,
    /// Dapr's form, for sidecars of Dapr that use the same data.
    Dapr,
}

/// Why keys cannot be used. Shows nothing of them but names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyMistake {
    /// The name is empty, too long, or not to be told from what stands before it.
    Name,
    /// The text is not hexadecimal.
    NotHex,
    /// The key does not have 16, 24 or 32 bytes.
    Length {
        /// How many it has.
        bytes: usize,
    },
    /// Two different keys have the same name.
    SameName(String),
}

impl EncryptionKey {
    /// A key from its hexadecimal text, in upper or lower case: 16, 24 or 32 bytes.
    pub fn from_hex(name: &str, hex: &str) -> Result<EncryptionKey, KeyMistake> {
        // Dapr's form ends in `||` and the name; the last `||` counts.
        let is_ambiguous = name.starts_with('|') || name.contains("||");
        if name.is_empty() || name.len() > NAME_LEN_MAX || is_ambiguous {
            return Err(KeyMistake::Name);
        }
        let bytes = Zeroizing::new(decode(hex).ok_or(KeyMistake::NotHex)?);
        if !matches!(bytes.len(), 16 | 24 | 32) {
            return Err(KeyMistake::Length { bytes: bytes.len() });
        }
        Ok(EncryptionKey { name: name.into(), bytes: Arc::new(bytes) })
    }

    /// The name.
    pub fn name(&self) -> &str {
        &self.name
    }

    pub(super) fn bytes(&self) -> &[u8] {
        &self.bytes
    }
}

impl Encryption {
    /// Values are written with the primary key, and read with either.
    ///
    /// # Errors
    ///
    /// If the keys have the same name and are not the same.
    pub fn new(
        primary: EncryptionKey,
        secondary: Option<EncryptionKey>,
        written: WrittenForm,
    ) -> Result<Encryption, KeyMistake> {
        let is_other = |it: &&EncryptionKey| it.bytes != primary.bytes;
        let twin = secondary.as_ref().filter(|it| it.name == primary.name);
        if let Some(twin) = twin.filter(is_other) {
            return Err(KeyMistake::SameName(twin.name.to_string()));
        }
        Ok(Encryption { primary, secondary, written })
    }

    /// In which form values are written.
    pub fn written(&self) -> WrittenForm {
        self.written
    }
}

fn decode(hex: &str) -> Option<Vec<u8>> {
    let digit = |it: u8| char::from(it).to_digit(16).and_then(|it| u8::try_from(it).ok());
    let (pairs, rest) = hex.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    // Its size is known, so that it never moves and leaves nothing behind.
    let mut bytes = Vec::with_capacity(pairs.len());
    for [high, low] in pairs {
        bytes.push(digit(*high)? << 4 | digit(*low)?);
    }
    Some(bytes)
}

/// Hides the key.
impl fmt::Debug for EncryptionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EncryptionKey").field("name", &self.name).finish_non_exhaustive()
    }
}

impl fmt::Display for KeyMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            KeyMistake::Name => write!(
                f,
                "the name of the key must have 1 to {NAME_LEN_MAX} bytes, contain no `||` and not \
                 begin with `|`"
            ),
            KeyMistake::NotHex => {
                f.write_str("the key is not hexadecimal text; `openssl rand -hex 32` makes one")
            }
            KeyMistake::Length { bytes } => write!(
                f,
                "the key has {bytes} bytes, and needs 16, 24 or 32: twice as many hexadecimal \
                 digits; `openssl rand -hex 32` makes one"
            ),
            KeyMistake::SameName(name) => write!(
                f,
                "two different keys have the name `{name}`, and stored values could not say which \
                 one they mean; put them into two secrets"
            ),
        }
    }
}

impl error::Error for KeyMistake {}
