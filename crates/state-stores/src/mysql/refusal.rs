//! What an error means: whether anything was done, and whether to try again.

use mysql_async::{DriverError, Error as Cause, IoError, ServerError};
use state::{Conflict, Error, FailureKind};

use super::dsn::Address;

/// Why an attempt did not succeed.
#[derive(Debug)]
pub(super) enum Halt {
    /// A condition was compared, and does not hold.
    Conflict(Conflict),
    Refused(Refusal),
}

/// A failure, and what can be made of it.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) error: Error,
    pub(super) remedy: Remedy,
}

/// What helps against a failure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Remedy {
    /// Nothing that can be done here.
    Nothing,
    /// Trying again for as long as there is time: others were in the way, and nothing was applied.
    Patience,
    /// The same, and each attempt may wait for a lock as long as the server lets it.
    LongPatience,
    /// Trying again a few times, perhaps with another connection: nothing was applied.
    AnotherTry,
    /// The text in another form: the column does not take it as JSON. Nothing was applied.
    BinaryForm,
    /// New connections: the server takes no writes, and another may at its address. Nothing was applied.
    AnotherServer,
}

/// How far an attempt had come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There was no connection yet.
    Connect,
    /// Nothing was asked but what a statement means.
    Prepare,
    /// Nothing that is asked changes anything.
    Read,
    /// Inside of a transaction that nobody has committed: whatever went wrong, the server rolls it back.
    Within,
    /// A statement that is a transaction of its own.
    Write,
    /// The end of a transaction.
    Commit,
}

impl Stage {
    /// What it means that nobody knows what became of a request.
    fn silence(self) -> FailureKind {
        match self {
            Stage::Connect | Stage::Prepare | Stage::Read | Stage::Within => {
                FailureKind::Unavailable
            }
            Stage::Write | Stage::Commit => FailureKind::Lost,
        }
    }

    /// Whether something was asked that changes rows.
    fn changes(self) -> bool {
        matches!(self, Stage::Within | Stage::Write | Stage::Commit)
    }

    /// What helps against an end of the connection.
    fn remedy(self) -> Remedy {
        match self.silence() {
            FailureKind::Lost => Remedy::Nothing,
            _ => Remedy::AnotherTry,
        }
    }
}

impl Refusal {
    /// Classifies what the driver says about `server`.
    pub(super) fn of(cause: &Cause, server: &Address, stage: Stage) -> Refusal {
        let say = |what: &str| format!("mysql at {server} {what}");
        match cause {
            Cause::Server(e) => Refusal::by_server(e, server, stage),
            Cause::Io(IoError::Tls(e)) => Refusal::new(
                stage.silence(),
                say(&format!(
                    "cannot be talked to with TLS: {e} (tls in connectionString, pemPath)"
                )),
                Remedy::Nothing,
            ),
            Cause::Driver(e) if is_about_the_login(e) => Refusal::new(
                stage.silence(),
                say(&format!("cannot be logged in to: {e}")),
                Remedy::Nothing,
            ),
            _ if stage == Stage::Connect => Refusal::new(
                FailureKind::Unavailable,
                say(&format!("cannot be reached: {}", detail(cause))),
                Remedy::AnotherTry,
            ),
            _ => Refusal::new(
                stage.silence(),
                say(&format!("was lost before it answered: {}", detail(cause))),
                stage.remedy(),
            ),
        }
    }

    /// What no answer in time means.
    pub(super) fn too_late(
        server: &Address,
        stage: Stage,
        timeout: std::time::Duration,
    ) -> Refusal {
        let message = match stage {
            Stage::Connect => {
                format!("mysql at {server} did not take a connection within {timeout:?}")
            }
            _ => format!("mysql at {server} gave no answer within {timeout:?}"),
        };
        Refusal::new(stage.silence(), message, Remedy::Nothing)
    }

    pub(super) fn new(kind: FailureKind, message: String, remedy: Remedy) -> Refusal {
        Refusal { error: Error::new(kind, message), remedy }
    }

