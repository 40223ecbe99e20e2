//! One value of a component file, in one line: it may be a password, whatever it looks like.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::component_value::run(data));
