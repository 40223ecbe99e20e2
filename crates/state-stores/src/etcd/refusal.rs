//! What it means that a call was not answered: was it applied, and is it worth another try.

use state::{Error, FailureKind};

use super::connection::Unanswered;

/// Whether anything could have been changed that is not changed by doing it twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

/// Why something was not done.
#[derive(Debug)]
pub(super) enum Trouble {
    /// It was certainly not applied, and may be if it is tried again.
    NotNow(Error),
    /// The same, but not on this connection.
    NotHere(Error),
    /// The same: the lease that it needs is gone, or somebody else has its number.
    NoLease(Error),
    /// There is nothing to be done about it.
    Final(Error),
}

/// What a user can do about a request that is too large.
const TOO_LARGE: &str = "the value, or all of a transaction, is larger than the server takes: start etcd with a greater \
                         --max-request-bytes, or keep less under a key";

impl Trouble {
    /// The error, if it is not tried again.
    pub(super) fn error(self) -> Error {
        match self {
            Trouble::NotNow(e) | Trouble::NotHere(e) | Trouble::NoLease(e) | Trouble::Final(e) => e,
        }
    }

    /// What it means that this came back from a member.
    pub(super) fn of(why: Unanswered, member: &str, intent: Intent) -> Trouble {
        match why {
            Unanswered::NotSent(what) => {
                let message = format!("{member} cannot be reached: {what}");
                Trouble::NotHere(Error::new(FailureKind::Unavailable, message))
            }
            Unanswered::Silence(what) => {
                unknown(intent, format!("{member} gave no answer: {what}"))
            }
            Unanswered::Refused { code, message } => of_refusal(code, &message, member, intent),
        }
    }

    /// What it means that a member takes no connection.
    pub(super) fn of_connecting(why: Unanswered, member: &str) -> Trouble {
        match Trouble::of(why, member, Intent::Read) {
            // Who logs in will be the same the next time.
            Trouble::Final(e) => Trouble::Final(e),
            trouble => Trouble::NotHere(trouble.error()),
        }
    }
}

/// Source: etcd, `rpctypes/error.go`; the texts are what its clients tell errors apart by.
fn of_refusal(code: u32, text: &str, member: &str, intent: Intent) -> Trouble {
    let words = text.strip_prefix("etcdserver: ").unwrap_or(text);
    let message = format!("{member}: {words}");
    let is_one_of = |list: &[&str]| list.contains(&words);
    let with =
        |kind, remedy: &str| Trouble::Final(Error::new(kind, format!("{message}; {remedy}")));
    if words == "mvcc: database space exceeded" {
        return with(
            FailureKind::Unavailable,
            "compact and defragment it, then disarm the alarm, or start etcd with a greater --quota-backend-bytes",
        );
    }
    if words == "too many operations in txn request" {
        return with(
            FailureKind::Invalid,
            "the server takes fewer than maxTxnOps says: set it to what etcd has as --max-txn-ops",
        );
    }
    if words == "request is too large"
        || words.starts_with("grpc: received message larger than max")
        || words.starts_with("trying to send message larger than max")
    {
        return with(FailureKind::Invalid, TOO_LARGE);
    }
    if is_one_of(&["duplicate key given in txn request", "key is not provided"]) {
        return Trouble::Final(Error::new(FailureKind::Invalid, message));
    }
    let refused = |kind| Error::new(kind, message.clone());
    if words == "too many requests" {
        return Trouble::NotNow(refused(FailureKind::Overloaded));
    }
    if is_one_of(&["no leader", "raft proposal dropped", "raft: proposal dropped", "not leader"]) {
        return Trouble::NotHere(refused(FailureKind::Unavailable));
    }
    if is_one_of(&["invalid auth token", "revision of auth store is old"]) {
        // The next connection begins with a login.
        return Trouble::NotHere(refused(FailureKind::Unavailable));
    }
    if is_one_of(&["requested lease not found", "lease already exists"]) {
        return Trouble::NoLease(refused(FailureKind::Unavailable));
    }
    if words == "too large lease TTL" {
        return Trouble::Final(refused(FailureKind::Invalid));
    }
    if is_one_of(&["user name is empty", "user name not found"]) {
        return with(FailureKind::Unavailable, "set username and password");
    }
    if is_one_of(&[
        "authentication failed, invalid user ID or password",
        "authentication is not enabled",
        "permission denied",
        "corrupt cluster",
        "not capable",
        "mvcc: required revision has been compacted",
        "mvcc: required revision is a future revision",
    ]) {
        return Trouble::Final(refused(FailureKind::Unavailable));
    }
    // Nobody serves a method that is not there.
    const UNIMPLEMENTED: u32 = 12;
    if code == UNIMPLEMENTED {
        return Trouble::Final(refused(FailureKind::Unavailable));
    }
    // Time-outs, a leader that changed, a server that stops: it may be in the log, and be applied later.
    unknown(intent, message)
}

