//! What somebody can do who can write to the database.

use proptest::{collection::vec, prelude::*};

use super::*;

#[test]
fn no_bit_can_be_changed() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let cipher = cipher("key-1", ONE, written);
        // Lengths at which base64 has each number of padding characters.
        for value in [&b"canary"[..], b"canary1", b"canary12"] {
            let sealed = cipher.seal(&cart(), value).unwrap();
            for bit in 0..sealed.len() * 8 {
                let mut changed = sealed.to_vec();
                changed[bit / 8] ^= 1 << (bit % 8);
                let refusal = refusal(&cipher, &cart(), &changed);
                assert!(!refusal.contains("canary"), "{refusal}");
            }
        }
    }
}

#[test]
fn nothing_can_be_cut_off_or_added() {
    for written in [WrittenForm::Steadfast, WrittenForm::Dapr] {
        let cipher = cipher("k", ONE, written);
        let sealed = cipher.seal(&cart(), b"canary").unwrap();
        for len in 0..sealed.len() {
            refusal(&cipher, &cart(), &sealed[..len]);
            refusal(&cipher, &cart(), &sealed[len + 1..]);
        }
        refusal(&cipher, &cart(), &[&sealed[..], b"k"].concat());
        refusal(&cipher, &cart(), &[b"A", &sealed[..]].concat());
    }
}

#[test]
fn an_envelope_of_another_version_or_algorithm_is_not_guessed_at() {
    let cipher = cipher("k", ONE, WrittenForm::Steadfast);
    let sealed = cipher.seal(&cart(), b"canary").unwrap();
    for at in [4, 5] {
        let mut changed = sealed.to_vec();
        changed[at] = 2;
        let refusal = refusal(&cipher, &cart(), &changed);
        assert!(refusal.contains("use a newer one"), "{refusal}");
        assert_eq!(cipher.form(&changed), Form::Damaged);
    }
}

#[test]
fn a_damaged_value_of_dapr_s_form_is_not_taken_for_one_that_was_never_encrypted() {
    let cipher = cipher("k", ONE, WrittenForm::Dapr);
    let sealed = cipher.seal(&cart(), b"canary").unwrap();
    for damaged in [&sealed[1..], &sealed[sealed.len() - 3..], &[b"!", &sealed[1..]].concat()] {
        assert_eq!(cipher.form(damaged), Form::Damaged);
        let refusal = refusal(&cipher, &cart(), damaged);
        assert!(refusal.contains("is damaged"), "{refusal}");
    }
}

#[test]
fn a_value_of_dapr_s_form_without_the_name_of_a_key_is_told_as_dapr_tells_it() {
    let cipher = cipher("k", ONE, WrittenForm::Dapr);
    let sealed = cipher.seal(&cart(), b"canary").unwrap();
    let refusal = refusal(&cipher, &cart(), &sealed[..sealed.len() - 1]);
    assert!(refusal.contains("encryption key name not found on record"), "{refusal}");
}

#[test]
fn dapr_s_form_is_bound_to_nothing() {
    // That is why there is another: the sidecar cannot see that this value was moved.
    let cipher = cipher("k", ONE, WrittenForm::Dapr);
    let sealed = cipher.seal(&cart(), b"1").unwrap();
    assert_eq!(cipher.open(&Key::stored("other||cart"), &sealed).unwrap(), "1");
}

#[test]
fn what_is_under_a_strange_name_is_not_repeated() {
    let cipher = cipher("k", ONE, WrittenForm::Steadfast);
    let other = super::cipher("not a name", ONE, WrittenForm::Steadfast);
    let sealed = other.seal(&cart(), b"1").unwrap();
    let refusal = refusal(&cipher, &cart(), &sealed);
    assert!(refusal.contains("of 10 bytes with unusual characters"), "{refusal}");
}

proptest! {
    #[test]
    fn a_value_that_was_moved_is_not_read(
        value in vec(any::<u8>(), 0..200),
        (app, other_app) in ("[a-z]{1,6}", "[a-z]{1,6}"),
        (key, other_key) in (".{1,12}", ".{1,12}"),
        (store, other_store) in (".{1,12}", ".{1,12}"),
        (secret, other_secret) in (vec(any::<u8>(), 32), vec(any::<u8>(), 32)),
    ) {
        let hex = |it: &[u8]| it.iter().map(|it| format!("{it:02x}")).collect::<String>();
        let open = |store: &str, secret: &[u8]| {
            Cipher::new(store, &encryption("k", &hex(secret), WrittenForm::Steadfast))
        };
        let full = |app: &str, key: &str| Key::stored(&format!("{app}||{key}"));
        let here = full(&app, &key);
        let cipher = open(&store, &secret);
        let sealed = cipher.seal(&here, &value).unwrap();
        prop_assert_eq!(cipher.open(&here, &sealed).unwrap(), value);
        for there in [full(&other_app, &key), full(&app, &other_key)] {
            if there != here {
                let refusal = refusal(&cipher, &there, &sealed);
                prop_assert!(refusal.contains("moved here"), "{}", refusal);
            }
        }
        if store != other_store {
            refusal(&open(&other_store, &secret), &here, &sealed);
        }
        if secret != other_secret {
            refusal(&open(&store, &other_secret), &here, &sealed);
        }
    }

    #[test]
    fn arbitrary_bytes_are_refused(bytes in vec(any::<u8>(), 0..300)) {
        refusal(&cipher("k", ONE, WrittenForm::Steadfast), &cart(), &bytes);
        let cut = [&b"\xf5SFE\x01\x01"[..], &bytes].concat();
        refusal(&cipher("k", ONE, WrittenForm::Steadfast), &cart(), &cut);
    }
}
