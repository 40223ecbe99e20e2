use super::*;
use crate::report::samples;

fn means(violation: &Violation) -> (String, Vec<String>) {
    let timeline = Timeline::of(&violation.records, 12);
    let words = Words::short(&violation.records);
    (consequence(violation, &timeline), notes(&words, violation, &timeline, "verify-1"))
}

#[test]
fn it_says_who_was_told_what() {
    let (says, _) = means(&samples::lost_update());
    assert_eq!(
        says,
        "A and B were both told \"saved\"; at most one of the changes is there, the other is gone."
    );
    let (says, _) = means(&samples::stale_read());
    assert_eq!(says, "C was taken back in time: a newer value had been read before.");
}

#[test]
fn one_client_that_replaces_a_version_twice_is_no_couple() {
    let mut violation = samples::lost_update();
    violation.records[1].process = violation.records[0].process;
    assert!(means(&violation).0.starts_with("A was told \"saved\" twice"));
}

#[test]
fn values_are_told_of_etags_that_no_answer_shows() {
    let (_, notes) = means(&samples::lost_update());
    let expected = [
        "As the clients had read before: etag=118 is v=40.",
        "In the store the key is verify-1-7-0.",
    ];
    assert_eq!(notes, expected);
    let (_, notes) = means(&samples::stale_read());
    assert!(!notes[0].starts_with("As the clients"), "{notes:?}");
}

#[test]
fn operations_that_explain_nothing_are_mentioned() {
    let (_, notes) = means(&samples::stale_read());
    assert_eq!(notes[0], "2 more operations had an unknown outcome; none can explain this.");
}

#[test]
fn keys_are_told_where_there_are_several() {
    let (_, notes) = means(&samples::partial_transaction());
    assert_eq!(notes[1], "In the store k0 is verify-1-7-0, k1 is verify-1-7-1.");
}
