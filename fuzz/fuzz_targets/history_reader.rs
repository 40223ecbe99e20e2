//! The text of a history: what clients asked of a store, and what it answered.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::history_reader::run(data));
