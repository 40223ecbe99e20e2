//! Stored values that should be encrypted.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::encrypted_value::run(data));
