use std::{fs, path::Path};

/// Runs a target on each file of its corpus; returns how many there are.
fn check(target: &str, run: fn(&[u8])) -> usize {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target);
    let mut count = 0;
    for entry in fs::read_dir(&folder).expect("every target has a corpus") {
        let path = entry.unwrap().path();
        // Printed by the test harness if the next line panics.
        println!("{}", path.display());
        run(&fs::read(&path).unwrap());
        count += 1;
    }
    count
}

macro_rules! corpora {
    ($($target:ident $name:ident,)*) => {$(
        #[test]
        fn $name() {
            assert!(check(stringify!($target), crate::$target::run) > 0);
        }
    )*};
}

corpora! {
    bulk_json every_bulk_get_of_the_corpus_is_answered_rightly,
    component_value no_value_of_the_corpus_is_shown,
    component_yaml every_component_file_of_the_corpus_is_understood_or_explained,
    encrypted_value no_value_of_the_corpus_is_decrypted_that_was_not_encrypted,
    history_reader every_history_of_the_corpus_is_judged,
    http_request every_request_of_the_corpus_is_answered_rightly,
    key_encoding no_two_keys_of_the_corpus_meet_in_a_store,
    save_json every_save_of_the_corpus_stores_what_it_says,
    transaction_json every_transaction_of_the_corpus_stores_what_it_says,
}
