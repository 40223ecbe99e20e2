use super::*;
use crate::Theme;

fn record(called: u64, process: u32, call: Call, reply: Reply) -> Record {
    Record { group: 3, process, endpoint: 0, called, returned: called + 10, call, reply }
}

fn put(called: u64, process: u32, value: u64) -> Record {
    let effect = Effect::Put { value, ttl_ms: None };
    let call = Call::Write(Change { key: 0, condition: Condition::Any, effect });
    record(called, process, call, Reply::Done { etags: vec![None] })
}

fn get(called: u64, process: u32, reply: Reply) -> Record {
    record(called, process, Call::Get { key: 0, eventual: false }, reply)
}

fn found(value: u64) -> Reply {
    Reply::Found { value, etag: None }
}

async fn check(seen: impl IntoIterator<Item = Seen>) -> Tally {
    let judge = Judge::start(true);
    seen.into_iter().for_each(|it| judge.take(it));
    judge.end().await
}

#[tokio::test]
async fn a_sealed_key_that_nobody_could_read_is_not_counted_as_kept() {
    let seen = [
        Seen::Sealed(vec![put(0, 0, 1), get(100, 0, found(1))]),
        Seen::Sealed(vec![put(0, 0, 2), get(100, 0, Reply::Unknown)]),
    ];
    let tally = check(seen).await;
    let pile = &tally.piles[&Guarantee::Durability];
    assert_eq!((pile.operations, pile.unseen, pile.violations.len()), (1, 1, 0));
    assert!(tally.records.iter().all(|it| it.group == 3 | SEALED_GROUP_MIN));
}

#[tokio::test]
async fn a_sealed_key_that_is_gone_is_a_violation() {
    let tally = check([Seen::Sealed(vec![put(0, 0, 1), get(100, 0, Reply::Absent)])]).await;
    assert_eq!(tally.piles[&Guarantee::Durability].violations.len(), 1);
}

#[tokio::test]
async fn clients_that_never_meet_test_nothing_that_is_about_meeting() {
    let lonely = |i: u64| [put(i * 100, 0, i), get(i * 100 + 50, 0, found(i))];
    let tally = check([Seen::Contended(Theme::Register, (0..60).flat_map(lonely).collect())]).await;
    assert_eq!((tally.histories, tally.operations, tally.records.len()), (1, 120, 120));
    let pile = &tally.piles[&Guarantee::Strong];
    assert_eq!((pile.operations, pile.contended), (60, 0));
    assert_eq!(pile.held(Guarantee::Strong).0, Standing::NotTested);
    assert_eq!(pile.held(Guarantee::Ttl).0, Standing::Holds);
}

#[test]
fn what_could_not_be_judged_counts_against_what_it_could_have_shown() {
    let records: Vec<Record> = (0..30).map(|it| put(0, it, u64::from(it))).collect();
    let limits = Limits { tries_max: 1, ..Limits::default() };
    let mut tally = Tally::default();
    tally.add(Seen::Contended(Theme::Counter, records), &limits, false);
    let exhausted = |it: Guarantee| tally.piles.get(&it).is_some_and(|it| it.exhausted > 0);
    assert!(exhausted(Guarantee::FirstWrite) && exhausted(Guarantee::Strong));
    assert!(!exhausted(Guarantee::Tx) && !exhausted(Guarantee::Ttl));
    assert!(tally.records.is_empty());
}
