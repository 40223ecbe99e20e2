//! Histories whose verdict is known.
//!
//! Each begins with the verdict, and why. A verdict is `legal`, or the promise that is broken and the
//! operations, counted from 1, that show it. An operation is a line: who asked, when in
//! milliseconds, what was asked, and what was answered. Values are letters, `y` is the second key,
//! `new` asks for a key that is not there, `if=a` for the version with the value `a`, `if=?` for one
//! that was made up. Reads are `get`, and `look` if an old value will do. An answer has the ETag
//! after `@`, which otherwise follows from the value; `@-` means that the store tells none.

use state_checker::{Call, Change, Condition, Effect, Limits, Record, Reply, Verdict, check_group};

use crate::simulation::{TICK, etag};

const FILES: [(&str, &str); 10] = [
    ("reads", include_str!("golden/reads.txt")),
    ("creates", include_str!("golden/creates.txt")),
    ("compare", include_str!("golden/compare.txt")),
    ("deletes", include_str!("golden/deletes.txt")),
    ("unknown", include_str!("golden/unknown.txt")),
    ("transactions", include_str!("golden/transactions.txt")),
    ("ttl", include_str!("golden/ttl.txt")),
    ("etags", include_str!("golden/etags.txt")),
    ("eventual", include_str!("golden/eventual.txt")),
    ("restarts", include_str!("golden/restarts.txt")),
];

#[test]
fn histories_are_judged_as_expected() {
    let (mut legal, mut illegal) = (0, 0);
    let mut wrong = Vec::new();
    for (name, text) in FILES {
        for history in text.split("\n\n") {
            let (header, lines) = history.trim().split_once('\n').expect("a header and operations");
            let (expected, why) = header.split_once(" | ").expect("a verdict and a reason");
            let records: Vec<Record> = lines.lines().map(record).collect();
            let verdict = verdict(&records);
            if verdict != expected {
                wrong.push(format!("{name}: {why}: {verdict} instead of {expected}\n{lines}"));
            }
            let mut reversed = records.clone();
            reversed.reverse();
            assert_eq!(is_legal(&reversed), is_legal(&records), "the order of records matters");
            if expected == "legal" { legal += 1 } else { illegal += 1 }
        }
    }
    assert!(wrong.is_empty(), "{} are wrong:\n\n{}", wrong.len(), wrong.join("\n\n"));
    assert!(legal >= 50 && illegal >= 70, "{legal} legal and {illegal} illegal histories");
}

fn is_legal(records: &[Record]) -> bool {
    check_group(records, &Limits::default(), &mut 0) == Verdict::Legal
}

/// As it is written in the header of a history.
fn verdict(records: &[Record]) -> String {
    match check_group(records, &Limits::default(), &mut 0) {
        Verdict::Legal => "legal".to_owned(),
        Verdict::Exhausted => "exhausted".to_owned(),
        Verdict::Illegal(violation) => {
            let place = |shown: &Record| records.iter().position(|it| it == shown);
            let mut shown: Vec<usize> =
                violation.records.iter().filter_map(place).map(|it| it + 1).collect();
            shown.sort_unstable();
            let shown: Vec<String> = shown.iter().map(usize::to_string).collect();
            format!("{} {}", violation.invariant, shown.join(","))
        }
    }
}

fn record(line: &str) -> Record {
    let (asked, reply) = line.split_once(" -> ").expect("an answer");
    let (process, asked) = asked.split_once(' ').expect("a process");
    let (time, asked) = asked.split_once(' ').expect("a time");
    let (called, returned) = time.split_once('-').expect("two times");
    let time = |it: &str| it.parse::<u64>().expect("a number") * TICK;
    let call = call(asked);
    let process = u32::from(process.as_bytes()[0]);
    let (called, returned) = (time(called), time(returned));
    let mut record =
        Record { group: 0, process, endpoint: 0, called, returned, call, reply: Reply::Unknown };
    record.reply = self::reply(reply, &record);
    record
}

fn call(asked: &str) -> Call {
    let key = if asked.ends_with(" y") { 1 } else { 0 };
    match asked.split(' ').next() {
        Some("get") => Call::Get { key, eventual: false },
        Some("look") => Call::Get { key, eventual: true },
        Some("tx") => {
            let changes = asked[2..].split(';').map(str::trim).filter(|it| !it.is_empty());
            Call::Transact(changes.map(change).collect())
        }
        _ => Call::Write(change(asked)),
    }
}

fn change(asked: &str) -> Change {
    let mut words = asked.split(' ');
    let mut effect = match words.next() {
        Some("put") => Effect::Put { value: value(words.next().expect("a value")), ttl_ms: None },
        Some("del") => Effect::Delete,
        it => panic!("{it:?} is no change"),
    };
    let (mut key, mut condition) = (0, Condition::Any);
    for word in words {
        match word.split_once('=') {
            None if word == "y" => key = 1,
            None if word == "new" => condition = Condition::Absent,
            Some(("ttl", it)) => {
                let Effect::Put { ttl_ms, .. } = &mut effect else { panic!("not a put") };
                *ttl_ms = Some(it.parse().expect("a time"));
            }
            Some(("if", "?")) => {
                condition = Condition::Matches { etag: "made up".to_owned(), value: None };
            }
            Some(("if", it)) => {
                let (name, tag) = it.split_once('@').unwrap_or((it, ""));
                let value = value(name);
                let etag = if tag.is_empty() { etag(value) } else { tag.to_owned() };
                condition = Condition::Matches { etag, value: Some(value) };
            }
            _ => panic!("{word} is not understood"),
        }
    }
    Change { key, condition, effect }
}

fn reply(answer: &str, record: &Record) -> Reply {
    let mut words = answer.split(' ');
    let first = words.next().expect("an answer");
    let told: Vec<Option<String>> = words
        .map(|it| it.strip_prefix('@').expect("an ETag"))
        .map(|it| (it != "-").then(|| it.to_owned()))
        .collect();
    let etag_of = |it: &Change| match it.effect {
        Effect::Put { value, .. } => Some(etag(value)),
        Effect::Delete => None,
    };
    match first {
        "nothing" => Reply::Absent,
        "foreign" => Reply::Foreign { text: "???".to_owned() },
        "conflict" => Reply::Conflict,
        "refused" => Reply::NotApplied,
        "unknown" => Reply::Unknown,
        "ok" if told.is_empty() => {
            Reply::Done { etags: record.changes().iter().map(etag_of).collect() }
        }
        "ok" => Reply::Done { etags: told },
        name => {
            let value = value(name);
            let etag = told.first().cloned().unwrap_or_else(|| Some(etag(value)));
            Reply::Found { value, etag }
        }
    }
}

fn value(name: &str) -> u64 {
    u64::from(name.as_bytes()[0])
}
