//! What an error of the server's means: whether anything was done, and what to do now.

use redis::ServerError;
use state::{Error, FailureKind};

use super::{address::Address, line::Silence};

/// What to make of an error reply.
#[derive(Debug)]
pub(super) enum Refusal {
    /// The server does not know the script, and has done nothing. It takes its text.
    NoScript,
    /// Another server has the key, for good.
    Moved(Address),
    /// Another server has the key, for this once.
    Ask(Address),
    /// The server takes no writes because it is a replica now.
    Demoted(Error),
    /// Certainly nothing was done, and it may work soon, perhaps with another server.
    NotNow(Error),
    /// No use in trying again.
    Final(Error),
}

/// Whether an operation changes anything, so that it matters whether it was carried out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Intent {
    Read,
    Write,
}

impl Refusal {
    /// Classifies an error that `server` has replied with.
    pub(super) fn of(error: &ServerError, server: &Address, intent: Intent) -> Refusal {
        let detail = error.details().unwrap_or_default();
        match error.code() {
            // The script says that it has written nothing, whatever the reason.
            "REFUSED" => {
                let (code, detail) = detail.split_once(' ').unwrap_or((detail, ""));
                Refusal::classify(code, detail, server, FailureKind::Unavailable)
            }
            code => {
                // Whoever is not on the list may have done something.
                let otherwise = match intent {
                    Intent::Read => FailureKind::Unavailable,
                    Intent::Write => FailureKind::Lost,
                };
                Refusal::classify(code, detail, server, otherwise)
            }
        }
    }

    /// The error, for those who do not send again.
    pub(super) fn error(self) -> Error {
        match self {
            Refusal::Demoted(e) | Refusal::NotNow(e) | Refusal::Final(e) => e,
            Refusal::NoScript | Refusal::Moved(_) | Refusal::Ask(_) => {
                Error::new(FailureKind::Unavailable, "redis points to another server: try again")
            }
        }
    }

    fn classify(code: &str, detail: &str, server: &Address, otherwise: FailureKind) -> Refusal {
        let say = |what: &str| format!("redis at {server} {what}");
        let not_now = |what| Refusal::NotNow(Error::new(FailureKind::Unavailable, say(what)));
        let no = |what: &str| Refusal::Final(Error::new(FailureKind::Unavailable, say(what)));
        match code {
            "NOSCRIPT" => Refusal::NoScript,
            "MOVED" => {
                elsewhere(detail, server).map_or_else(|| not_now("moves keys"), Refusal::Moved)
            }
            "ASK" => elsewhere(detail, server).map_or_else(|| not_now("moves keys"), Refusal::Ask),
            "TRYAGAIN" => not_now("is moving some of the keys to another server: try again"),
            "CLUSTERDOWN" => {
                not_now("says that the cluster is down, or has no server for this key")
            }
            "MASTERDOWN" => not_now("has lost the server that it follows"),
            "LOADING" => not_now("is loading its data: try again when it has"),
            "READONLY" => Refusal::Demoted(Error::new(
                FailureKind::Unavailable,
                say("is a replica, which takes no writes: is redisHost the primary?"),
            )),
            "BUSY" => not_now("is busy with somebody's script: wait, or end that with SCRIPT KILL"),
            "NOREPLICAS" => not_now(
                "takes no writes without replicas (min-replicas-to-write): start them, or wait for them",
            ),
            "OOM" => {
                no("is at its maxmemory and takes no more writes: free memory, or raise maxmemory")
            }
            "MISCONF" => no("takes no writes because it cannot save to its disk: see its log"),
            "NOAUTH" | "WRONGPASS" => {
                no("refused the login: check redisUsername and redisPassword")
            }
            "NOPERM" => no(NO_RIGHT),
            "CROSSSLOT" => Refusal::Final(Error::new(
                FailureKind::Invalid,
                say("is a cluster, in which the keys of a transaction must be in one slot"),
            )),
            _ if otherwise == FailureKind::Unavailable && is_denial(detail) => no(NO_RIGHT),
            _ => {
                // What follows are keys and values.
                let detail = detail.split(", with args").next().unwrap_or_default();
                let detail: String = detail.chars().take(DETAIL_LEN_MAX).collect();
                let message = say(&format!("reported an error: {code} {detail}"));
                Refusal::Final(Error::new(otherwise, message))
            }
        }
    }
}

const NO_RIGHT: &str = "does not permit this to the user of redisUsername: it takes the rights +@scripting and the \
                        commands of docs/stores/redis.md, on all keys of the application";

/// How much is shown of an error that nobody has classified.
const DETAIL_LEN_MAX: usize = 200;

