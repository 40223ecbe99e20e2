//! Stored values that should be encrypted, and may be anything.

use std::sync::LazyLock;

use state::{Error, FailureKind, Key};
use state_layers::{Cipher, Encryption, EncryptionKey, Form, WrittenForm};

/// A value that was encrypted for [`cart`] with the key below, in both forms.
static ENCRYPTED: [(&[u8], WrittenForm); 2] = [
    (include_bytes!("encrypted_value/envelope"), WrittenForm::Steadfast),
    (include_bytes!("encrypted_value/dapr"), WrittenForm::Dapr),
];

static CIPHERS: LazyLock<[Cipher; 3]> = LazyLock::new(|| {
    [WrittenForm::Steadfast, WrittenForm::SteadfastOnly, WrittenForm::Dapr].map(|written| {
        let hex: String = (0..32).map(|it| format!("{it:02x}")).collect();
        let key = EncryptionKey::from_hex("k256", &hex).expect("32 bytes");
        Cipher::new("statestore", &Encryption::new(key, None, written).expect("one key"))
    })
});

/// Whatever a store has is refused as corrupt, and not repeated, unless it was encrypted for this key of
/// the store; and what is encrypted here comes back, but not after any change.
pub fn run(data: &[u8]) {
    let [ours, strict, daprs] = &*CIPHERS;
    let known = ENCRYPTED.iter().find(|(it, _)| *it == data);
    for cipher in [ours, strict, daprs] {
        match cipher.open(&cart(), data) {
            Ok(_) => assert!(known.is_some(), "this was not encrypted with the key"),
            Err(e) => {
                let is_forbidden = known.is_some_and(|(_, it)| *it == WrittenForm::Dapr);
                assert!(known.is_none() || is_forbidden, "{e}");
                check_refusal(&e, data);
            }
        }
        let sealed = cipher.seal(&cart(), data).expect("there are random numbers");
        assert_eq!(cipher.form(&sealed), cipher.current());
        assert_eq!(cipher.open(&cart(), &sealed).expect("it was just encrypted"), data);
        let mut changed = sealed.to_vec();
        let bit = data.iter().map(|it| usize::from(*it)).sum::<usize>() % (changed.len() * 8);
        changed[bit / 8] ^= 1 << (bit % 8);
        check_refusal(&cipher.open(&cart(), &changed).expect_err("a bit was changed"), data);
    }
    if let Form::Steadfast(_) = ours.form(data) {
        let moved = ours.open(&Key::stored("app||other"), data);
        check_refusal(&moved.expect_err("it belongs to another key"), data);
    }
}

fn check_refusal(error: &Error, data: &[u8]) {
    let Error::Failure(failure) = error else { panic!("{error}") };
    assert_eq!(failure.kind(), FailureKind::Corrupt, "{error}");
    // Less than that stands in the message anyway. The name of a key may be told, and no more.
    if data.len() > 300 {
        let message = error.to_string();
        assert!(!message.as_bytes().windows(data.len().min(300)).any(|it| data.starts_with(it)));
    }
}

fn cart() -> Key {
    Key::stored("app||cart")
}
