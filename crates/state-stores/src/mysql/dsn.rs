//! The connection string: a data source name as Go's MySQL driver, which Dapr uses, has it.

use std::{fmt, path::PathBuf, time::Duration};

use state_config::GoDuration;

/// `user:password@protocol(address)/?parameter=value`, taken apart.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Dsn {
    pub(super) user: Option<String>,
    pub(super) password: Option<String>,
    pub(super) address: Address,
    pub(super) tls: TlsMode,
    /// How long a connection may take to be made.
    pub(super) connect_timeout: Option<Duration>,
    /// How long a server may take to answer.
    pub(super) read_timeout: Option<Duration>,
    /// Whether a password may be sent as it is, which some ways to log in take.
    pub(super) allows_cleartext: bool,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

/// What `tls` says.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum TlsMode {
    #[default]
    Off,
    /// With a certificate for the server's name, of an authority that the system trusts.
    Verified,
    /// The same, of an authority that the component's metadata has.
    Custom,
    /// Whoever answers.
    Unverified,
    /// The same if the server has TLS, else without.
    Preferred,
}

const PORT: u16 = 3306;

/// What only changes how Go's driver hands values to its program, or what this store always does.
const WITHOUT_EFFECT: &[&str] = &[
    "allowNativePasswords",
    "checkConnLiveness",
    "clientFoundRows",
    "collation",
    "columnsWithAlias",
    "compress",
    "connectionAttributes",
    "interpolateParams",
    "loc",
    "maxAllowedPacket",
    "multiStatements",
    "parseTime",
    "rejectReadOnly",
    "timeTruncate",
    "writeTimeout",
];

impl Dsn {
    /// # Errors
    ///
    /// What is wrong, without any of the text, which has a password.
    pub(super) fn parse(text: &str) -> Result<Dsn, String> {
        // Source: Go's driver, ParseDSN: the last slash ends the address, and the last @ before it the login, so that a
        // password may have both.
        let (left, right) = text.rsplit_once('/').ok_or(
            "connectionString has no slash after the address: write user:password@tcp(host:3306)/",
        )?;
        let (login, rest) = match left.rsplit_once('@') {
            Some((login, rest)) => (Some(login), rest),
            None => (None, left),
        };
        let (user, password) = match login.map(|it| it.split_once(':').unwrap_or((it, ""))) {
            Some((user, password)) => (some(user), some(password)),
            None => (None, None),
        };
        let (database, parameters) = right.split_once('?').unwrap_or((right, ""));
        if !database.is_empty() {
            return Err(
                "connectionString must not name a database: name it with schemaName, and leave nothing between \
                 the last slash and the question mark"
                    .to_owned(),
            );
        }
        let mut dsn = Dsn {
            user,
            password,
            address: address(rest)?,
            tls: TlsMode::default(),
            connect_timeout: None,
            read_timeout: None,
            allows_cleartext: false,
        };
        for parameter in parameters.split('&').filter(|it| !it.is_empty()) {
            let (name, value) = parameter.split_once('=').unwrap_or((parameter, ""));
            dsn.set(name, value)?;
        }
        Ok(dsn)
    }

    fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        match name {
            "tls" => self.tls = tls_mode(value)?,
            "timeout" => self.connect_timeout = duration(name, value)?,
            "readTimeout" => self.read_timeout = duration(name, value)?,
            "allowCleartextPasswords" => self.allows_cleartext = switch(name, value)?,
            "charset" if value.split(',').any(|it| it.eq_ignore_ascii_case("utf8mb4")) => {}
            "charset" => {
                return Err(
                    "charset in connectionString must be utf8mb4, which has every character"
                        .to_owned(),
                );
            }
            _ if WITHOUT_EFFECT.contains(&name) => {}
            _ => {
                // Go's driver would take it for a variable of the session. Those that matter are set by this store.
                let name: String =
                    name.chars().filter(|it| it.is_ascii_alphanumeric() || *it == '_').collect();
                return Err(format!(
                    "connectionString has the parameter {name:?}, which is not supported: remove it (the session's \
                     variables are set by the store; a server's own belong into its configuration)"
                ));
            }
        }
        Ok(())
    }
}

fn some(text: &str) -> Option<String> {
    (!text.is_empty()).then(|| text.to_owned())
}

fn address(text: &str) -> Result<Address, String> {
    let (protocol, inner) = match text.split_once('(') {
        Some((protocol, rest)) => {
            let inner = rest.strip_suffix(')').ok_or("connectionString has a ( without a )")?;
            (protocol, inner)
        }
        None => (text, ""),
    };
    match protocol {
        "" | "tcp" => tcp(inner),
        "unix" if inner.is_empty() => Ok(Address::Unix(PathBuf::from("/tmp/mysql.sock"))),
        "unix" => Ok(Address::Unix(PathBuf::from(inner))),
        _ => Err("the protocol in connectionString must be tcp or unix, as in user:password@tcp(host:3306)/"
            .to_owned()),
    }
}

