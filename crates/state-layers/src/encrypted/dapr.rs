//! Dapr's form: base64 of nonce, ciphertext and tag, then `||` and the name of the key.

use aes_gcm::{AeadInOut, Aes128Gcm, Aes256Gcm, AesGcm, KeyInit, aead::consts::U12, aes::Aes192};
use base64::{Engine, engine::general_purpose::STANDARD};

use super::cipher::{Unreadable, random, too_long};

const NONCE_LEN: usize = 12;
const TAG_LEN: usize = 16;
const SEPARATOR: &[u8] = b"||";

/// A key as AES-GCM has it, by the number of its bytes.
pub(super) enum Gcm {
    Aes128(Box<Aes128Gcm>),
    Aes192(Box<AesGcm<Aes192, U12>>),
    Aes256(Box<Aes256Gcm>),
}

/// Stored bytes that have Dapr's form.
pub(super) struct Sealed<'a> {
    /// Empty if the component of Dapr that wrote it had its key in the file itself.
    pub(super) key_name: &'a str,
    /// Nonce, ciphertext and tag.
    bytes: Vec<u8>,
}

impl Gcm {
    /// `key` has 16, 24 or 32 bytes.
    pub(super) fn new(key: &[u8]) -> Gcm {
        const RIGHT: &str = "the length is the one of the cipher";
        match key.len() {
            16 => Gcm::Aes128(Box::new(KeyInit::new_from_slice(key).expect(RIGHT))),
            24 => Gcm::Aes192(Box::new(KeyInit::new_from_slice(key).expect(RIGHT))),
            32 => Gcm::Aes256(Box::new(KeyInit::new_from_slice(key).expect(RIGHT))),
            _ => unreachable!("`EncryptionKey` has no other lengths"),
        }
    }

    pub(super) fn seal(&self, key_name: &str, value: &[u8]) -> state::Result<Vec<u8>> {
        let nonce: [u8; NONCE_LEN] = random()?;
        let mut bytes = Vec::with_capacity(NONCE_LEN + value.len() + TAG_LEN);
        bytes.extend(nonce);
        bytes.extend(value);
        let buffer = (&mut bytes[NONCE_LEN..]).into();
        let tag = match self {
            Gcm::Aes128(it) => it.encrypt_inout_detached(&nonce.into(), &[], buffer),
            Gcm::Aes192(it) => it.encrypt_inout_detached(&nonce.into(), &[], buffer),
            Gcm::Aes256(it) => it.encrypt_inout_detached(&nonce.into(), &[], buffer),
        };
        bytes.extend(tag.map_err(|_| too_long())?);
        let mut sealed = STANDARD.encode(bytes).into_bytes();
        sealed.extend(SEPARATOR);
        sealed.extend(key_name.as_bytes());
        Ok(sealed)
    }

    pub(super) fn open(&self, sealed: &Sealed<'_>) -> Result<Vec<u8>, Unreadable> {
        let parts = sealed.bytes.split_first_chunk::<NONCE_LEN>().and_then(|(nonce, rest)| {
            rest.split_last_chunk::<TAG_LEN>().map(|(text, tag)| (nonce, text, tag))
        });
        let Some((nonce, ciphertext, tag)) = parts else { return Err(Unreadable::Damaged) };
        let (nonce, tag) = (nonce.into(), tag.into());
        let mut value = ciphertext.to_vec();
        let buffer = (&mut value[..]).into();
        let opened = match self {
            Gcm::Aes128(it) => it.decrypt_inout_detached(nonce, &[], buffer, tag),
            Gcm::Aes192(it) => it.decrypt_inout_detached(nonce, &[], buffer, tag),
            Gcm::Aes256(it) => it.decrypt_inout_detached(nonce, &[], buffer, tag),
        };
        match opened {
            Ok(()) => Ok(value),
            Err(_) => Err(Unreadable::ChangedOrOtherKey(sealed.key_name.to_owned())),
        }
    }
}

impl<'a> Sealed<'a> {
    /// Takes stored bytes apart at the last `||`. `None` if they cannot be of this form: too short for
    /// a nonce and a tag, or no base64.
    pub(super) fn parse(bytes: &'a [u8]) -> Option<Sealed<'a>> {
        let (base64, key_name) = split(bytes)?;
        let bytes = STANDARD.decode(base64).ok()?;
        (bytes.len() >= NONCE_LEN + TAG_LEN).then_some(Sealed { key_name, bytes })
    }
}

/// The name that stored bytes end in, whatever stands before it.
pub(super) fn name_at_end(bytes: &[u8]) -> Option<&str> {
    split(bytes).map(|(_, key_name)| key_name)
}

fn split(bytes: &[u8]) -> Option<(&[u8], &str)> {
    let at = bytes.windows(SEPARATOR.len()).rposition(|it| it == SEPARATOR)?;
    let key_name = std::str::from_utf8(&bytes[at + SEPARATOR.len()..]).ok()?;
    Some((&bytes[..at], key_name))
}
