//! What an error of etcd, or of the way to it, says about a request.

use std::error::Error as _;

use state::{Error, FailureKind};
use tonic::{Code, ConnectError, Status};

/// Whether an operation changes anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// What is known of a request that was not answered as asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Refusal {
    /// Never sent, or refused before anything was proposed: another try may help.
    NotApplied,
    /// Not applied, because the token is not known (any more): log in again.
    Token,
    /// Not applied, and a second try would not help.
    Final(FailureKind, &'static str),
    /// May have been applied, may still be.
    Unknown,
}

impl Refusal {
    /// By etcd's own texts, which are the only thing that tells its errors apart. Source: etcd,
    /// `api/v3rpc/rpctypes/error.go`.
    pub(super) fn of(status: &Status) -> Refusal {
        use FailureKind::{Invalid, Overloaded, Unavailable};
        if was_not_connected(status) {
            return Refusal::NotApplied;
        }
        let message = status.message();
        let says = |text: &str| message.starts_with(text);
        if says("etcdserver: mvcc: database space exceeded") {
            let remedy = "etcd has no space left in its quota: compact and defragment it, then disarm its alarm";
            return Refusal::Final(Unavailable, remedy);
        }
        if says("etcdserver: too many requests") {
            return Refusal::Final(Overloaded, "etcd has more requests than it can queue");
        }
        if says("etcdserver: request is too large")
            || status.code() == Code::ResourceExhausted && message.contains("larger than max")
        {
            let remedy = "the request is larger than etcd takes: raise its --max-request-bytes";
            return Refusal::Final(Invalid, remedy);
        }
        if says("etcdserver: too many operations in txn request") {
            let remedy =
                "etcd takes fewer operations at once: raise its --max-txn-ops, or lower maxTxnOps";
            return Refusal::Final(Invalid, remedy);
        }
        if says("etcdserver: invalid auth token")
            || says("etcdserver: revision of auth store is old")
        {
            return Refusal::Token;
        }
        if says("etcdserver: user name is empty") {
            return Refusal::Final(Unavailable, "etcd wants a login: set username and password");
        }
        if says("etcdserver: authentication failed") {
            return Refusal::Final(
                Unavailable,
                "etcd refuses the login: check username and password",
            );
        }
        if says("etcdserver: permission denied") {
            return Refusal::Final(Unavailable, "the user of etcd lacks the rights to these keys");
        }
        // Refused before it is proposed, unlike "leader changed" and "request timed out".
        if says("etcdserver: no leader") || says("etcdserver: not capable") {
            return Refusal::NotApplied;
        }
        Refusal::Unknown
    }

    /// In words for the user.
    pub(super) fn error(self, intent: Intent, status: Status) -> Error {
        let error = match (self, intent) {
            (Refusal::Final(kind, message), _) => Error::new(kind, message),
            (Refusal::NotApplied, _) => Error::new(FailureKind::Unavailable, "cannot reach etcd"),
            (Refusal::Token, _) => {
                Error::new(FailureKind::Unavailable, "etcd does not know the login any more")
            }
            (Refusal::Unknown, Intent::Read) => {
                Error::new(FailureKind::Unavailable, "etcd did not answer a read")
            }
            (Refusal::Unknown, Intent::Write) => {
                Error::new(FailureKind::Lost, "etcd did not say whether it has written")
            }
        };
        error.with_source(status)
    }
}

/// Whether the connection was never made, so that nothing was sent.
fn was_not_connected(status: &Status) -> bool {
    let mut source = status.source();
    while let Some(error) = source {
        if error.is::<ConnectError>() {
            return true;
        }
        source = error.source();
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(code: Code, message: &str) -> Refusal {
        Refusal::of(&Status::new(code, message))
    }

    #[test]
    fn what_may_have_been_proposed_is_unknown() {
        for message in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to connection lost",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: leader changed",
            "etcdserver: server stopped",
            "transport error",
            "something new",
        ] {
            assert_eq!(check(Code::Unavailable, message), Refusal::Unknown, "{message}");
        }
    }

    #[test]
    fn what_was_refused_is_not_applied() {
        let kind = |code, message: &str| match check(code, message) {
            Refusal::Final(kind, _) => kind,
            it => panic!("{message}: {it:?}"),
        };
        let exhausted = Code::ResourceExhausted;
        let space = "etcdserver: mvcc: database space exceeded";
        assert_eq!(kind(exhausted, space), FailureKind::Unavailable);
        assert_eq!(kind(exhausted, "etcdserver: too many requests"), FailureKind::Overloaded);
        let invalid = Code::InvalidArgument;
        assert_eq!(kind(invalid, "etcdserver: request is too large"), FailureKind::Invalid);
        let operations = "etcdserver: too many operations in txn request";
        assert_eq!(kind(invalid, operations), FailureKind::Invalid);
        assert_eq!(kind(invalid, "etcdserver: user name is empty"), FailureKind::Unavailable);
        let denied = "etcdserver: permission denied";
        assert_eq!(kind(Code::PermissionDenied, denied), FailureKind::Unavailable);
        assert_eq!(check(Code::Unavailable, "etcdserver: no leader"), Refusal::NotApplied);
        let token = "etcdserver: invalid auth token";
        assert_eq!(check(Code::Unauthenticated, token), Refusal::Token);
    }

    #[test]
    fn an_unknown_outcome_is_lost_for_writes_only() {
        let kind = |intent| match Refusal::Unknown.error(intent, Status::unknown("")) {
            Error::Failure(it) => it.kind(),
            Error::Conflict(_) => panic!("a conflict"),
        };
        assert_eq!(kind(Intent::Write), FailureKind::Lost);
        assert_eq!(kind(Intent::Read), FailureKind::Unavailable);
    }
}