/// Whether a command inside of a script was not permitted, which has no code of its own: as Redis 6 and 7 say it,
/// and Valkey and later versions.
fn is_denial(detail: &str) -> bool {
    detail.contains("executing the script can't") || detail.starts_with("ACL failure")
}

/// Reads `SLOT HOST:PORT`. A server that leaves out the host means its own.
fn elsewhere(detail: &str, server: &Address) -> Option<Address> {
    let (_, address) = detail.split_once(' ')?;
    match Address::told(address)? {
        Address::Tcp { host, port } if host.is_empty() => {
            Some(Address::Tcp { host: server.host().to_owned(), port })
        }
        address => Some(address),
    }
}

impl Silence {
    /// What no reply at all means: for a read, that nothing was learned.
    pub(super) fn error(self, intent: Intent) -> Error {
        match (self, intent) {
            (Silence::NotSent(message), _) | (Silence::Lost(message), Intent::Read) => {
                Error::new(FailureKind::Unavailable, message)
            }
            (Silence::Lost(message), Intent::Write) => Error::new(FailureKind::Lost, message),
        }
    }
}

#[cfg(test)]
mod tests {
    use redis::{Value, parse_redis_value};
    use state::Outcome;

    use super::*;

    fn refusal(line: &str, intent: Intent) -> Refusal {
        let Ok(Value::ServerError(error)) = parse_redis_value(format!("-{line}\r\n").as_bytes())
        else {
            panic!("{line} is no error");
        };
        Refusal::of(&error, &Address::Tcp { host: "h".to_owned(), port: 1 }, intent)
    }

    #[test]
    fn what_the_server_refuses_was_not_applied() {
        let refusals = [
            "LOADING Redis is loading the dataset in memory",
            "READONLY You can't write against a read only replica.",
            "TRYAGAIN Multiple keys request during rehashing of slot",
            "CLUSTERDOWN Hash slot not served",
            "BUSY Redis is busy running a script.",
            "NOREPLICAS Not enough good replicas to write.",
            "MASTERDOWN Link with MASTER is down",
            "OOM command not allowed when used memory > 'maxmemory'.",
            "MISCONF Redis is configured to save RDB snapshots",
            "NOAUTH Authentication required.",
            "NOPERM this user has no permissions to run the 'evalsha' command",
            "CROSSSLOT Keys in request don't hash to the same slot",
        ];
        for line in refusals {
            let outcome = match refusal(line, Intent::Write) {
                Refusal::Demoted(e) | Refusal::NotNow(e) | Refusal::Final(e) => e.outcome(),
                other => panic!("{line}: {other:?}"),
            };
            assert_eq!(outcome, Outcome::NotApplied, "{line}");
        }
    }

    #[test]
    fn what_nobody_has_classified_is_unknown_for_a_write() {
        for line in ["ERR something", "PARTLY OOM after a write", "FANCY new"] {
            let Refusal::Final(e) = refusal(line, Intent::Write) else { panic!("{line}") };
            assert_eq!(e.outcome(), Outcome::Unknown, "{line}");
            let Refusal::Final(e) = refusal(line, Intent::Read) else { panic!("{line}") };
            assert_eq!(e.outcome(), Outcome::NotApplied, "{line}");
        }
    }

    #[test]
    fn what_the_script_refused_was_not_applied_whatever_it_was() {
        for (line, word) in [
            ("REFUSED READONLY You can't write against a read only replica.", "replica"),
            ("REFUSED OOM command not allowed when used memory > 'maxmemory'.", "maxmemory"),
            ("REFUSED ERR The user executing the script can't run this command", "permit"),
            ("REFUSED The user executing the script can't run this command", "permit"),
            ("REFUSED ERR ACL failure in script: User me has no permissions to run it", "permit"),
            ("REFUSED FANCY new", "FANCY new"),
            (
                "REFUSED ERR unknown command `X`, with args beginning with: `secret`",
                "unknown command",
            ),
        ] {
            let (Refusal::Demoted(e) | Refusal::NotNow(e) | Refusal::Final(e)) =
                refusal(line, Intent::Write)
            else {
                panic!("{line}")
            };
            assert_eq!(e.outcome(), Outcome::NotApplied, "{line}");
            assert!(e.to_string().contains(word) && !e.to_string().contains("secret"), "{e}");
        }
    }

    #[test]
    fn redirections_name_the_server() {
        let Refusal::Moved(to) = refusal("MOVED 3999 127.0.0.1:6381", Intent::Read) else {
            panic!()
        };
        assert_eq!(to.to_string(), "127.0.0.1:6381");
        let Refusal::Ask(to) = refusal("ASK 3999 :6381", Intent::Read) else { panic!() };
        assert_eq!(to.to_string(), "h:6381");
    }
}
