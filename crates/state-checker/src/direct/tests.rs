use super::*;
use crate::{Change, Reply};

fn record(called: u64, call: Call, reply: Reply) -> Record {
    Record { group: 3, process: 0, endpoint: 0, called, returned: called + 1, call, reply }
}

fn get(called: u64, value: u64, etag: &str) -> Record {
    let reply = Reply::Found { value, etag: Some(etag.to_owned()) };
    record(called, Call::Get { key: 0, eventual: false }, reply)
}

fn put(called: u64, value: u64, condition: Condition) -> Record {
    let change = Change { key: 0, condition, effect: Effect::Put { value, ttl_ms: None } };
    record(called, Call::Write(change), Reply::Done { etags: vec![None] })
}

fn matches(value: u64) -> Condition {
    Condition::Matches { etag: format!("e{value}"), value: Some(value) }
}

/// The promise that is broken, and the calls of the operations that show it.
fn check(records: &[Record]) -> Option<(Invariant, Vec<u64>)> {
    let violation = super::check(records)?;
    assert_eq!(violation.group, 3);
    Some((violation.invariant, violation.records.iter().map(|it| it.called).collect()))
}

#[test]
fn no_records_break_nothing() {
    assert_eq!(check(&[]), None);
    assert_eq!(check(&[put(0, 1, Condition::Any)]), None);
}

#[test]
fn a_step_back_is_shown_with_the_write_that_forbids_it() {
    let records = [
        put(0, 1, Condition::Any),
        put(10, 2, matches(1)),
        put(20, 3, matches(2)),
        put(30, 4, matches(3)),
        get(40, 4, "e4"),
        get(50, 2, "e2"),
    ];
    assert_eq!(check(&records), Some((Invariant::I5, vec![20, 40, 50])));
}

#[test]
fn reads_at_once_may_see_versions_in_any_order() {
    let mut old = get(20, 1, "e1");
    old.called = 16;
    let records = [put(0, 1, Condition::Any), put(10, 2, matches(1)), get(16, 2, "e2"), old];
    assert_eq!(check(&records), None);
}

#[test]
fn a_circle_of_versions_comes_to_an_end() {
    let records = [put(0, 1, matches(2)), put(0, 2, matches(1)), get(5, 1, "e1"), get(9, 2, "e2")];
    // Whatever is said of such nonsense, it is said.
    assert!(check(&records).is_none_or(|it| it.0 == Invariant::I5));
}

#[test]
fn chains_of_thousands_are_judged() {
    let mut records = vec![put(0, 0, Condition::Any)];
    records.extend((1..2000).map(|it| put(10 * it, it, matches(it - 1))));
    records.extend((0..2000).map(|it| get(10 * it + 2, it, &format!("e{it}"))));
    assert_eq!(check(&records), None);
}

#[test]
fn etags_may_be_huge() {
    let etag = "e".repeat(1 << 20);
    let other = format!("{etag}!");
    let records = [put(0, 1, Condition::Any), get(2, 1, &etag), get(4, 1, &etag)];
    assert_eq!(check(&records), None);
    let records = [put(0, 1, Condition::Any), get(2, 1, &etag), get(4, 1, &other)];
    assert_eq!(check(&records), Some((Invariant::I4, vec![2, 4])));
}
