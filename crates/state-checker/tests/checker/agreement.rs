//! The search against every order there is.

use state_checker::{Call, Invariant, Limits, Record, Reply, Verdict, Violation, check_group};

use crate::{
    judge::{Held, any_state, is_possible},
    simulation::{Plan, Random, TICK, etag, run},
};

const EMPTY: [[Held; 2]; 1] = [[Held::Nothing; 2]];

#[derive(Debug, Default)]
struct Count {
    legal: usize,
    illegal: usize,
    records: usize,
    shown: usize,
    /// Counterexamples that show something only because there was nothing at the beginning.
    from_empty: usize,
    /// Where few tries were not enough.
    exhausted: usize,
}

fn plan(random: &mut Random) -> Plan {
    let keys = 1 + random.below(2) as u8;
    Plan {
        clients: 2 + random.below(2) as usize,
        operations: 2 + random.below(6) as usize,
        keys,
        pause_max: 1 + random.below(4),
        unknown_percent: [0, 20, 50][random.below(3) as usize],
        transaction_percent: if keys > 1 { 50 } else { 15 },
        ttl_percent: [0, 50][random.below(2) as usize],
        limits: Limits {
            expiry_early_ns: random.below(2) * TICK,
            expiry_late_ns: random.below(3) * TICK,
            tries_max: 1_000_000,
        },
        defect: None,
        defect_percent: 0,
    }
}

/// Gives one record another answer, one that fits the call.
fn corrupt(records: &mut [Record], random: &mut Random) {
    let i = random.below(records.len() as u64) as usize;
    let values = 1 + records.iter().map(|it| it.changes().len() as u64).sum::<u64>();
    let record = &mut records[i];
    record.reply = match (&record.call, random.below(10)) {
        (_, 0) => Reply::Unknown,
        (_, 1) => Reply::NotApplied,
        (Call::Get { .. }, 2..=4) => Reply::Absent,
        (Call::Get { .. }, _) => {
            let value = 1 + random.below(values);
            Reply::Found { value, etag: Some(etag(value)) }
        }
        (_, 2..=5) => Reply::Conflict,
        (_, _) => Reply::Done { etags: vec![None; record.changes().len()] },
    };
}

fn check(records: &[Record], limits: &Limits, count: &mut Count) -> bool {
    let is_legal = is_possible(records, &EMPTY, limits);
    match check_group(records, limits, &mut 0) {
        Verdict::Legal => {
            assert!(is_legal, "this was not noticed: {records:#?}");
            count.legal += 1;
        }
        Verdict::Illegal(violation) => {
            assert!(!is_legal, "{violation:#?}\nwas made of {records:#?}");
            check_shown(&violation, records, limits);
            count.illegal += 1;
            count.records += records.len();
            count.shown += violation.records.len();
            count.from_empty += usize::from(is_from_empty(&violation));
        }
        Verdict::Exhausted => panic!("gave up on {records:#?}"),
    }
    // With fewer tries less may be said, but nothing else.
    match check_group(records, &Limits { tries_max: 12, ..*limits }, &mut 0) {
        Verdict::Legal => assert!(is_legal),
        Verdict::Illegal(violation) => check_shown(&violation, records, limits),
        Verdict::Exhausted => count.exhausted += 1,
    }
    is_legal
}

/// Checks that what is shown is impossible for itself, whatever was there before.
fn check_shown(violation: &Violation, records: &[Record], limits: &Limits) {
    if violation.invariant == Invariant::I3 {
        // What nobody has written cannot be seen from what is shown alone.
        return;
    }
    let shown = &violation.records;
    let starts = if is_from_empty(violation) { EMPTY.to_vec() } else { any_state(shown) };
    let is_explained = is_possible(shown, &starts, limits);
    assert!(!is_explained, "{limits:?} {violation:#?}\nis possible, out of {records:#?}");
}

fn is_from_empty(violation: &Violation) -> bool {
    violation.summary.ends_with("there was nothing)")
}

#[test]
fn the_search_finds_an_order_exactly_if_there_is_one() {
    let mut count = Count::default();
    for seed in 1..=15_000 {
        let random = &mut Random::new(seed);
        let plan = plan(random);
        let mut records = run(&plan, random);
        assert!(check(&records, &plan.limits, &mut count), "a correct store was accused");
        for _ in 0..2 {
            corrupt(&mut records, random);
            check(&records, &plan.limits, &mut count);
        }
    }
    println!("{count:?}");
    assert!(count.legal > 25_000 && count.illegal > 10_000, "{count:?}");
}