fn unknown(intent: Intent, message: String) -> Trouble {
    match intent {
        Intent::Read => Trouble::NotHere(Error::new(FailureKind::Unavailable, message)),
        Intent::Write => Trouble::Final(Error::new(FailureKind::Lost, message)),
    }
}

#[cfg(test)]
mod tests {
    use state::Outcome;

    use super::*;

    fn refused(text: &str, intent: Intent) -> Trouble {
        Trouble::of(Unanswered::Refused { code: 14, message: text.to_owned() }, "etcd", intent)
    }

    #[test]
    fn what_is_not_the_time_or_the_place_for_it_was_not_applied_and_is_tried_again() {
        for text in [
            "etcdserver: too many requests",
            "etcdserver: no leader",
            "raft proposal dropped",
            "etcdserver: invalid auth token",
            "etcdserver: requested lease not found",
            "etcdserver: lease already exists",
        ] {
            let trouble = refused(text, Intent::Write);
            assert!(!matches!(trouble, Trouble::Final(_)), "{text}");
            assert_eq!(trouble.error().outcome(), Outcome::NotApplied, "{text}");
        }
    }

    #[test]
    fn what_the_server_refuses_was_not_applied() {
        for text in [
            "etcdserver: mvcc: database space exceeded",
            "etcdserver: too many operations in txn request",
            "etcdserver: request is too large",
            "grpc: received message larger than max (3000000 vs. 2097152)",
            "etcdserver: duplicate key given in txn request",
            "etcdserver: user name is empty",
            "etcdserver: authentication failed, invalid user ID or password",
            "etcdserver: permission denied",
            "etcdserver: corrupt cluster",
        ] {
            let Trouble::Final(e) = refused(text, Intent::Write) else { panic!("{text}") };
            assert_eq!(e.outcome(), Outcome::NotApplied, "{text}");
        }
    }

    #[test]
    fn what_may_be_in_the_log_is_unknown_for_a_write_and_another_try_for_a_read() {
        for text in [
            "etcdserver: request timed out",
            "etcdserver: request timed out, possibly due to previous leader failure",
            "etcdserver: request timed out, possibly due to connection lost",
            "etcdserver: leader changed",
            "etcdserver: server stopped",
            "context canceled",
            "what nobody has ever heard",
        ] {
            let Trouble::Final(e) = refused(text, Intent::Write) else { panic!("{text}") };
            assert_eq!(e.outcome(), Outcome::Unknown, "{text}");
            assert!(matches!(refused(text, Intent::Read), Trouble::NotHere(_)), "{text}");
        }
        let silence = || Unanswered::Silence("reset".to_owned());
        let write = Trouble::of(silence(), "etcd", Intent::Write).error();
        assert_eq!(write.outcome(), Outcome::Unknown);
        let not_sent = Unanswered::NotSent("refused".to_owned());
        let write = Trouble::of(not_sent, "etcd", Intent::Write).error();
        assert_eq!(write.outcome(), Outcome::NotApplied);
    }
}
