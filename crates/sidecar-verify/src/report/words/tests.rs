use super::*;
use crate::report::samples::{done, get, matches, put, record};

fn says(call: Call, reply: Reply) -> String {
    let record = record(1, 0, (0, 1), call, reply);
    Words::short(std::slice::from_ref(&record)).operation(&record)
}

fn change(condition: Condition, effect: Effect) -> Call {
    Call::Write(Change { key: 0, condition, effect })
}

#[test]
fn operations_read_like_what_a_client_would_type() {
    let eventual = Call::Get { key: 0, eventual: true };
    let brief = Effect::Put { value: 4, ttl_ms: Some(1_500) };
    let told = Reply::Done { etags: vec![Some("5".to_owned())] };
    let create = Call::Write(put(0, 1, Condition::Absent));
    for (says, expected) in [
        (says(get(0), Reply::Absent), "get → nothing"),
        (says(eventual, Reply::Found { value: 3, etag: None }), "get (eventual) → v=3"),
        (says(create, Reply::Conflict), "create v=1 → conflict"),
        (says(change(Condition::Any, brief), told), "set v=4 ttl=1500ms → ok etag=5"),
        (says(change(Condition::Absent, Effect::Delete), done()), "delete if absent → ok"),
        (says(change(matches("5", 4), Effect::Delete), done()), "delete if etag=5 → ok"),
        (says(change(Condition::Any, Effect::Delete), Reply::NotApplied), "delete → refused"),
        (says(get(0), Reply::Unknown), "get → ? unknown"),
    ] {
        assert_eq!(says, expected);
    }
}

#[test]
fn keys_are_named_where_there_are_several() {
    let changes = vec![
        put(0, 1, matches("7", 6)),
        Change { key: 1, condition: Condition::Any, effect: Effect::Delete },
    ];
    let reply = Reply::Done { etags: vec![Some("8".to_owned()), None] };
    assert_eq!(
        says(Call::Transact(changes), reply),
        "tx[k0 set v=1 if etag=7, k1 delete] → ok etag=8,-"
    );
}

#[test]
fn foreign_values_are_cut_and_cannot_reach_the_terminal() {
    let text = format!("\u{1b}[2J{}", "x".repeat(50));
    let expected = format!("get → foreign \"\\u{{1b}}[2J{}…\"", "x".repeat(20));
    assert_eq!(says(get(0), Reply::Foreign { text }), expected);
}

#[test]
fn sentences_use_the_same_short_etags() {
    let etag = "7f3a91c2-55aa-4d0b-9a4e-0d2f6b1c7e11";
    let write = Call::Write(put(0, 1, matches(etag, 6)));
    let words = Words::short(&[record(1, 0, (0, 1), write, done())]);
    assert_eq!(words.sentence(&format!("two with the ETag {etag}")), "two with the ETag 7f3a91c2…");
}

#[test]
fn in_full_it_says_what_a_client_knew_of_an_etag() {
    let made_up = Condition::Matches { etag: "0".to_owned(), value: None };
    let changes = vec![put(0, 1, matches("7", 6)), put(0, 2, made_up)];
    let record = record(1, 0, (0, 1), Call::Transact(changes), Reply::Conflict);
    let words = Words::full(std::slice::from_ref(&record));
    assert_eq!(words.asked(&record), "tx[set v=1 if etag=7 (of v=6), set v=2 if etag=0 (made up)]");
}