    fn by_server(e: &ServerError, server: &Address, stage: Stage) -> Refusal {
        use FailureKind::{Invalid, Unavailable};
        let because = |kind, what: &str, remedy| {
            Refusal::new(kind, format!("mysql at {server} {what} (error {})", e.code), remedy)
        };
        match e.code {
            // Rolled back whole by the server. 1020 is said where a snapshot is held against later commits.
            1213 | 1020 => because(
                Unavailable,
                "found a deadlock with somebody else's transaction",
                Remedy::Patience,
            ),
            1205 => because(
                Unavailable,
                "waited too long for a lock of somebody else's transaction: see SHOW ENGINE INNODB STATUS",
                Remedy::LongPatience,
            ),
            1040 | 1203 | 1226 => because(
                Unavailable,
                "has as many connections as it may have: raise its max_connections, or lower maxConns",
                Remedy::AnotherTry,
            ),
            1045 | 1698 | 1251 | 1820 | 1862 | 3118 | 3948 | 4151 => because(
                Unavailable,
                "refused the login: check user and password in connectionString",
                Remedy::Nothing,
            ),
            1129 | 1130 => {
                because(Unavailable, "takes no connections from this host", Remedy::Nothing)
            }
            1044 | 1142 | 1143 | 1227 | 1370 => because(
                Unavailable,
                "does not permit this to the user in connectionString: it takes SELECT, INSERT, UPDATE and DELETE on \
                 the tables, and CREATE, ALTER and INDEX to make them",
                Remedy::Nothing,
            ),
            1049 | 1146 | 1054 => because(
                Unavailable,
                "has lost the database, the table or a column of it since the start: restart to have it made",
                Remedy::Nothing,
            ),
            1290 | 1792 | 1836 => because(
                Unavailable,
                "takes no writes (read_only): is connectionString the address of a replica?",
                Remedy::AnotherServer,
            ),
            // A commit that comes upon it may be there all the same, and a row that was to be changed may be gone: MariaDB
            // loses some. See tests/mariadb_full_disk.py.
            1021 | 1114 => because(
                if stage.changes() { FailureKind::Lost } else { Unavailable },
                "has no space left: free its disk, or let its tablespace grow, and look whether the rows are there",
                Remedy::Nothing,
            ),
            5 | 1037 | 1038 | 1041 => because(Unavailable, "is out of memory", Remedy::Nothing),
            1047 => because(Unavailable, "is no working member of its cluster", Remedy::AnotherTry),
            1153 | 1301 => because(
                Invalid,
                "takes no request of this size: make the value smaller, or raise its max_allowed_packet",
                Remedy::Nothing,
            ),
            3140 | 3141 | 3156 | 4025 => {
                because(Invalid, "does not take the value as JSON", Remedy::BinaryForm)
            }
            1264 | 1292 | 1366 | 1406 => because(
                Invalid,
                "does not take the key or the value: it does not fit its column",
                Remedy::Nothing,
            ),
            1665 => because(
                Unavailable,
                "has binlog_format STATEMENT, with which it takes no writes at READ COMMITTED: set it to ROW or MIXED",
                Remedy::Nothing,
            ),
            1461 => because(
                Unavailable,
                "has as many prepared statements as it may have: raise its max_prepared_stmt_count",
                Remedy::Nothing,
            ),
            // The connection was ended before the request was read, or has lost its statements.
            1243 | 1615 | 4031 => because(Unavailable, "has ended the session", Remedy::AnotherTry),
            // These are also said of a statement that was interrupted after it had been carried out.
            1053 | 1077 | 1079 | 1317 | 1927 | 1969 | 3024 | 3169 => {
                because(stage.silence(), "interrupted the request", stage.remedy())
            }
            // Not the message, which may show a key or a value.
            _ => because(
                stage.silence(),
                &format!("reported an error: SQLSTATE {}", e.state),
                Remedy::Nothing,
            ),
        }
    }
}

fn is_about_the_login(e: &DriverError) -> bool {
    matches!(
        e,
        DriverError::UnknownAuthPlugin { .. }
            | DriverError::MysqlOldPasswordDisabled
            | DriverError::NoClientSslFlagFromServer
            | DriverError::CleartextPluginDisabled
    )
}

/// The innermost words for it: the driver's own are about itself.
fn detail(cause: &Cause) -> String {
    match cause {
        Cause::Io(IoError::Io(e)) => e.to_string(),
        Cause::Driver(e) => e.to_string(),
        other => other.to_string(),
    }
}

impl From<Conflict> for Halt {
    fn from(it: Conflict) -> Halt {
        Halt::Conflict(it)
    }
}

impl From<Refusal> for Halt {
    fn from(it: Refusal) -> Halt {
        Halt::Refused(it)
    }
}

