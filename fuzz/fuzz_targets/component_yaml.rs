//! The text of a component file.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::component_yaml::run(data));
