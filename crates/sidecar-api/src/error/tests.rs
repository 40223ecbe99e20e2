use state::ETag;

use super::*;

fn check(op: Op<'_>, e: Error) -> (u16, &'static str, &'static str) {
    let it = ApiError::of(op, "cart", &e);
    (it.status.as_u16(), it.code, it.outcome.name())
}

#[test]
fn every_kind_of_failure_has_its_status_and_outcome() {
    let failure = |kind| Error::new(kind, "why");
    let conflict = || Error::from(Conflict::new(Found::Absent));
    assert_eq!(check(Op::Save, conflict()), (409, "ERR_STATE_SAVE", "conflict"));
    assert_eq!(check(Op::Delete("k"), conflict()), (409, "ERR_STATE_DELETE", "conflict"));
    let transact = Op::Transact(&["k"]);
    assert_eq!(check(transact, conflict()), (409, "ERR_STATE_TRANSACTION", "conflict"));
    let table = [
        (FailureKind::Invalid, 400, "not_applied"),
        (FailureKind::InvalidETag, 400, "not_applied"),
        (FailureKind::Overloaded, 429, "not_applied"),
        (FailureKind::Unavailable, 503, "not_applied"),
        (FailureKind::Corrupt, 500, "not_applied"),
        (FailureKind::Lost, 500, "unknown"),
    ];
    for (kind, status, outcome) in table {
        assert_eq!(check(Op::Save, failure(kind)), (status, "ERR_STATE_SAVE", outcome), "{kind:?}");
    }
    let lost_read = check(Op::Get("k"), failure(FailureKind::Lost));
    assert_eq!(lost_read, (500, "ERR_STATE_GET", "not_applied"), "a read applies nothing");
}

#[test]
fn a_conflict_in_a_transaction_names_the_operation_and_the_current_version() {
    let found = Found::Version(ETag::new("9").unwrap());
    let e = Error::from(Conflict::new(found).at(1));
    let body = ApiError::of(Op::Transact(&["a", "b"]), "cart", &e).body();
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(
        body["message"],
        "error while executing state transaction: possible etag mismatch. error from state store: \
         operation 1 (key \"b\"): the key is now at version 9"
    );
    assert_eq!(body["details"][0]["metadata"]["currentETag"], "9");
    assert_eq!(body["details"][0]["metadata"]["operation"], "1");
}
