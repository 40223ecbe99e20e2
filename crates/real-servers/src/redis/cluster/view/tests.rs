use super::{Member, member};

/// A line of a node called `a`.
fn check(rest: &str) -> Member {
    member(&format!("a 127.0.0.1:7000@17000{rest}")).unwrap()
}

fn primary() -> Member {
    Member {
        id: "a".into(),
        address: ([127, 0, 0, 1], 7000).into(),
        is_myself: false,
        is_connected: true,
        primary: None,
        epoch: 3,
        slots: vec![0..=9, 12..=12],
    }
}

#[test]
fn a_primary_has_slots_and_none_that_are_on_their_way() {
    assert_eq!(check(" master - 0 1 3 connected 0-9 12 [12->-b]"), primary());
    assert!(primary().serves(12));
    assert!(!primary().serves(11));
}

#[test]
fn a_replica_has_a_primary() {
    let replica = Member { primary: Some("b".into()), slots: vec![], ..primary() };
    assert_eq!(check(",name slave b 0 1 3 connected"), replica);
}

#[test]
fn a_node_that_is_missed_is_not_connected() {
    let missed = Member { is_connected: false, slots: vec![], ..primary() };
    assert_eq!(check(" master,fail? - 0 1 3 connected"), missed);
    assert_eq!(check(" master - 0 1 3 disconnected"), missed);
}

#[test]
fn other_lines_are_refused() {
    for line in ["", "a", "a 127.0.0.1:7000 master - 0 1 3 connected", "a :0@0 master - 0 1 x -"] {
        assert!(member(line).is_err());
    }
}
