use std::sync::Arc;

use bytes::Bytes;
use state::{
    Change, Error, FailureKind, Format, Item, Key, Metadata, Precondition, Read, Store, Ttl, Write,
};

use super::{Cipher, Encrypted, Encryption, EncryptionKey, Form, KeyMistake, WrittenForm};

mod hostile;
mod vectors;

const ONE: &str = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
const OTHER: &str = "ff0102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";

fn key(name: &str, hex: &str) -> EncryptionKey {
    EncryptionKey::from_hex(name, hex).unwrap()
}

fn encryption(name: &str, hex: &str, written: WrittenForm) -> Encryption {
    Encryption::new(key(name, hex), None, written).unwrap()
}

fn cipher(name: &str, hex: &str, written: WrittenForm) -> Cipher {
    Cipher::new("statestore", &encryption(name, hex, written))
}

fn cart() -> Key {
    Key::stored("app||cart")
}

/// What is said of bytes that cannot be decrypted.
fn refusal(cipher: &Cipher, key: &Key, sealed: &[u8]) -> String {
    reason(&cipher.open(key, sealed).unwrap_err())
}

fn reason(error: &Error) -> String {
    let Error::Failure(failure) = error else { panic!("{error}") };
    assert_eq!(failure.kind(), FailureKind::Corrupt, "{error}");
    error.to_string()
}

async fn memory() -> Arc<dyn Store> {
    let driver = state_stores::driver("state.in-memory").unwrap();
    (driver.open)(state_config::Properties::default()).await.unwrap()
}

#[test]
fn what_is_sealed_can_be_opened_and_never_looks_the_same_twice() {
    for written in [WrittenForm::Steadfast, WrittenForm::SteadfastOnly, WrittenForm::Dapr] {
        for hex in [&ONE[..32], &ONE[..48], ONE] {
            let cipher = cipher("k", hex, written);
            for value in [&b""[..], b"1", b"\xff\x00", &[7; 5000]] {
                let sealed = cipher.seal(&cart(), value).unwrap();
                assert_eq!(cipher.open(&cart(), &sealed).unwrap(), value);
                assert_ne!(cipher.seal(&cart(), value).unwrap(), sealed);
                assert_eq!(cipher.form(&sealed), cipher.current());
            }
        }
    }
}

#[test]
fn old_values_are_read_with_the_key_that_they_name_and_new_ones_have_the_primary() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let old = cipher("old", ONE, written);
        let sealed = old.seal(&cart(), b"1").unwrap();
        let both = Encryption::new(key("new", OTHER), Some(key("old", ONE)), written).unwrap();
        let both = Cipher::new("statestore", &both);
        assert_eq!(both.open(&cart(), &sealed).unwrap(), "1");
        let again = both.seal(&cart(), b"1").unwrap();
        assert_eq!(both.form(&again), both.current());
        assert_eq!(cipher("new", OTHER, written).open(&cart(), &again).unwrap(), "1");
        let refusal = refusal(&old, &cart(), &again);
        assert!(refusal.contains("under the key `new`, which the component does not"), "{refusal}");
    }
}

#[test]
fn a_key_is_never_tried_that_a_value_does_not_name() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let sealed = cipher("a", ONE, written).seal(&cart(), b"1").unwrap();
        let refusal = refusal(&cipher("b", ONE, written), &cart(), &sealed);
        assert!(refusal.contains("under the key `a`"), "{refusal}");
    }
}

#[test]
fn another_key_of_the_same_name_is_told_as_what_it_is() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let sealed = cipher("k", ONE, written).seal(&cart(), b"1").unwrap();
        let refusal = refusal(&cipher("k", OTHER, written), &cart(), &sealed);
        assert!(refusal.contains("under another key of the name `k`"), "{refusal}");
    }
}

#[test]
fn what_is_not_encrypted_is_refused_with_the_remedy_and_not_shown() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let cipher = cipher("k", ONE, written);
        for plain in ["", "1", r#"{"card":"canary"}"#, r#""a||k""#, "canary||other", "||", "\u{7f}"]
        {
            assert_eq!(cipher.form(plain.as_bytes()), Form::Plain, "{plain}");
            let refusal = refusal(&cipher, &cart(), plain.as_bytes());
            assert!(refusal.contains("steadfast rekey --from-plaintext"), "{refusal}");
            assert!(!refusal.contains("canary"), "{refusal}");
        }
    }
}

