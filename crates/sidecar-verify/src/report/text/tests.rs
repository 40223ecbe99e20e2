use super::*;
use crate::report::samples;

fn plainly(findings: &Findings, columns: usize) -> String {
    render(findings, &Terminal { columns, colour: false }).replace('\u{a0}', " ")
}

/// What is shown of a violation: from what was not kept to the last note.
fn drawn(violation: Violation) -> String {
    let text = plainly(&samples::broken(Guarantee::FirstWrite, vec![violation]), 100);
    let (_, rest) = text.split_once("show it broken\n\n").unwrap();
    let (drawn, _) = rest.split_once("\n\norders: ").unwrap();
    let lines: Vec<_> = drawn.lines().map(|it| it.strip_prefix("      ").unwrap_or(it)).collect();
    lines.join("\n")
}

#[test]
fn a_lost_update_is_drawn_with_two_clients() {
    let expected = r#"
not kept: no lost update (I1)
two writes with the ETag 118 were both acknowledged: one update is lost

A :3500  ├─ set v=41 if etag=118 → ok ─┤
B :3501    ├─ set v=42 if etag=118 → ok ────┤
     ms  0 0.21                        3.10 3.40

A and B were both told "saved"; at most one of the changes is there, the other is gone.
As the clients had read before: etag=118 is v=40.
In the store the key is verify-k3x9-7-0."#;
    assert_eq!(drawn(samples::lost_update()), expected.trim_start());
}

#[test]
fn a_stale_read_is_drawn_with_three_clients_and_short_etags() {
    let expected = r#"
not kept: versions never go back (I5)
a read returned an older version than a read before it

A :3500  ├───1───┤
B :3501                  ├───2───┤
C :3502                                  ├───3───┤

1 A :3500  0–2.20 ms     set v=52 if etag=7f3a91c2… → ok
2 B :3501  2.80–3.90 ms  get → v=52 etag=b81f04d6…
3 C :3502  4.10–5.05 ms  get → v=51 etag=7f3a91c2…

C was taken back in time: a newer value had been read before.
2 more operations had an unknown outcome; none can explain this.
In the store the key is verify-k3x9-7-0."#;
    assert_eq!(drawn(samples::stale_read()), expected.trim_start());
}

#[test]
fn a_partial_transaction_is_drawn_with_its_keys() {
    let expected = r#"
not kept: transactions are atomic (I8)
what was seen of a transaction's keys fits no instant at which all of it, or none of it, had
happened

A :3500  ├───────────────────1───────────────────┤
B :3501          ├───2───┤       ├───3───┤
C :3500                                                  ├───4───┤

1 A :3500  0–8.00 ms     tx[k0 set v=61 if etag=9, k1 delete] → ok
2 B :3501  1.00–2.10 ms  k0 get → v=61 etag=10
3 B :3501  2.60–3.20 ms  k1 get → v=58 etag=8
4 C :3500  8.50–9.10 ms  k1 get → v=58 etag=8

Whoever reads these keys can see a part of a transaction without the rest.
As the clients had read before: etag=9 is v=60.
In the store k0 is verify-k3x9-7-0, k1 is verify-k3x9-7-1."#;
    assert_eq!(drawn(samples::partial_transaction()), expected.trim_start());
}

#[test]
fn seconds_of_silence_take_no_room() {
    let expected = r#"
not kept: values live as long as they should (I11)
a value was still there after its time

A :3500  ├─ set v=70 ttl=1s → ok ─┤ ├─ get → v=70 ─┤
     ms  0                        2 4800           4801

An application that relies on it, for a lock or a session, is misled.
In the store the key is verify-k3x9-7-0."#;
    assert_eq!(drawn(samples::expired_late()), expected.trim_start());
}

#[test]
fn of_a_long_counterexample_the_end_is_drawn_and_the_unknown_has_none() {
    let expected = r#"
not kept: operations are linearizable (I6)
a read found nothing where there must have been a value

5 operations before these are left out
A  ├──1──┤        ├───4────┤        ├┄┄┄7┄┄┄┄┄        ├───10───┤
B     ├───2────┤        ├───5────┤        ├───8────┤        ├┄11┄┄┄
C           ├┄┄┄3┄┄┄┄┄        ├───6────┤        ├───9────┤
D                                                                    ├12┤

1  A :3501  0–1.3 ms      get → v=104 etag=1
2  B :3500  0.9–2.2 ms    create v=106 → conflict
3  C :3501  1.8–? ms      set v=107 if etag=3 → ? unknown
4  A :3500  2.7–4.0 ms    set v=108 → ok
5  B :3501  3.6–4.9 ms    get → v=108 etag=2
6  C :3500  4.5–5.8 ms    create v=110 → conflict
7  A :3501  5.4–? ms      set v=111 if etag=3 → ? unknown
8  B :3500  6.3–7.6 ms    set v=112 → ok
9  C :3501  7.2–8.5 ms    get → v=112 etag=3
10 A :3500  8.1–9.4 ms    create v=114 → conflict
11 B :3501  9.0–? ms      set v=115 if etag=3 → ? unknown
12 D :3500  11.5–12.2 ms  get → nothing

No order of these operations and those before them, each at an instant within its bar, gives
these answers.
? unknown: there was no answer that tells. It may have happened at any time after its call, or
never; neither explains what was seen.
In the store the key is verify-k3x9-7-0."#;
    assert_eq!(drawn(samples::long()), expected.trim_start());
}