fn tcp(text: &str) -> Result<Address, String> {
    let malformed = || "the address in connectionString must be host:port".to_owned();
    let (host, port) = if let Some(rest) = text.strip_prefix('[') {
        let (host, rest) = rest.split_once(']').ok_or_else(malformed)?;
        (host, rest.strip_prefix(':'))
    } else {
        match text.rsplit_once(':') {
            // An address of IPv6 without its brackets.
            Some((host, _)) if host.contains(':') => (text, None),
            Some((host, port)) => (host, Some(port)),
            None => (text, None),
        }
    };
    let port = port.map_or(Ok(PORT), |it| it.parse().map_err(|_| malformed()))?;
    let host = if host.is_empty() { "127.0.0.1" } else { host };
    Ok(Address::Tcp { host: host.to_owned(), port })
}

fn tls_mode(value: &str) -> Result<TlsMode, String> {
    match value.to_ascii_lowercase().as_str() {
        "false" | "0" => Ok(TlsMode::Off),
        "true" | "1" => Ok(TlsMode::Verified),
        "skip-verify" => Ok(TlsMode::Unverified),
        "preferred" => Ok(TlsMode::Preferred),
        "custom" => Ok(TlsMode::Custom),
        _ => Err("tls in connectionString must be true, false, skip-verify, preferred or custom"
            .to_owned()),
    }
}

fn duration(name: &str, value: &str) -> Result<Option<Duration>, String> {
    let duration = GoDuration::parse(value).and_then(GoDuration::to_duration);
    let duration = duration
        .ok_or_else(|| format!("{name} in connectionString must be a duration such as 5s"))?;
    // Zero is none, as in Go.
    Ok(Some(duration).filter(|it| !it.is_zero()))
}

fn switch(name: &str, value: &str) -> Result<bool, String> {
    match value {
        "true" | "1" => Ok(true),
        "false" | "0" => Ok(false),
        _ => Err(format!("{name} in connectionString must be true or false")),
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "{}", path.display()),
        }
    }
}

impl fmt::Debug for Dsn {
    /// Hides the login.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Dsn").field("address", &self.address).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp_of(text: &str) -> (String, u16) {
        match Dsn::parse(text).unwrap().address {
            Address::Tcp { host, port } => (host, port),
            other => panic!("{text}: {other:?}"),
        }
    }

    #[test]
    fn a_login_may_have_any_character() {
        let dsn = Dsn::parse("app:p@ss/w:rd?&=@tcp(db:3307)/?tls=true").unwrap();
        assert_eq!(dsn.user.as_deref(), Some("app"));
        assert_eq!(dsn.password.as_deref(), Some("p@ss/w:rd?&="));
        assert_eq!(dsn.address, Address::Tcp { host: "db".to_owned(), port: 3307 });
        assert_eq!(dsn.tls, TlsMode::Verified);
        assert!(!format!("{dsn:?}").contains("p@ss"));
    }

    #[test]
    fn addresses_are_found_in_every_form() {
        assert_eq!(tcp_of("root@tcp(db)/"), ("db".to_owned(), 3306));
        assert_eq!(tcp_of("root@tcp([::1]:3307)/"), ("::1".to_owned(), 3307));
        assert_eq!(tcp_of("root@tcp([::1])/"), ("::1".to_owned(), 3306));
        assert_eq!(tcp_of("root@/"), ("127.0.0.1".to_owned(), 3306));
        assert_eq!(tcp_of("/"), ("127.0.0.1".to_owned(), 3306));
        let dsn = Dsn::parse("root:a@unix(/run/mysqld/mysqld.sock)/?timeout=5s").unwrap();
        assert_eq!(dsn.address, Address::Unix("/run/mysqld/mysqld.sock".into()));
        assert_eq!(dsn.connect_timeout, Some(Duration::from_secs(5)));
    }

    #[test]
    fn what_cannot_be_honoured_is_refused_without_showing_it() {
        for (text, word) in [
            ("app:secret@tcp(db:3306)", "slash"),
            ("app:secret@tcp(db:3306)/shop", "schemaName"),
            ("app:secret@tcp(db:3306/", "without a )"),
            ("app:secret@tcp(db:port)/", "host:port"),
            ("app:secret@pipe(db)/", "tcp or unix"),
            ("app:secret@tcp(db)/?tls=mine", "skip-verify"),
            ("app:secret@tcp(db)/?timeout=soon", "duration"),
            ("app:secret@tcp(db)/?charset=latin1", "utf8mb4"),
            ("app:secret@tcp(db)/?sql_mode=ANSI", "sql_mode"),
            ("app:secret@tcp(db)/?allowCleartextPasswords=maybe", "true or false"),
        ] {
            let error = Dsn::parse(text).unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
            assert!(!error.contains("secret"), "{error}");
        }
    }

    #[test]
    fn what_makes_no_difference_here_is_taken() {
        let dsn =
            Dsn::parse("root@tcp(db)/?parseTime=true&charset=utf8mb4,utf8&loc=Local&tls=false");
        assert_eq!(dsn.unwrap().tls, TlsMode::Off);
    }
}
