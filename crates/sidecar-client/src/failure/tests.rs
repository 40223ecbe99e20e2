use bytes::Bytes;
use hyper::{HeaderMap, StatusCode};
use state::Outcome;

use super::*;

fn reply(status: u16, body: &'static str) -> Reply {
    let status = StatusCode::from_u16(status).unwrap();
    Reply { status, headers: HeaderMap::new(), body: Bytes::from_static(body.as_bytes()) }
}

fn check(status: u16, body: &'static str) -> Option<FailureKind> {
    match of(&reply(status, body)) {
        Error::Conflict(_) => None,
        Error::Failure(it) => Some(it.kind()),
    }
}

#[test]
fn outcome_of_our_reply_is_taken_at_its_word() {
    assert_eq!(check(409, r#"{"outcome":"conflict"}"#), None);
    assert_eq!(check(500, r#"{"outcome":"unknown"}"#), Some(FailureKind::Lost));
    let table = [
        (400, FailureKind::Invalid),
        (413, FailureKind::Invalid),
        (421, FailureKind::Invalid),
        (408, FailureKind::Unavailable),
        (429, FailureKind::Overloaded),
        (503, FailureKind::Unavailable),
        (500, FailureKind::Corrupt),
    ];
    for (status, kind) in table {
        assert_eq!(check(status, r#"{"outcome":"not_applied"}"#), Some(kind), "{status}");
    }
}

#[test]
fn reply_of_dapr_is_unknown_unless_its_status_says_more() {
    assert_eq!(check(409, r#"{"errorCode":"ERR_STATE_SAVE","message":"no"}"#), None);
    assert_eq!(check(400, r#"{"errorCode":"ERR_MALFORMED_REQUEST"}"#), Some(FailureKind::Invalid));
    assert_eq!(
        check(400, r#"{"message":"invalid etag value: x"}"#),
        Some(FailureKind::InvalidETag)
    );
    assert_eq!(check(500, r#"{"errorCode":"ERR_STATE_SAVE"}"#), Some(FailureKind::Lost));
    assert_eq!(check(431, ""), Some(FailureKind::Invalid));
    assert_eq!(check(502, "<html>"), Some(FailureKind::Lost));
    assert_eq!(check(429, ""), Some(FailureKind::Lost));
}

#[test]
fn conflict_tells_the_operation_and_the_version_found() {
    let body = r#"{"outcome":"conflict","details":[{"links":[]},{"metadata":null},
        {"metadata":{"operation":"2","key":"k","currentETag":"9"}}]}"#;
    let Error::Conflict(conflict) = of(&reply(409, body)) else { panic!("a conflict") };
    assert_eq!(conflict.position(), 2);
    assert_eq!(conflict.found(), &Found::Version(ETag::new("9").unwrap()));
    let Error::Conflict(conflict) = of(&reply(409, "")) else { panic!("a conflict") };
    assert_eq!((conflict.position(), conflict.found()), (0, &Found::Untold));
}

#[test]
fn refusal_names_the_feature_that_is_missing() {
    let strong = r#"{"outcome":"not_applied","errorCode":"ERR_STATE_CONSISTENCY_NOT_SUPPORTED"}"#;
    assert_eq!(check(400, strong), Some(FailureKind::Unsupported(Feature::StrongConsistency)));
    let none = r#"{"outcome":"not_applied","errorCode":"ERR_STATE_STORE_NOT_SUPPORTED"}"#;
    assert_eq!(check(500, none), Some(FailureKind::Unsupported(Feature::Transactions)));
    let etags = r#"{"outcome":"not_applied","message":"the state store does not support ETags"}"#;
    assert_eq!(check(400, etags), Some(FailureKind::Unsupported(Feature::ETags)));
    let many = r#"{"outcome":"not_applied","errorCode":"ERR_STATE_STORE_TOO_MANY_TRANSACTIONS",
        "details":[{"metadata":{"currentOpsTransaction":"9","maxOpsPerTransaction":"8"}}]}"#;
    assert_eq!(check(400, many), Some(FailureKind::TooManyOperations { count: 9, max: 8 }));
}

#[test]
fn each_write_in_bulk_has_its_own_outcome() {
    let body = r#"{"outcome":"unknown","items":[{"outcome":"ok","etag":"7"},{"outcome":"conflict"},
        {"outcome":"not_applied","message":"no"},{"outcome":"unknown"}]}"#;
    let answers = of_each(&reply(500, body), 4);
    assert_eq!(answers[0].as_ref().unwrap().etag, ETag::new("7"));
    let outcome = |i: usize| answers[i].as_ref().unwrap_err().outcome();
    assert_eq!(outcome(1), Outcome::Conflict);
    assert_eq!(outcome(2), Outcome::NotApplied);
    assert_eq!(outcome(3), Outcome::Unknown);
    let together = of_each(&reply(503, r#"{"outcome":"not_applied"}"#), 2);
    assert_eq!(together.len(), 2);
    assert!(together.iter().all(|it| it.as_ref().unwrap_err().outcome() == Outcome::NotApplied));
}