#[test]
fn the_surroundings_say_what_was_asked_what_was_found_and_how_to_repeat_it() {
    let mut findings = samples::everything();
    findings.judgements.iter_mut().for_each(|it| it.violations.clear());
    let expected = "\
store orders via http://127.0.0.1:3500, :3501, :3502
  21 480 operations, 96 histories, 41 with an unknown outcome, 12 faults made, 30.0 s,
  seed 18364758544493064720
  warning    appendfsync is everysec: a crash may lose the last second of acknowledged writes
  note       maxmemory-policy is noeviction: nothing is removed to make room

  first-write-wins (ETags)  VIOLATED     2 of 96 histories show it broken; 1 case failed
  strong consistency        VIOLATED     2 of 96 histories show it broken
  transaction atomicity     VIOLATED     1 of 16 histories shows it broken
  time to live              VIOLATED     1 of 16 histories shows it broken
  bulk replies              HOLDS        8 212 reads, 2 914 contended; a flaw that shows in 1 of 971
                                         or more would have been seen with 95 % certainty
  values and keys           HOLDS        34 cases of keys and values
  durability                NOT TESTED   nothing was killed: give --hook
  recovery after faults     NOT OFFERED  the component has one connection

Cases that failed, one request after the other
  etags::stale_write_conflicts_and_changes_nothing (first-write)
      a write with an outdated ETag was answered with ok, not with a conflict

What this cannot tell
  - Testing can show that a guarantee is broken, never that it always holds.
  - No power was cut: what survives that depends on the server's settings and its disks.
  - All clients ran on one machine, so that their clocks agree.

orders: 4 of 8 guarantees violated
To repeat it, give the same options and --seed 18364758544493064720.
";
    assert_eq!(plainly(&findings, 100), expected);
}

#[test]
fn only_the_shortest_counterexample_is_drawn() {
    let both = vec![samples::long(), samples::stale_read(), samples::lost_update()];
    let text = plainly(&samples::broken(Guarantee::Strong, both), 100);
    assert!(
        text.contains("no lost update (I1)") && !text.contains("(I5)") && !text.contains("(I6)")
    );
    assert!(text.contains("      2 more counterexamples: --html, --json.\n"));
}

#[test]
fn no_line_is_wider_than_the_terminal() {
    let mut findings = samples::everything();
    findings.judgements[0].violations = vec![samples::hostile()];
    findings.judgements[1].violations = vec![samples::long()];
    for endpoints in [
        &["http://127.0.0.1:3500", "http://127.0.0.1:3501", "http://127.0.0.1:3502"],
        &["http://sidecar-1.orders:80", "http://sidecar-2.orders:80", "http://10.1.2.3:3500"],
        &["http://a.rather-long-name.of-a.host.example:1", "http://b:1", "http://c:1"],
    ] {
        findings.endpoints = endpoints.iter().map(|it| (*it).to_owned()).collect();
        for columns in [60, 61, 72, 80, 100] {
            for line in plainly(&findings, columns).lines() {
                assert!(line.chars().count() <= columns, "{columns}: {line}");
            }
        }
    }
}

#[test]
fn nothing_from_outside_reaches_the_terminal_as_control() {
    let evil = "\u{1b}]0;x\u{7}\r\n";
    let mut findings = samples::broken(Guarantee::Strong, vec![samples::hostile()]);
    findings.store = evil.to_owned();
    findings.endpoints = vec![evil.to_owned(); 2];
    findings.prefix = evil.to_owned();
    findings.limits = vec![evil.to_owned()];
    findings.judgements[0].detail = evil.to_owned();
    findings.judgements[0].violations[0].summary = evil.to_owned();
    let text = plainly(&findings, 100);
    assert!(!text.contains(|it: char| it.is_control() && it != '\n'), "{text:?}");
}

#[test]
fn colours_change_nothing_but_colours() {
    let coloured = render(&samples::everything(), &Terminal::default()).replace('\u{a0}', " ");
    assert!(coloured.contains("\u{1b}[1m\u{1b}[31mVIOLATED\u{1b}[0m"));
    let mut bare = String::new();
    for (i, part) in coloured.split("\u{1b}[").enumerate() {
        bare += if i == 0 { part } else { part.split_once('m').unwrap().1 };
    }
    assert_eq!(bare, plainly(&samples::everything(), 100));
}
