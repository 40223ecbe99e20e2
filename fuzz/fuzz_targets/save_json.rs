//! The body of a save.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::save_json::run(data));
