use super::*;

fn text(it: &str) -> Text {
    it.into()
}

fn put(key: &str, value: &str, when: When) -> Change {
    Change { key: text(key), value: Some(text(value)), when }
}

fn done(changes: &[(&str, &str)]) -> Step {
    let etags = changes.iter().map(|(_, value)| Some(text(&format!("e-{value}")))).collect();
    Step::Write { changes: puts(changes), told: Told::Done(etags) }
}

fn puts(changes: &[(&str, &str)]) -> Vec<Change> {
    changes.iter().map(|(key, value)| put(key, value, When::Always)).collect()
}

fn told(changes: &[(&str, &str)], told: Told) -> Step {
    Step::Write { changes: puts(changes), told }
}

fn swap(value: &str, from: Option<&str>, told: Told) -> Step {
    let when = from.map_or(When::Absent, |it| When::Matches(text(&format!("e-{it}"))));
    Step::Write { changes: vec![put("shared", value, when)], told }
}

fn swapped(value: &str, from: Option<&str>) -> Step {
    swap(value, from, Told::Done(vec![Some(text(&format!("e-{value}")))]))
}

fn read(key: &str, value: &str) -> Step {
    Step::Read { key: text(key), found: version(value) }
}

fn version(value: &str) -> Found {
    Some(Version { value: text(value), etag: text(&format!("e-{value}")) })
}

fn state(pairs: &[(&str, &str)]) -> State {
    pairs.iter().filter_map(|(key, value)| Some((text(key), version(value)?))).collect()
}

/// What is wrong with finding `found` after one writer's steps, in one line.
fn wrong(steps: &[Step], found: &[(&str, &str)]) -> String {
    check(&State::new(), &[steps.to_vec()], &state(found)).join("; ")
}

fn is_right(steps: &[Step], found: &[(&str, &str)]) {
    assert_eq!(wrong(steps, found), "");
}

#[test]
fn what_was_acknowledged_must_be_there() {
    let steps = [done(&[("a", "1")]), done(&[("a", "2")])];
    is_right(&steps, &[("a", "2")]);
    assert!(wrong(&steps, &[("a", "1")]).contains("superseded"));
    assert!(wrong(&steps, &[]).contains("there is nothing"));
    assert!(wrong(&steps, &[("a", "7")]).contains("written by nobody"));
    assert!(wrong(&steps, &[("a", "2"), ("b", "1")]).contains("nobody wrote it"));
}

#[test]
fn an_unknown_write_may_be_there_until_it_is_superseded() {
    let steps = [done(&[("a", "1")]), told(&[("a", "2")], Told::Unknown)];
    is_right(&steps, &[("a", "1")]);
    is_right(&steps, &[("a", "2")]);
    let steps = [&steps[..], &[done(&[("a", "3")])]].concat();
    is_right(&steps, &[("a", "3")]);
    assert!(wrong(&steps, &[("a", "2")]).contains("superseded"));
}

#[test]
fn a_refused_write_must_not_be_there() {
    for refusal in [Told::NotApplied, Told::Conflict] {
        let steps = [done(&[("a", "1")]), told(&[("a", "2")], refusal)];
        assert!(wrong(&steps, &[("a", "2")]).contains("refused"));
    }
}

#[test]
fn a_transaction_is_there_or_not_and_never_by_half() {
    let steps =
        [done(&[("a", "a1"), ("b", "b1")]), told(&[("a", "a2"), ("b", "b2")], Told::Unknown)];
    is_right(&steps, &[("a", "a1"), ("b", "b1")]);
    is_right(&steps, &[("a", "a2"), ("b", "b2")]);
    assert!(wrong(&steps, &[("a", "a2"), ("b", "b1")]).contains("half"));
}

#[test]
fn what_was_read_stays_and_so_does_its_other_half() {
    let steps = [
        done(&[("a", "a1"), ("b", "b1")]),
        told(&[("a", "a2"), ("b", "b2")], Told::Unknown),
        read("a", "a2"),
    ];
    is_right(&steps, &[("a", "a2"), ("b", "b2")]);
    assert!(!wrong(&steps, &[("a", "a1"), ("b", "b1")]).is_empty());
    let torn = [&steps[..], &[read("b", "b1")]].concat();
    assert!(wrong(&torn, &[("a", "a2"), ("b", "b2")]).contains("a read of b"));
}

#[test]
fn a_conflict_without_a_reason_is_noticed() {
    let steps = [done(&[("a", "1")]), told(&[("a", "2")], Told::Conflict)];
    assert!(wrong(&steps, &[("a", "1")]).contains("a conflict that there was not"));
    let stale = put("a", "2", When::Matches(text("e-0")));
    let accepted = Step::Write { changes: vec![stale], told: Told::Done(vec![Some(text("e-2"))]) };
    let steps = [done(&[("a", "1")]), accepted];
    assert!(wrong(&steps, &[("a", "2")]).contains("false condition"));
}

#[test]
fn swaps_of_many_writers_make_one_chain() {
    let one = vec![swapped("1", None), swapped("3", Some("2"))];
    let other = vec![swapped("2", Some("1")), swap("4", Some("3"), Told::Unknown)];
    let check = |found: &str| {
        check(&State::new(), &[one.clone(), other.clone()], &state(&[("shared", found)])).join("; ")
    };
    assert_eq!(check("3"), "");
    assert_eq!(check("4"), "");
    assert!(check("2").contains("3 was the last"));
}

#[test]
fn two_swaps_of_one_version_are_noticed() {
    let steps = [swapped("1", None), swapped("2", Some("1")), swapped("3", Some("1"))];
    assert!(wrong(&steps, &[("shared", "2")]).contains("replaced the same version"));
}

#[test]
fn a_swap_whose_answer_was_lost_is_part_of_the_chain_once_it_was_read() {
    let steps = [
        swapped("1", None),
        swap("2", Some("1"), Told::Unknown),
        read("shared", "2"),
        swapped("3", Some("2")),
    ];
    is_right(&steps, &[("shared", "3")]);
    assert!(!wrong(&steps[..3], &[("shared", "1")]).is_empty());
}

#[test]
fn an_etag_stands_for_one_value() {
    let mut versions = Versions::default();
    assert!(versions.learn(&[vec![done(&[("a", "1")])]]).is_empty());
    let other = Version { value: text("2"), etag: text("e-1") };
    assert!(!versions.learn_state(&State::from([(text("a"), other)])).is_empty());
    let again = Version { value: text("1"), etag: text("e-9") };
    assert!(!versions.check(&State::from([(text("a"), again)])).is_empty());
}
