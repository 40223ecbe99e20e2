use std::io;

use super::*;

#[test]
fn a_lost_connection_cannot_become_a_conflict() {
    let lost = io::Error::from(io::ErrorKind::ConnectionReset);
    let failure = Error::new(FailureKind::Lost, "no answer").with_source(lost);
    assert_eq!(failure.outcome(), Outcome::Unknown);
    assert!(!failure.is_conflict());

    let lost = io::Error::from(io::ErrorKind::ConnectionReset);
    let conflict = Error::from(Conflict::new(Found::Untold)).with_source(lost);
    assert!(error::Error::source(&conflict).is_none(), "a conflict has no room for a cause");
}

#[test]
fn a_conflict_names_its_operation_and_what_was_found() {
    let conflict = Conflict::new(Found::Version(ETag::new("7").unwrap())).at(2);
    assert_eq!(conflict.position(), 2);
    assert_eq!(Error::from(conflict).to_string(), "the key is now at version 7");
}

#[test]
fn only_a_lost_operation_is_unknown() {
    let kinds = [
        FailureKind::Invalid,
        FailureKind::InvalidETag,
        FailureKind::Unsupported(Feature::Transactions),
        FailureKind::TooManyOperations { count: 2, max: 1 },
        FailureKind::Overloaded,
        FailureKind::Unavailable,
        FailureKind::Corrupt,
    ];
    assert!(kinds.iter().all(|it| it.outcome() == Outcome::NotApplied));
    assert_eq!(FailureKind::Lost.outcome(), Outcome::Unknown);
}
