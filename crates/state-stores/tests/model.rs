//! Thousands of random sequences of requests, compared with what the contract says of each.

use state_testkit::check_model;

mod support;

const SEQUENCES: u32 = 2_000;

#[test]
fn memory_does_as_the_model() {
    check_model(SEQUENCES, || support::open("state.in-memory", &[]));
}

#[cfg(feature = "sqlite")]
#[test]
fn sqlite_does_as_the_model() {
    check_model(SEQUENCES, || support::sqlite_file(&[]));
}
