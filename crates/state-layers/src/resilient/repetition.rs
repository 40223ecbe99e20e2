//! What may be sent again, and what the answers to several attempts mean together.
//!
//! | last answer | read | write under an ETag | any other write |
//! |---|---|---|---|
//! | certainly not applied, and may pass | again | again | again |
//! | lost: nobody knows whether it was applied | again | again | never |
//! | conflict, refusal | final | final | final |
//!
//! A write under an ETag may be sent again though it may have been applied, because ETags are never used
//! twice: of the two, the database applies one at most. If the second is the one, that is known; if it is
//! met by a conflict, it may have been the first, so that nobody knows, and it is never called a conflict.
//! The ETag that is found then is no proof either: it may be that of somebody else.
//!
//! A write on the condition that the key is absent is different: between the two, the value may have
//! been written, and deleted again. A transaction has what the strictest of its conditions gives.

use std::collections::BTreeSet;

use state::{Error, FailureKind, Key, Outcome, Precondition, Result, Write};

use super::is_failure;

/// Some requests, and what the attempts to carry them out have come to.
pub(super) trait Attempts<T>: Send {
    /// The places of all requests.
    fn all(&self) -> Vec<usize>;
    /// Notes the answers to the requests at these places.
    fn answered(&mut self, places: &[usize], results: Vec<Result<T>>);
    /// Notes that no attempt was made for the requests at these places.
    fn refused(&mut self, places: &[usize], e: impl Fn() -> Error);
    /// The places of the requests that failed and may be sent again.
    fn repeatable(&self) -> Vec<usize>;
    /// Whether the store is to blame for no failure.
    fn is_well(&self) -> bool;
    /// The answers, one for each request.
    fn into_results(self) -> Vec<Result<T>>;
}

/// Attempts to read, which can be made any number of times.
pub(super) struct ReadAttempts<T>(Vec<Option<Result<T>>>);

impl<T> ReadAttempts<T> {
    pub(super) fn new(len: usize) -> ReadAttempts<T> {
        ReadAttempts((0..len).map(|_| None).collect())
    }
}

impl<T: Send> Attempts<T> for ReadAttempts<T> {
    fn all(&self) -> Vec<usize> {
        (0..self.0.len()).collect()
    }

    fn answered(&mut self, places: &[usize], results: Vec<Result<T>>) {
        for (place, result) in places.iter().zip(results) {
            self.0[*place] = Some(result);
        }
    }

    fn refused(&mut self, places: &[usize], e: impl Fn() -> Error) {
        for place in places {
            self.0[*place] = Some(Err(e()));
        }
    }

    fn repeatable(&self) -> Vec<usize> {
        failed(&self.0).collect()
    }

    fn is_well(&self) -> bool {
        failed(&self.0).next().is_none()
    }

    fn into_results(self) -> Vec<Result<T>> {
        answers(self.0)
    }
}

/// Attempts to write.
pub(super) struct WriteAttempts<'a, T> {
    requests: Vec<Request<'a>>,
    results: Vec<Option<Result<T>>>,
}

/// What matters of a write, or of a transaction, for sending it again.
struct Request<'a> {
    /// `None` for a transaction, which has no others beside it.
    key: Option<&'a Key>,
    /// Whether the database applies only one of two copies.
    is_once_only: bool,
    /// Whether an attempt may have been applied that was not known to be.
    may_be_applied: bool,
    /// Whether the last answer may not be the last.
    may_pass: bool,
}

