//! The head of a request: method, path, query and headers, with a body if one follows.
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| fuzz::http_request::run(data));
