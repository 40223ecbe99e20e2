use super::*;

const MS: u64 = 1_000_000;

/// From 1 s to 3 s.
const TWILIGHT: Twilight = Twilight { from: 1_000 * MS, to: 3_000 * MS };

/// An operation at this time that took a millisecond.
fn record(at_ms: u64, call: Call, reply: Reply) -> Record {
    let process = u32::try_from(at_ms).unwrap();
    let (called, returned) = (at_ms * MS, (at_ms + 1) * MS);
    Record { group: 0, process, endpoint: 0, called, returned, call, reply }
}

fn read(at_ms: u64, key: u8, value: u64) -> Record {
    let found = Reply::Found { value, etag: Some(value.to_string()) };
    record(at_ms, Call::Get { key, eventual: false }, found)
}

fn change(key: u8, condition: Condition, value: u64) -> Change {
    Change { key, condition, effect: Effect::Put { value, ttl_ms: None } }
}

fn done(values: &[u64]) -> Reply {
    Reply::Done { etags: values.iter().map(|it| Some(it.to_string())).collect() }
}

fn put(at_ms: u64, value: u64) -> Record {
    record(at_ms, Call::Write(change(0, Condition::Any, value)), done(&[value]))
}

/// A compare-and-set.
fn replace(at_ms: u64, old: u64, value: u64) -> Record {
    let condition = Condition::Matches { etag: old.to_string(), value: Some(old) };
    record(at_ms, Call::Write(change(0, condition, value)), done(&[value]))
}

/// Stores one value more under key 1 than under key 0.
fn transact(at_ms: u64, value: u64) -> Record {
    let changes = vec![change(0, Condition::Any, value), change(1, Condition::Any, value + 1)];
    record(at_ms, Call::Transact(changes), done(&[value, value + 1]))
}

fn verdict(records: &[Record]) -> Verdict {
    assert!(
        matches!(check_group(records, &Limits::default(), &mut 0), Verdict::Illegal(_)),
        "there is nothing to excuse"
    );
    judge(records, &[TWILIGHT], &Limits::default())
}

fn accused_of(records: &[Record]) -> Invariant {
    match verdict(records) {
        Verdict::Illegal(violation) => violation.invariant,
        other => panic!("{other:?}"),
    }
}

#[test]
fn the_newest_writes_may_be_lost() {
    assert_eq!(verdict(&[put(100, 1), put(900, 2), read(4_000, 0, 1)]), Verdict::Legal);
    // Also what was read before it was lost.
    let seen = [put(100, 1), put(900, 2), read(950, 0, 2), read(1_500, 0, 2), read(4_000, 0, 1)];
    assert_eq!(verdict(&seen), Verdict::Legal);
}

#[test]
fn older_writes_may_not_be_lost() {
    assert_eq!(accused_of(&[put(100, 1), put(400, 2), read(4_000, 0, 1)]), Invariant::I6);
}

#[test]
fn what_came_after_the_new_server_had_taken_over_may_not_be_lost() {
    let records = [put(100, 1), put(3_100, 2), read(4_000, 0, 1)];
    assert_eq!(accused_of(&records), Invariant::I6);
}

#[test]
fn two_compare_and_sets_may_succeed_on_one_version_only_under_two_servers() {
    let apart = [put(100, 1), replace(900, 1, 2), replace(3_100, 1, 3)];
    assert_eq!(verdict(&apart), Verdict::Legal);
    let under_the_old_one = [put(100, 1), replace(900, 1, 2), replace(950, 1, 3)];
    assert_eq!(accused_of(&under_the_old_one), Invariant::I1);
    let under_the_new_one = [put(100, 1), replace(3_100, 1, 2), replace(3_200, 1, 3)];
    assert_eq!(accused_of(&under_the_new_one), Invariant::I1);
}

#[test]
fn a_reign_is_judged_to_its_very_end() {
    let records = [put(100, 1), put(900, 2), read(950, 0, 1), read(4_000, 0, 2)];
    assert_ne!(verdict(&records), Verdict::Legal);
}

#[test]
fn a_transaction_is_lost_as_a_whole_or_not_at_all() {
    let whole = [transact(100, 1), transact(900, 3), read(4_000, 0, 1), read(4_001, 1, 2)];
    assert_eq!(verdict(&whole), Verdict::Legal);
    let mut half = whole.to_vec();
    half[3] = read(4_010, 1, 4);
    half.push(read(4_020, 0, 1));
    assert_ne!(verdict(&half), Verdict::Legal);
}

#[test]
fn what_was_refused_is_never_read() {
    let condition = Condition::Matches { etag: "7".to_owned(), value: None };
    let call = Call::Write(change(0, condition, 2));
    let refused = [record(2_000, call, Reply::Conflict), read(2_500, 0, 2)];
    assert_eq!(accused_of(&refused), Invariant::I2);
    assert_eq!(accused_of(&[read(2_500, 0, 2)]), Invariant::I3);
}

#[test]
fn an_etag_never_stands_for_two_values() {
    let mut again = put(4_000, 2);
    again.reply = done(&[1]);
    assert_eq!(accused_of(&[put(900, 1), again]), Invariant::I4);
}

#[test]
fn nothing_is_excused_without_a_twilight() {
    let records = [put(100, 1), put(900, 2), read(4_000, 0, 1)];
    assert!(matches!(judge(&records, &[], &Limits::default()), Verdict::Illegal(_)));
}

#[test]
fn many_writes_that_may_be_lost_are_soon_judged() {
    let lost = (0..200).map(|i| put(600 + 2 * i, 10 + i));
    let records: Vec<Record> = [put(100, 1), read(4_000, 0, 1)].into_iter().chain(lost).collect();
    let limits = Limits { tries_max: 10_000, ..Limits::default() };
    assert_eq!(judge(&records, &[TWILIGHT], &limits), Verdict::Legal);
    // One of them was not lost, and what it replaced was.
    let lost = (0..200).map(|i| replace(600 + 2 * i, 9 + i, 10 + i));
    let kept = [put(550, 9), read(4_000, 0, 100), replace(4_010, 100, 500)];
    let records: Vec<Record> = kept.into_iter().chain(lost).collect();
    assert_eq!(judge(&records, &[TWILIGHT], &limits), Verdict::Legal);
}