#[cfg(test)]
mod tests {
    use std::io;

    use state::Outcome;

    use super::*;

    fn server() -> Address {
        Address::Tcp { host: "h".to_owned(), port: 1 }
    }

    fn refusal(code: u16, stage: Stage) -> Refusal {
        let (message, state) = ("Duplicate entry 'secret'".to_owned(), "HY000".to_owned());
        Refusal::of(&Cause::Server(ServerError { code, message, state }), &server(), stage)
    }

    #[test]
    fn what_the_server_refuses_was_not_applied() {
        let refused = [
            (1213, Remedy::Patience),
            (1205, Remedy::LongPatience),
            (1040, Remedy::AnotherTry),
            (1203, Remedy::AnotherTry),
            (1226, Remedy::AnotherTry),
            (1045, Remedy::Nothing),
            (1142, Remedy::Nothing),
            (1146, Remedy::Nothing),
            (1290, Remedy::AnotherServer),
            (1792, Remedy::AnotherServer),
            (1153, Remedy::Nothing),
            (1406, Remedy::Nothing),
            (4025, Remedy::BinaryForm),
            (3140, Remedy::BinaryForm),
            (1665, Remedy::Nothing),
            (1461, Remedy::Nothing),
            (4031, Remedy::AnotherTry),
        ];
        for (code, remedy) in refused {
            let refusal = refusal(code, Stage::Write);
            assert_eq!(refusal.error.outcome(), Outcome::NotApplied, "{code}");
            assert_eq!(refusal.remedy, remedy, "{code}");
            let text = refusal.error.to_string();
            assert!(text.contains(&code.to_string()) && !text.contains("secret"), "{text}");
        }
    }

    #[test]
    fn what_becomes_of_a_write_for_which_there_is_no_space_is_unknown() {
        for code in [1021, 1114] {
            for stage in [Stage::Write, Stage::Within, Stage::Commit] {
                let refusal = refusal(code, stage);
                assert_eq!(refusal.error.outcome(), Outcome::Unknown, "{code}");
                assert_eq!(refusal.remedy, Remedy::Nothing, "{code}");
            }
            assert_eq!(refusal(code, Stage::Read).error.outcome(), Outcome::NotApplied, "{code}");
        }
    }

    #[test]
    fn what_was_interrupted_is_unknown_for_a_write_and_nothing_else() {
        for code in [1053, 1317, 1927, 1969, 3024, 1180, 1030, 1062, 9999] {
            for stage in [Stage::Write, Stage::Commit] {
                let refusal = refusal(code, stage);
                assert_eq!(refusal.error.outcome(), Outcome::Unknown, "{code}");
                assert_eq!(refusal.remedy, Remedy::Nothing, "{code}");
            }
            for stage in [Stage::Read, Stage::Within, Stage::Prepare, Stage::Connect] {
                assert_eq!(refusal(code, stage).error.outcome(), Outcome::NotApplied, "{code}");
            }
        }
    }

    #[test]
    fn a_lost_connection_is_unknown_once_something_that_counts_was_sent() {
        let lost = |stage| {
            let cause = Cause::from(io::Error::from(io::ErrorKind::ConnectionReset));
            Refusal::of(&cause, &server(), stage)
        };
        for stage in [Stage::Write, Stage::Commit] {
            assert_eq!(lost(stage).error.outcome(), Outcome::Unknown);
            assert_eq!(lost(stage).remedy, Remedy::Nothing);
        }
        for stage in [Stage::Read, Stage::Within, Stage::Prepare, Stage::Connect] {
            assert_eq!(lost(stage).error.outcome(), Outcome::NotApplied);
            assert_eq!(lost(stage).remedy, Remedy::AnotherTry);
        }
        let text = lost(Stage::Connect).error.to_string();
        assert!(text.starts_with("mysql at h:1 cannot be reached: "), "{text}");
    }

    #[test]
    fn silence_means_the_same_as_a_lost_connection() {
        let late = |stage| Refusal::too_late(&server(), stage, std::time::Duration::from_secs(1));
        assert_eq!(late(Stage::Commit).error.outcome(), Outcome::Unknown);
        assert_eq!(late(Stage::Within).error.outcome(), Outcome::NotApplied);
        assert!(late(Stage::Connect).error.to_string().contains("did not take a connection"));
    }
}
