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

#[test]
fn what_failed_as_a_whole_failed_in_the_same_way_for_each() {
    let failure =
        Error::new(FailureKind::Lost, "no answer").with_retry_after(Duration::from_secs(1));
    for it in failure.with_source(io::Error::other("cut")).for_each::<()>(2) {
        let Err(Error::Failure(it)) = it else { panic!("{it:?}") };
        assert_eq!((it.kind(), it.to_string().as_str()), (FailureKind::Lost, "no answer"));
        assert_eq!(it.retry_after(), Some(Duration::from_secs(1)));
    }
    let conflict = Error::from(Conflict::new(Found::Absent).at(3)).again();
    assert!(matches!(conflict, Error::Conflict(it) if it.position() == 3));
}