#[test]
fn dapr_s_form_can_be_forbidden() {
    let old = cipher("k", ONE, WrittenForm::Dapr).seal(&cart(), b"1").unwrap();
    let strict = cipher("k", ONE, WrittenForm::SteadfastOnly);
    let refusal = refusal(&strict, &cart(), &old);
    assert!(refusal.contains("encryptionFormat is steadfast-only"), "{refusal}");
    assert_eq!(strict.lenient().open(&cart(), &old).unwrap(), "1");
}

#[test]
fn keys_that_cannot_be_used_are_refused_and_not_shown() {
    let mistake = |name: &str, hex: &str| EncryptionKey::from_hex(name, hex).unwrap_err();
    for name in ["", "a||b", "|a", &"x".repeat(256)] {
        assert_eq!(mistake(name, ONE), KeyMistake::Name, "{name}");
    }
    for hex in ["0", "zz", &ONE.replace('f', "g"), "é0", " 00", "+1"] {
        assert_eq!(mistake("k", hex), KeyMistake::NotHex, "{hex}");
    }
    for bytes in [0, 1, 15, 17, 33] {
        assert_eq!(mistake("k", &"0a".repeat(bytes)), KeyMistake::Length { bytes });
    }
    let both = |one, two| Encryption::new(one, Some(two), WrittenForm::Dapr);
    let same = both(key("k", ONE), key("k", OTHER)).unwrap_err();
    assert!(same.to_string().contains("two different keys have the name `k`"), "{same}");
    assert!(both(key("k", ONE), key("k", &ONE.to_uppercase())).is_ok());
    let both = both(key("k", ONE), key("l", OTHER)).unwrap();
    let shown = format!("{both:?} {:?}", Cipher::new("s", &both)).to_lowercase();
    assert!(shown.contains('k') && !shown.contains("0102") && !shown.contains("1, 2"), "{shown}");
}

#[tokio::test]
async fn only_the_value_is_changed_on_its_way() {
    let memory = memory().await;
    let encryption = encryption("k", ONE, WrittenForm::Steadfast);
    let store = Encrypted::new(memory.clone(), "statestore", &encryption);
    let ttl = Ttl::After(std::time::Duration::from_secs(100));
    let change = Change::Put { value: "canary".into(), format: Format::Json, ttl };
    let write = Write {
        metadata: Metadata::from([("partitionKey".to_owned(), "p".to_owned())]),
        precondition: Precondition::Absent,
        ..Write::new(cart(), change)
    };
    let handed_on = store.write(&write).unwrap();
    let Change::Put { format, .. } = &handed_on.change else { panic!("{handed_on:?}") };
    assert_eq!(*format, Format::Opaque, "no JSON column may change it");
    assert_eq!(Write { change: write.change.clone(), ..handed_on }, write);

    let written = Store::write(&store, &write).await.unwrap();
    let raw = memory.get(&Read::new(cart())).await.unwrap().unwrap();
    let item = store.get(&Read::new(cart())).await.unwrap().unwrap();
    assert_eq!(item, Item { value: "canary".into(), ..raw.clone() });
    assert_eq!(written.etag, raw.etag);
    assert!(!raw.value.windows(6).any(|it| it == b"canary"));
    assert!(Store::write(&store, &write).await.unwrap_err().is_conflict());
}

#[tokio::test]
async fn in_bulk_a_value_that_cannot_be_read_is_an_error_in_its_own_place() {
    let memory = memory().await;
    let encryption = encryption("k", ONE, WrittenForm::Steadfast);
    let store = Encrypted::new(memory.clone(), "statestore", &encryption);
    let keys = ["a", "b", "c", "d"].map(Key::stored);
    let [a, b, c, _] = keys.clone();
    Store::write(&store, &Write::put(a, "1")).await.unwrap();
    memory.write(&Write::put(b, "canary")).await.unwrap();
    Store::write(&store, &Write::put(c, "3")).await.unwrap();
    let answers = store.get_many(&keys.map(Read::new)).await;
    let value = |i: usize| answers[i].as_ref().unwrap().as_ref().map(|it| it.value.clone());
    assert_eq!((value(0), value(2), value(3)), (Some("1".into()), Some(Bytes::from("3")), None));
    assert!(reason(answers[1].as_ref().unwrap_err()).contains("is not encrypted"));
}
