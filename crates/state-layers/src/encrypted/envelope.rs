//! The envelope, byte for byte as in `docs/reference/encryption.md`.

use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::cipher::{Unreadable, random};

/// What envelopes begin with. No UTF-8 text, and so no JSON and no base64, has the first byte.
const MAGIC: [u8; 4] = [0xF5, b'S', b'F', b'E'];
const VERSION: u8 = 1;
/// XChaCha20-Poly1305, its key and commitment by HKDF-SHA256.
const ALGORITHM: u8 = 1;
const NONCE_LEN: usize = 24;
const COMMITMENT_LEN: usize = 32;
const TAG_LEN: usize = 16;

/// What one key encrypts one store with.
pub(super) struct Subkey {
    cipher: XChaCha20Poly1305,
    commitment: [u8; COMMITMENT_LEN],
}

/// An envelope, taken apart.
pub(super) struct Envelope<'a> {
    pub(super) key_name: &'a str,
    nonce: &'a [u8; NONCE_LEN],
    commitment: &'a [u8; COMMITMENT_LEN],
    ciphertext: &'a [u8],
    tag: &'a [u8; TAG_LEN],
}

impl Subkey {
    pub(super) fn derive(key: &[u8], store: &str) -> Subkey {
        let mut info = b"steadfast envelope".to_vec();
        info.extend([VERSION, ALGORITHM]);
        push(&mut info, store.as_bytes());
        let mut derived = Zeroizing::new([0; 32 + COMMITMENT_LEN]);
        Hkdf::<Sha256>::new(None, key)
            .expand(&info, &mut *derived)
            .expect("64 bytes are far less than HKDF can make");
        let (cipher_key, rest) = derived.split_at(32);
        let cipher = XChaCha20Poly1305::new_from_slice(cipher_key).expect("32 bytes are a key");
        let mut commitment = [0; COMMITMENT_LEN];
        commitment.copy_from_slice(rest);
        Subkey { cipher, commitment }
    }

    /// Puts a value into an envelope.
    pub(super) fn seal(
        &self,
        key_name: &str,
        store: &str,
        key: &str,
        value: &[u8],
    ) -> state::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let name_len = u8::try_from(key_name.len()).expect("`EncryptionKey` has a short name");
        let mut envelope = Vec::with_capacity(
            MAGIC.len() + 3 + key_name.len() + NONCE_LEN + COMMITMENT_LEN + value.len() + TAG_LEN,
        );
        envelope.extend(MAGIC);
        envelope.extend([VERSION, ALGORITHM, name_len]);
        envelope.extend(key_name.as_bytes());
        envelope.extend(nonce);
        envelope.extend(self.commitment);
        let begin = envelope.len();
        envelope.extend(value);
        let aad = associated(key_name, store, key);
        let tag = self
            .cipher
            .encrypt_inout_detached(&nonce.into(), &aad, (&mut envelope[begin..]).into())
            .map_err(|_| super::cipher::too_long())?;
        envelope.extend(tag);
        Ok(envelope)
    }

    /// Takes the value out of an envelope that names this key.
    pub(super) fn open(
        &self,
        envelope: &Envelope<'_>,
        store: &str,
        key: &str,
    ) -> Result<Vec<u8>, Unreadable> {
        if !bool::from(self.commitment.ct_eq(envelope.commitment)) {
            return Err(Unreadable::OtherKey(envelope.key_name.to_owned()));
        }
        let mut value = envelope.ciphertext.to_vec();
        let aad = associated(envelope.key_name, store, key);
        let (nonce, tag) = (envelope.nonce.into(), envelope.tag.into());
        match self.cipher.decrypt_inout_detached(nonce, &aad, (&mut value[..]).into(), tag) {
            Ok(()) => Ok(value),
            Err(_) => Err(Unreadable::Changed),
        }
    }
}

impl<'a> Envelope<'a> {
    /// Takes stored bytes apart. `None` if they are no envelope at all.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Result<Envelope<'a>, Unreadable>> {
        let rest = bytes.strip_prefix(&MAGIC)?;
        let [version, algorithm, name_len, rest @ ..] = rest else {
            return Some(Err(Unreadable::Damaged));
        };
        if (*version, *algorithm) != (VERSION, ALGORITHM) {
            return Some(Err(Unreadable::Newer));
        }
        Some(Envelope::fields(*name_len, rest).ok_or(Unreadable::Damaged))
    }

    fn fields(name_len: u8, rest: &'a [u8]) -> Option<Envelope<'a>> {
        let (key_name, rest) = rest.split_at_checked(name_len.into())?;
        let key_name = std::str::from_utf8(key_name).ok()?;
        let (nonce, rest) = rest.split_first_chunk()?;
        let (commitment, rest) = rest.split_first_chunk()?;
        let (ciphertext, tag) = rest.split_last_chunk()?;
        Some(Envelope { key_name, nonce, commitment, ciphertext, tag })
    }
}

/// What an envelope is bound to without containing all of it.
fn associated(key_name: &str, store: &str, key: &str) -> Vec<u8> {
    let mut data = Vec::with_capacity(22 + key_name.len() + store.len() + key.len());
    for it in [&[VERSION], &[ALGORITHM], key_name.as_bytes(), store.as_bytes(), key.as_bytes()] {
        push(&mut data, it);
    }
    data
}

/// Adds a text with its length before it, so that no two lists of texts are the same bytes.
fn push(data: &mut Vec<u8>, text: &[u8]) {
    let len = u32::try_from(text.len()).expect("names and keys are short");
    data.extend(len.to_be_bytes());
    data.extend(text);
}
