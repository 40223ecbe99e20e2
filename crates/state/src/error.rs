use std::{borrow::Cow, error, fmt, time::Duration};

use crate::{ETag, Feature};

/// The result of an operation on a store.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an operation did not succeed.
///
/// The two cases are different types on purpose. A [`Conflict`] says what version was found and
/// has no room for a cause, so a lost connection can never be passed off as one; a [`Failure`]
/// can never say "conflict".
///
/// An absent key is not an error; see [`Store::get`](crate::Store::get).
#[derive(Debug)]
pub enum Error {
    /// A condition was compared with the stored version, and did not hold. Nothing changed.
    Conflict(Conflict),
    /// Anything else.
    Failure(Failure),
}

/// What an operation that did not succeed did to the data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Outcome {
    /// Definitely not applied: a condition was false.
    Conflict,
    /// Definitely not applied: refused, never sent, over a limit, shed.
    NotApplied,
    /// Was sent: may have been applied, may still be.
    Unknown,
}

/// A condition that did not hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Conflict {
    found: Found,
    position: usize,
}

/// What a store had where a write expected something else.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Found {
    /// No value, or an expired one.
    Absent,
    /// A value at this version.
    Version(ETag),
    /// The store compared, and told only that the condition is false.
    Untold,
}

/// A failure that is not about a condition: what happened, whether anything was applied, and
/// where it came from.
#[derive(Debug)]
pub struct Failure {
    kind: FailureKind,
    message: Cow<'static, str>,
    retry_after: Option<Duration>,
    source: Option<Box<dyn error::Error + Send + Sync>>,
}

/// The distinctions some caller acts on, and no others.
///
/// Before adding one, name the `match` that needs it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum FailureKind {
    /// The request cannot be right, whatever the state: a key too long, a value too large.
    Invalid,
    /// The ETag has a form that this store never issues.
    InvalidETag,
    /// The store, as configured, does not offer this.
    Unsupported(Feature),
    /// The transaction has more operations than the store takes at once.
    TooManyOperations {
        /// How many it has.
        count: usize,
        /// How many it may have.
        max: usize,
    },
    /// More is being asked than can be queued. Trying again later helps.
    Overloaded,
    /// The store could not be reached, or refused the work for now. Trying again may help.
    Unavailable,
    /// What is stored cannot be understood: a damaged file, an unknown encoding.
    Corrupt,
    /// The request was handed over and its fate was not learned: no answer in time, the
    /// connection lost, the disk failing during a commit. Also anything nobody has classified.
    Lost,
}

impl Outcome {
    /// The word for it in error replies, logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Outcome::Conflict => "conflict",
            Outcome::NotApplied => "not_applied",
            Outcome::Unknown => "unknown",
        }
    }
}

impl FailureKind {
    /// What a write that failed this way did.
    pub fn outcome(self) -> Outcome {
        match self {
            FailureKind::Invalid
            | FailureKind::InvalidETag
            | FailureKind::Unsupported(_)
            | FailureKind::TooManyOperations { .. }
            | FailureKind::Overloaded
            | FailureKind::Unavailable
            | FailureKind::Corrupt => Outcome::NotApplied,
            FailureKind::Lost => Outcome::Unknown,
        }
    }
}

impl Error {
    /// A failure of this kind. There is no way to make a conflict of it.
    pub fn new(kind: FailureKind, message: impl Into<Cow<'static, str>>) -> Error {
        Error::Failure(Failure { kind, message: message.into(), retry_after: None, source: None })
    }

    /// The same failure with what caused it. A conflict has no cause and stays as it is.
    pub fn with_source(self, source: impl Into<Box<dyn error::Error + Send + Sync>>) -> Error {
        match self {
            Error::Failure(it) => Error::Failure(Failure { source: Some(source.into()), ..it }),
            Error::Conflict(_) => self,
        }
    }

    /// The same failure with the time before which it is of no use to try again. A conflict stays as it is.
    pub fn with_retry_after(self, time: Duration) -> Error {
        match self {
            Error::Failure(it) => Error::Failure(Failure { retry_after: Some(time), ..it }),
            Error::Conflict(_) => self,
        }
    }

    /// The same for another of those who asked together, without its cause.
    pub fn again(&self) -> Error {
        match self {
            Error::Failure(Failure { kind, message, retry_after, source: _ }) => {
                let (kind, message, retry_after) = (*kind, message.clone(), *retry_after);
                Error::Failure(Failure { kind, message, retry_after, source: None })
            }
            Error::Conflict(it) => it.clone().into(),
        }
    }

    /// The same for each of so many who asked together: what failed as a whole failed for all of them.
    pub fn for_each<T>(&self, len: usize) -> Vec<Result<T, Error>> {
        (0..len).map(|_| Err(self.again())).collect()
    }

    /// What the operation did to the data.
    pub fn outcome(&self) -> Outcome {
        match self {
            Error::Conflict(_) => Outcome::Conflict,
            Error::Failure(it) => it.kind.outcome(),
        }
    }

    /// Whether this is a [`Conflict`].
    pub fn is_conflict(&self) -> bool {
        matches!(self, Error::Conflict(_))
    }
}

impl Conflict {
    /// A condition that did not hold because of what was `found`.
    pub fn new(found: Found) -> Conflict {
        Conflict { found, position: 0 }
    }

    /// The same conflict as that of the `position`-th write of a transaction, from 0.
    pub fn at(self, position: usize) -> Conflict {
        Conflict { position, ..self }
    }

    /// What the store had instead.
    pub fn found(&self) -> &Found {
        &self.found
    }

    /// Which write of a transaction it was, from 0; always 0 for a single write.
    pub fn position(&self) -> usize {
        self.position
    }
}

impl Found {
    /// The version that was found, if there was one and the store tells.
    pub fn etag(&self) -> Option<&ETag> {
        match self {
            Found::Version(etag) => Some(etag),
            Found::Absent | Found::Untold => None,
        }
    }
}

impl Failure {
    /// What sort of failure.
    pub fn kind(&self) -> FailureKind {
        self.kind
    }

    /// How long it is of no use to try again, if that is known.
    pub fn retry_after(&self) -> Option<Duration> {
        self.retry_after
    }
}

impl From<Conflict> for Error {
    fn from(it: Conflict) -> Error {
        Error::Conflict(it)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Conflict(it) => it.fmt(f),
            Error::Failure(it) => it.fmt(f),
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.found {
            Found::Absent => f.write_str("the key does not exist or has expired"),
            Found::Version(etag) => write!(f, "the key is now at version {}", etag.as_str()),
            Found::Untold => f.write_str("the key is at another version"),
        }
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl error::Error for Error {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        match self {
            Error::Conflict(_) => None,
            Error::Failure(it) => it.source(),
        }
    }
}

impl error::Error for Conflict {}

impl error::Error for Failure {
    fn source(&self) -> Option<&(dyn error::Error + 'static)> {
        self.source.as_deref().map(|it| it as _)
    }
}

#[cfg(test)]
mod tests;
