//! Findings as a run could have made them.

use state_checker::{Call, Change, Condition, Effect, Invariant, Record, Reply, Violation};

use crate::{AuditLine, FailedCase, Findings, Guarantee, Judgement, Standing};

/// Times are in microseconds.
pub(super) fn record(
    process: u32,
    endpoint: u16,
    time: (u64, u64),
    call: Call,
    reply: Reply,
) -> Record {
    let (called, returned) = (time.0 * 1000, time.1 * 1000);
    Record { group: 7, process, endpoint, called, returned, call, reply }
}

pub(super) fn get(key: u8) -> Call {
    Call::Get { key, eventual: false }
}

pub(super) fn found(value: u64, etag: &str) -> Reply {
    Reply::Found { value, etag: Some(etag.to_owned()) }
}

pub(super) fn put(key: u8, value: u64, condition: Condition) -> Change {
    Change { key, condition, effect: Effect::Put { value, ttl_ms: None } }
}

pub(super) fn matches(etag: &str, value: u64) -> Condition {
    Condition::Matches { etag: etag.to_owned(), value: Some(value) }
}

pub(super) fn done() -> Reply {
    Reply::Done { etags: vec![None] }
}

fn violation(invariant: Invariant, summary: &str, records: Vec<Record>) -> Violation {
    Violation { invariant, group: 7, summary: summary.to_owned(), records, unexplaining: 0 }
}

pub(super) fn lost_update() -> Violation {
    let set = |value| Call::Write(put(0, value, matches("118", 40)));
    violation(
        Invariant::I1,
        "two writes with the ETag 118 were both acknowledged: one update is lost",
        vec![
            record(4, 0, (9_000, 12_100), set(41), done()),
            record(9, 1, (9_210, 12_400), set(42), done()),
        ],
    )
}

/// Three processes, one of which reads what was current before, and UUIDs for ETags.
pub(super) fn stale_read() -> Violation {
    let (old, new) =
        ("7f3a91c2-55aa-4d0b-9a4e-0d2f6b1c7e11", "b81f04d6-1c2e-4bb0-8f0e-93b2a7c5d4f0");
    let set = Call::Write(put(0, 52, matches(old, 51)));
    let mut violation = violation(
        Invariant::I5,
        "a read returned an older version than a read before it",
        vec![
            record(1, 0, (100, 2_300), set, done()),
            record(2, 1, (2_900, 4_000), get(0), found(52, new)),
            record(3, 2, (4_200, 5_150), get(0), found(51, old)),
        ],
    );
    violation.unexplaining = 2;
    violation
}

pub(super) fn partial_transaction() -> Violation {
    let changes = vec![
        put(0, 61, matches("9", 60)),
        Change { key: 1, condition: Condition::Any, effect: Effect::Delete },
    ];
    let transaction = Call::Transact(changes);
    violation(
        Invariant::I8,
        "what was seen of a transaction's keys fits no instant at which all of it, or none of it, \
         had happened",
        vec![
            record(1, 0, (0, 8_000), transaction, Reply::Done { etags: vec![None, None] }),
            record(2, 1, (1_000, 2_100), get(0), found(61, "10")),
            record(2, 1, (2_600, 3_200), get(1), found(58, "8")),
            record(3, 0, (8_500, 9_100), get(1), found(58, "8")),
        ],
    )
}

pub(super) fn expired_late() -> Violation {
    let effect = Effect::Put { value: 70, ttl_ms: Some(1000) };
    let set = Call::Write(Change { key: 0, condition: Condition::Any, effect });
    violation(
        Invariant::I11,
        "a value was still there after its time",
        vec![
            record(1, 0, (0, 1_900), set, done()),
            record(1, 0, (4_800_000, 4_801_200), get(0), Reply::Found { value: 70, etag: None }),
        ],
    )
}

/// More operations than a terminal gets to see, and two without an answer.
pub(super) fn long() -> Violation {
    let mut records = Vec::new();
    for i in 0..16 {
        let time = (i * 900, i * 900 + 1_300);
        let (call, reply) = match i % 4 {
            0 => (Call::Write(put(0, 100 + i, Condition::Any)), done()),
            1 => (get(0), found(100 + i - 1, &(i / 4).to_string())),
            2 => (Call::Write(put(0, 100 + i, Condition::Absent)), Reply::Conflict),
            _ => (Call::Write(put(0, 100 + i, matches("3", 104))), Reply::Unknown),
        };
        let process = u32::try_from(i % 3).unwrap();
        records.push(record(process, u16::try_from(i % 2).unwrap(), time, call, reply));
    }
    records.push(record(8, 0, (16_000, 16_700), get(0), Reply::Absent));
    violation(Invariant::I6, "a read found nothing where there must have been a value", records)
}

