//! Applications that share a database, and the prefixes that keep them apart.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::key_encoding::run(data));
