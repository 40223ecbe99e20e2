//! Targets for libFuzzer: what must hold of any input at all. See `README.md`.
//!
//! Each target is a module with one function, `run`, that panics if something does not hold. The
//! programs in `fuzz_targets` only call it, and so does the test below, once for each file of the
//! corpus.

#![forbid(unsafe_code)]

pub mod bulk_json;
pub mod component_value;
pub mod component_yaml;
pub mod encrypted_value;
pub mod history_reader;
pub mod http_request;
pub mod key_encoding;
pub mod save_json;
pub mod transaction_json;

mod components;
mod expected;
mod json_text;
mod recorded;
mod reply;
mod sidecar;

#[cfg(test)]
mod tests;
