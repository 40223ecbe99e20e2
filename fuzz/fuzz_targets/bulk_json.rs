//! The body of a bulk get.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::bulk_json::run(data));
