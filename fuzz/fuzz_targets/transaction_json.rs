//! The body of a transaction.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::transaction_json::run(data));
