//! What an error of the server or the driver means: was it applied, and is it worth another try.

use state::{Error, FailureKind};
use tokio_postgres::error::{DbError, Severity, SqlState};

use super::{connection::NoConnection, connection_string::Causes};

/// Whether anything could have been changed.
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
    /// The same: it would have held up others, who wait for nothing.
    Locked(Error),
    /// There is nothing to be done about it.
    Final(Error),
}

impl Trouble {
    /// The error, if it is not tried again.
    pub(super) fn error(self) -> Error {
        match self {
            Trouble::NotNow(e) | Trouble::NotHere(e) | Trouble::Locked(e) | Trouble::Final(e) => e,
        }
    }

    /// What it means that a request was sent and this came back.
    pub(super) fn of(e: &tokio_postgres::Error, server: &str, intent: Intent) -> Trouble {
        match e.as_db_error() {
            Some(it) => Trouble::of_refusal(it, server, intent),
            // The connection ended, or nobody understands what came.
            None => Trouble::of_silence(&Causes(e).to_string(), server, intent),
        }
    }

    /// What it means that a connection ended after a request was sent.
    pub(super) fn of_silence(what: &str, server: &str, intent: Intent) -> Trouble {
        let message = format!("{server} gave no answer: {what}");
        match intent {
            Intent::Read => Trouble::NotHere(Error::new(FailureKind::Unavailable, message)),
            Intent::Write => Trouble::Final(Error::new(FailureKind::Lost, message)),
        }
    }

    /// What it means that no connection could be made.
    pub(super) fn of_connecting(why: &NoConnection, server: &str) -> Trouble {
        let e = match why {
            NoConnection::Refused(e) => e,
            NoConnection::Silence(time) => {
                let message = format!("{server} did not take a connection within {time:?}");
                return Trouble::NotHere(Error::new(FailureKind::Unavailable, message));
            }
        };
        let message = match e.as_db_error() {
            Some(it) => format!("{server} takes no connection: {}", words(it)),
            None => format!("{server} cannot be reached: {}", Causes(e)),
        };
        let error = Error::new(FailureKind::Unavailable, message);
        match e.as_db_error().map(|it| it.code()) {
            // Who logs in, and to what, will be the same the next time.
            Some(code)
                if code.code().starts_with("28") || *code == SqlState::INVALID_CATALOG_NAME =>
            {
                Trouble::Final(error)
            }
            _ => Trouble::NotHere(error),
        }
    }

    fn of_refusal(refusal: &DbError, server: &str, intent: Intent) -> Trouble {
        let ends_session =
            matches!(refusal.parsed_severity(), Some(Severity::Fatal | Severity::Panic));
        let message = format!("{server}: {}", words(refusal));
        Trouble::of_code(refusal.code().code(), &message, ends_session, intent)
    }

    /// Source: PostgreSQL, "Error Codes". A statement that ends with an error has its transaction rolled back; only what
    /// ends the whole session leaves open what became of it.
    fn of_code(code: &str, message: &str, ends_session: bool, intent: Intent) -> Trouble {
        let with = |kind| Error::new(kind, message.to_owned());
        let not_applied = || with(FailureKind::Unavailable);
        if ends_session {
            return match intent {
                Intent::Read => Trouble::NotHere(not_applied()),
                Intent::Write => Trouble::Final(with(FailureKind::Lost)),
            };
        }
        match code {
            // Another transaction was in the way.
            "40001" | "40P01" => Trouble::NotNow(not_applied()),
            // A lock did not come in time.
            "55P03" => Trouble::Locked(not_applied()),
            // The server takes no writes: it is a standby, or one is told to be one.
            "25006" => Trouble::NotHere(with_remedy(
                message,
                "this server takes no writes: name all servers in the connection string, so that the one that does is found",
            )),
            // The statement is another than when it was prepared, or was prepared in another session.
            "0A000" if message.contains("cached plan") => Trouble::NotHere(not_applied()),
            "26000" | "42P05" => Trouble::Final(with_remedy(
                message,
                "is there a pooler such as PgBouncer in between? Set queryExecMode to exec",
            )),
            "57014" => Trouble::Final(with_remedy(
                message,
                "the statement took longer than the timeout of the component, and was rolled back",
            )),
            "40003" => Trouble::Final(with(unknown(intent))),
            it => match &it[..2] {
                // A value or a key that the server does not take.
                "21" | "22" | "23" | "54" => Trouble::Final(with(FailureKind::Invalid)),
                // Rights, names, the state of the session, means that have run out.
                "0A" | "25" | "28" | "2D" | "2F" | "34" | "38" | "39" | "3D" | "3F" | "40"
                | "42" | "44" | "53" | "55" => Trouble::Final(not_applied()),
                _ => Trouble::Final(with(unknown(intent))),
            },
        }
    }
}

fn unknown(intent: Intent) -> FailureKind {
    match intent {
        Intent::Read => FailureKind::Unavailable,
        Intent::Write => FailureKind::Lost,
    }
}

fn with_remedy(message: &str, remedy: &str) -> Error {
    Error::new(FailureKind::Unavailable, format!("{message}; {remedy}"))
}

/// What the server says, without its details and without values, which some messages have in them.
fn words(refusal: &DbError) -> String {
    let code = refusal.code().code();
    match code.starts_with("22") || code.starts_with("23") {
        true => format!("it does not take the key or the value (SQLSTATE {code})"),
        false => format!("{} (SQLSTATE {code})", refusal.message()),
    }
}

#[cfg(test)]
mod tests {
    use state::Outcome;

    use super::*;

    fn write(code: &str) -> Trouble {
        Trouble::of_code(code, "a message", false, Intent::Write)
    }

    #[test]
    fn who_was_in_the_way_may_not_be_the_next_time() {
        for code in ["40001", "40P01"] {
            let Trouble::NotNow(e) = write(code) else { panic!("{code}") };
            assert_eq!(e.outcome(), Outcome::NotApplied, "{code}");
        }
        let Trouble::Locked(e) = write("55P03") else { panic!() };
        assert_eq!(e.outcome(), Outcome::NotApplied);
        let Trouble::NotHere(e) = write("25006") else { panic!() };
        assert!(e.outcome() == Outcome::NotApplied && e.to_string().contains("takes no writes"));
    }

    #[test]
    fn what_a_statement_ended_with_was_not_applied() {
        for code in [
            "21000", "22001", "22P02", "23505", "23514", "25P02", "26000", "28000", "3F000",
            "42501", "42P01", "53100", "53200", "53300", "54000", "55006", "57014", "0A000",
        ] {
            let Trouble::Final(e) = write(code) else { panic!("{code}") };
            assert_eq!(e.outcome(), Outcome::NotApplied, "{code}");
        }
    }

    #[test]
    fn what_ended_the_session_or_nobody_has_classified_is_unknown_for_a_write() {
        for code in ["40003", "08006", "57P01", "57P02", "58030", "XX000", "99999"] {
            assert_eq!(write(code).error().outcome(), Outcome::Unknown, "{code}");
            let read = Trouble::of_code(code, "a message", false, Intent::Read).error();
            assert_eq!(read.outcome(), Outcome::NotApplied, "{code}");
        }
        for code in ["57P01", "40001", "53100"] {
            let ended = Trouble::of_code(code, "a message", true, Intent::Write);
            assert_eq!(ended.error().outcome(), Outcome::Unknown, "{code}");
        }
    }
}
