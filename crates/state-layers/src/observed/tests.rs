use state::{Conflict, Error, FailureKind, Found};

use super::*;

#[test]
fn what_became_of_each_item_is_told_apart() {
    let conflict = Err::<(), _>(Error::from(Conflict::new(Found::Absent)));
    let refused = Err(Error::new(FailureKind::Overloaded, "full"));
    let lost = Err(Error::new(FailureKind::Lost, "gone"));
    let tally = |operation| {
        let mut tally = Tally::default();
        for it in [&Ok(()), &conflict, &refused, &lost] {
            tally.add(operation, it);
        }
        tally
    };
    let each = Tally { ok: 1, conflict: 1, not_applied: 1, unknown: 1 };
    assert_eq!(tally(Operation::Set), each);
    let read = Tally { ok: 1, not_applied: 3, ..Tally::default() };
    assert_eq!(tally(Operation::Get), read, "a read changes nothing");
    assert!(!read.is_success());
    assert!(Tally { ok: 9, ..Tally::default() }.is_success());
}
