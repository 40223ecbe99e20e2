use super::*;
use crate::{Call, Change, Condition, Effect, Invariant, KEYS_PER_GROUP_MAX, Origin, Reply};

fn record(group: u32, called: u64, call: Call, reply: Reply) -> Record {
    Record { group, process: 0, endpoint: 0, called, returned: called + 1, call, reply }
}

fn get(group: u32, called: u64, key: u8) -> Record {
    record(group, called, Call::Get { key, eventual: false }, Reply::Absent)
}

fn put(group: u32, called: u64, key: u8, value: u64, reply: Reply) -> Record {
    let effect = Effect::Put { value, ttl_ms: None };
    record(group, called, Call::Write(Change { key, condition: Condition::Any, effect }), reply)
}

fn done() -> Reply {
    Reply::Done { etags: vec![None] }
}

fn check(records: Vec<Record>) -> Report {
    super::check(&History { origin: Origin::new("a test", 0), records }, &Limits::default())
}

#[test]
fn no_records_are_legal() {
    assert_eq!(check_group(&[], &Limits::default(), &mut 0), Verdict::Legal);
    assert_eq!(check(Vec::new()), Report::default());
    assert!(check(Vec::new()).is_clean());
}

#[test]
fn each_group_is_judged_alone() {
    let report = check(vec![put(1, 0, 0, 1, done()), get(2, 5, 0), get(1, 7, 0), get(3, 9, 0)]);
    assert_eq!((report.groups, report.operations), (3, 4));
    let [violation] = &report.violations[..] else { panic!("{report:?}") };
    assert_eq!((violation.group, violation.invariant), (1, Invariant::I6));
    assert!(!report.is_clean());
}

#[test]
fn keys_without_transactions_are_judged_alone() {
    let key = |it: u64| (it % 4) as u8;
    let unknown = (0..12).map(|it| put(0, 0, key(it), it, Reply::Unknown));
    let known = (12..24).map(|it| Record { returned: 20, ..put(0, 10, key(it), it, done()) });
    let mut records: Vec<Record> = unknown.chain(known).collect();
    records.push(get(0, 40, 2));
    let limits = Limits { tries_max: 1000, ..Limits::default() };
    let verdict = check_group(&records, &limits, &mut 0);
    assert!(matches!(verdict, Verdict::Illegal(_)), "{verdict:?}");
}

#[test]
fn a_group_has_as_many_keys_as_are_allowed() {
    let keys = 0..KEYS_PER_GROUP_MAX as u8;
    let mut records: Vec<Record> =
        keys.map(|key| put(0, u64::from(key), key, u64::from(key), done())).collect();
    assert!(check(records.clone()).is_clean());
    records.push(get(0, 50, KEYS_PER_GROUP_MAX as u8 - 1));
    assert!(!check(records).is_clean());
}

/// Thirty writes of a key at once that may have happened or not, and a history in which none helps.
fn hard() -> Vec<Record> {
    let unknown = (0..30).map(|it| put(0, 0, 2, it, Reply::Unknown));
    let known = (30..60).map(|it| {
        let record = put(0, 10, 2, it, done());
        Record { returned: 20, ..record }
    });
    let mut records: Vec<Record> = unknown.chain(known).collect();
    let value = Reply::Found { value: 30, etag: None };
    records.push(record(0, 30, Call::Get { key: 2, eventual: false }, value));
    records.push(get(0, 40, 2));
    records
}

#[test]
fn too_many_tries_are_no_pass() {
    let limits = Limits { tries_max: 1000, ..Limits::default() };
    let mut tries = 0;
    assert_eq!(check_group(&hard(), &limits, &mut tries), Verdict::Exhausted);
    assert_eq!(tries, 1001);
    let mut report = Report::default();
    report.add(&hard(), &limits);
    assert_eq!(report.exhausted, [0]);
    assert!(!report.is_clean());
}

#[test]
fn the_tries_of_one_group_are_not_taken_from_the_next() {
    let limits = Limits { tries_max: 10, ..Limits::default() };
    let mut tries = 1_000_000;
    assert_eq!(check_group(&[get(0, 0, 0)], &limits, &mut tries), Verdict::Legal);
    assert!(tries > 1_000_000);
}

#[test]
fn times_at_the_end_of_the_clock_are_judged() {
    let effect = Effect::Put { value: 1, ttl_ms: Some(u64::MAX) };
    let change = Change { key: 0, condition: Condition::Any, effect };
    let put = Record {
        returned: u64::MAX,
        ..record(0, u64::MAX - 9, Call::Write(change), Reply::Done { etags: vec![] })
    };
    assert!(check(vec![put]).is_clean());
}