impl<'a> Request<'a> {
    fn new(key: Option<&'a Key>, is_once_only: bool) -> Request<'a> {
        Request { key, is_once_only, may_be_applied: false, may_pass: false }
    }
}

impl<'a, T> WriteAttempts<'a, T> {
    /// Writes independent of each other.
    pub(super) fn each(writes: &'a [Write]) -> WriteAttempts<'a, T> {
        WriteAttempts::new(writes.iter().map(|it| Request::new(Some(&it.key), is_once_only(it))))
    }

    /// One transaction of all the writes. One condition that fails keeps all of it from being applied.
    pub(super) fn together(writes: &'a [Write]) -> WriteAttempts<'a, T> {
        let is_once_only = writes.iter().any(is_once_only);
        WriteAttempts::new([Request::new(None, is_once_only)])
    }

    fn new(requests: impl IntoIterator<Item = Request<'a>>) -> WriteAttempts<'a, T> {
        let requests: Vec<_> = requests.into_iter().collect();
        let results = requests.iter().map(|_| None).collect();
        WriteAttempts { requests, results }
    }

    /// What the last answer means after the attempts before it.
    fn note(&mut self, place: usize, result: Result<T>) {
        let request = &mut self.requests[place];
        request.may_pass = result.as_ref().is_err_and(is_failure);
        let earlier = request.may_be_applied;
        let result = result.map_err(|e| if earlier { unknown(e) } else { e });
        request.may_be_applied |= result.as_ref().is_err_and(|e| e.outcome() == Outcome::Unknown);
        self.results[place] = Some(result);
    }
}

/// A condition that the first of two copies makes false for the second.
fn is_once_only(write: &Write) -> bool {
    matches!(write.precondition, Precondition::Matches(_))
}

/// What an error means if an earlier attempt may have been applied.
fn unknown(last: Error) -> Error {
    match last {
        Error::Failure(it) if it.kind() == FailureKind::Lost => Error::Failure(it),
        Error::Conflict(it) => {
            let message = format!(
                "an earlier attempt got no answer, and {it}: that may be the work of this request, \
                 or of another"
            );
            Error::new(FailureKind::Lost, message)
        }
        Error::Failure(it) => {
            let message = "an earlier attempt got no answer, and may have been applied";
            Error::new(FailureKind::Lost, message).with_source(it)
        }
    }
}

impl<T: Send> Attempts<T> for WriteAttempts<'_, T> {
    fn all(&self) -> Vec<usize> {
        (0..self.requests.len()).collect()
    }

    fn answered(&mut self, places: &[usize], results: Vec<Result<T>>) {
        for (place, result) in places.iter().zip(results) {
            self.note(*place, result);
        }
    }

    fn refused(&mut self, places: &[usize], e: impl Fn() -> Error) {
        for place in places {
            self.note(*place, Err(e()));
        }
    }

    /// Not a write that a later one of the same key has overtaken: it would put back the older value.
    fn repeatable(&self) -> Vec<usize> {
        let mut overtaken = BTreeSet::new();
        let mut places = Vec::new();
        for (place, request) in self.requests.iter().enumerate().rev() {
            let is_overtaken = request.key.is_some_and(|it| overtaken.contains(it));
            let again = match &self.results[place] {
                Some(Err(e)) => match e.outcome() {
                    Outcome::Conflict => false,
                    Outcome::NotApplied => request.may_pass,
                    Outcome::Unknown => request.may_pass && request.is_once_only,
                },
                Some(Ok(_)) | None => false,
            };
            let is_applied_perhaps = match &self.results[place] {
                Some(Err(e)) => e.outcome() == Outcome::Unknown,
                Some(Ok(_)) => true,
                None => false,
            };
            if again && !is_overtaken {
                places.push(place);
            }
            if is_applied_perhaps {
                overtaken.extend(request.key);
            }
        }
        places.reverse();
        places
    }

    fn is_well(&self) -> bool {
        failed(&self.results).next().is_none()
    }

    fn into_results(self) -> Vec<Result<T>> {
        answers(self.results)
    }
}

fn failed<T>(results: &[Option<Result<T>>]) -> impl Iterator<Item = usize> {
    let failed = |it: &Option<Result<T>>| matches!(it, Some(Err(e)) if is_failure(e));
    results.iter().enumerate().filter(move |(_, it)| failed(it)).map(|(place, _)| place)
}

fn answers<T>(results: Vec<Option<Result<T>>>) -> Vec<Result<T>> {
    results.into_iter().map(|it| it.expect("every request was sent or refused")).collect()
}