/// A page must not run it, and a terminal must not obey it.
pub(super) fn hostile() -> Violation {
    let text = "<script>alert(\"1\")</script>\u{1b}[31m".to_owned();
    violation(
        Invariant::I3,
        &format!("a value was read that nobody has written there: {text}"),
        vec![record(1, 0, (0, 700), get(0), Reply::Foreign { text })],
    )
}

pub(super) fn judgement(guarantee: Guarantee, standing: Standing, detail: &str) -> Judgement {
    Judgement {
        guarantee,
        standing,
        detail: detail.to_owned(),
        operations: 8_212,
        contended: 2_914,
        broken: 0,
        violations: Vec::new(),
        failed_cases: Vec::new(),
    }
}

/// No judgement yet.
pub(super) fn empty() -> Findings {
    Findings {
        format: 1,
        store: "orders".to_owned(),
        endpoints: ["http://127.0.0.1:3500", "http://127.0.0.1:3501", "http://127.0.0.1:3502"]
            .map(str::to_owned)
            .to_vec(),
        seed: 18_364_758_544_493_064_720,
        prefix: "verify-k3x9".to_owned(),
        seconds: 30.04,
        operations: 21_480,
        histories: 96,
        unknown: 0,
        faults: 0,
        audit: Vec::new(),
        judgements: Vec::new(),
        limits: Vec::new(),
        interrupted: false,
    }
}

/// One guarantee, broken in these ways.
pub(super) fn broken(guarantee: Guarantee, violations: Vec<Violation>) -> Findings {
    let detail = "3 of 96 histories show it broken";
    let judged =
        Judgement { violations, broken: 3, ..judgement(guarantee, Standing::Violated, detail) };
    Findings { judgements: vec![judged], ..empty() }
}

/// A bit of everything.
pub(super) fn everything() -> Findings {
    let confidence = super::confidence(2_914);
    let holds = format!("8 212 reads, 2 914 contended; {confidence}");
    let [mut first_write, mut strong, mut tx, mut ttl] = [
        (Guarantee::FirstWrite, "2 of 96 histories show it broken; 1 case failed"),
        (Guarantee::Strong, "2 of 96 histories show it broken"),
        (Guarantee::Tx, "1 of 16 histories shows it broken"),
        (Guarantee::Ttl, "1 of 16 histories shows it broken"),
    ]
    .map(|(it, detail)| judgement(it, Standing::Violated, detail));
    first_write.violations = vec![lost_update()];
    first_write.failed_cases = vec![FailedCase {
        name: "etags::stale_write_conflicts_and_changes_nothing".to_owned(),
        message: "a write with an outdated ETag was answered with ok, not with a conflict"
            .to_owned(),
    }];
    strong.violations = vec![long(), stale_read()];
    tx.violations = vec![partial_transaction()];
    ttl.violations = vec![expired_late()];
    let rest = [
        judgement(Guarantee::Bulk, Standing::Holds, &holds),
        judgement(Guarantee::Values, Standing::Holds, "34 cases of keys and values"),
        judgement(Guarantee::Durability, Standing::NotTested, "nothing was killed: give --hook"),
        judgement(Guarantee::Recovery, Standing::NotOffered, "the component has one connection"),
    ];
    let audit = [
        (true, "appendfsync is everysec: a crash may lose the last second of acknowledged writes"),
        (false, "maxmemory-policy is noeviction: nothing is removed to make room"),
    ];
    let limits = [
        "Testing can show that a guarantee is broken, never that it always holds.",
        "No power was cut: what survives that depends on the server's settings and its disks.",
        "All clients ran on one machine, so that their clocks agree.",
    ];
    Findings {
        unknown: 41,
        faults: 12,
        audit: audit.map(|(warning, text)| AuditLine { warning, text: text.to_owned() }).to_vec(),
        judgements: [first_write, strong, tx, ttl].into_iter().chain(rest).collect(),
        limits: limits.map(str::to_owned).to_vec(),
        ..empty()
    }
}
