//! Vectors of others, and stored values that other programs have made.

use aes_gcm::Aes128Gcm;
use chacha20poly1305::{AeadInOut, KeyInit, XChaCha20Poly1305};
use hkdf::Hkdf;
use sha2::Sha256;

use super::*;

fn bytes(hex: &str) -> Vec<u8> {
    let digits: Vec<_> = hex.chars().map(|it| it.to_digit(16).unwrap() as u8).collect();
    digits.chunks(2).map(|it| it[0] << 4 | it[1]).collect()
}

#[test]
fn xchacha20_poly1305_is_that_of_its_draft() {
    // Source: draft-irtf-cfrg-xchacha-03, appendix A.3.1.
    let cipher_key: Vec<u8> = (0x80..=0x9f).collect();
    let nonce: [u8; 24] = std::array::from_fn(|i| 0x40 + i as u8);
    let aad = bytes("50515253c0c1c2c3c4c5c6c7");
    let mut text = b"Ladies and Gentlemen of the class of '99: If I could offer you only one tip \
        for the future, sunscreen would be it."
        .to_vec();
    let cipher = XChaCha20Poly1305::new_from_slice(&cipher_key).unwrap();
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &aad, (&mut text[..]).into()).unwrap();
    assert_eq!(text[..16], bytes("bd6d179d3e83d43b9576579493c0e939"));
    assert_eq!(tag[..], bytes("c0875924c1c7987947deafd8780acf49"));
}

#[test]
fn hkdf_is_that_of_its_rfc() {
    // Source: RFC 5869, appendix A.3: no salt, no info.
    let mut made = [0; 42];
    Hkdf::<Sha256>::new(None, &[0x0b; 22]).expand(&[], &mut made).unwrap();
    let expected = "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d\
                    9d201395faa4b61a96c8";
    assert_eq!(made[..], bytes(expected));
}

#[test]
fn aes_gcm_is_that_of_its_specification() {
    // Source: McGrew and Viega, "The Galois/Counter Mode of Operation", test case 3.
    let mut text = bytes(
        "d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72\
         1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b391aafd255",
    );
    let nonce: [u8; 12] = bytes("cafebabefacedbaddecaf888").try_into().unwrap();
    let cipher = Aes128Gcm::new_from_slice(&bytes("feffe9928665731c6d6a8f9467308308")).unwrap();
    let tag = cipher.encrypt_inout_detached(&nonce.into(), &[], (&mut text[..]).into()).unwrap();
    assert_eq!(text[..16], bytes("42831ec2217774244b7221b784d0d49c"));
    assert_eq!(tag[..], bytes("4d5c2af327cd64a62cf35abd2ba6fab4"));
}

#[test]
fn values_of_dapr_s_form_that_openssl_has_encrypted_are_read() {
    let json = br#"{"user":"ada","n":9007199254740993}"#;
    for (name, key_len, sealed, value) in [
        (
            "k128",
            32,
            "oKGio6Slpqeoqaqr0aRNyBv7ETCoGdFhZD6SDnHUGjizIAyWHCJEr3W5v5GjkDhJTb+IN7/G7zaSm3f2nemP\
             ||k128",
            &json[..],
        ),
        (
            "k192",
            48,
            "oKGio6SlpqeoqaqrQEDLEZwhOkncVNugzfHWF7YtEiKtBX/gq74f30GGiAKybblkoZOWUus8FfY0MEKA+sWv\
             ||k192",
            json,
        ),
        (
            "k256",
            64,
            "oKGio6SlpqeoqaqrnToJXiC5IIVABOOyJVbisFKWYCCigHNVpTwTskifRTjrRTry1m/2aszK+G5jRmlGm/m2\
             ||k256",
            json,
        ),
        ("k256", 64, "oKGio6SlpqeoqaqrXGmWJa9Lk6D4IgoqYRnF0A==||k256", b""),
    ] {
        for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
            let cipher = cipher(name, &ONE[..key_len], written);
            assert_eq!(cipher.open(&cart(), sealed.as_bytes()).unwrap(), value, "{name}");
            assert_eq!(cipher.form(sealed.as_bytes()), Form::Dapr(name.to_owned()));
        }
    }
}

#[test]
fn envelopes_that_libsodium_has_encrypted_are_read() {
    // Made in Python from what docs/reference/encryption.md says, with the nonce 00 01 02 ... 17.
    for (name, key_len, sealed) in [
        (
            "k128",
            32,
            "f55346450101046b313238000102030405060708090a0b0c0d0e0f1011121314151617c44f9198a24540c6\
             49c33417fb876e8d6c0617bc066d61a972ed19f4fe605e7194e5b807bff4fc60e091cfcb5fc8c1cdd9cd67\
             c6d5ce3496eb8a075de3f4",
        ),
        (
            "k192",
            48,
            "f55346450101046b313932000102030405060708090a0b0c0d0e0f1011121314151617a438234ed577e6c4\
             ede2c5211bb07462f67c074ea483498ec93bff4609b1d64bed0c564f96753baa153d0da6f5f3a3c8db1be2\
             b661c1d8421f7c79e016fc",
        ),
        (
            "k256",
            64,
            "f55346450101046b323536000102030405060708090a0b0c0d0e0f1011121314151617176ef63bf0819c59\
             40d37a1d36411f3710357e9ff64f7766679a2aafcf59dd12ebebc38185fcaa2a9b941232460eb7fe369337\
             8f62e5191d1cc780fab890",
        ),
    ] {
        let cipher = cipher(name, &ONE[..key_len], WrittenForm::Steadfast);
        assert_eq!(cipher.open(&cart(), &bytes(sealed)).unwrap(), r#"{"user":"ada"}"#, "{name}");
    }
}
