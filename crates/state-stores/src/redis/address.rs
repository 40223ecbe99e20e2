//! Where a server is.

use std::{fmt, path::PathBuf};

/// A place to connect to. Shown as users write it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Address {
    Tcp { host: String, port: u16 },
    Unix(PathBuf),
}

impl Address {
    /// Takes `host`, `host:port`, `[v6]` or `[v6]:port` apart.
    pub(super) fn split(text: &str) -> Option<(&str, Option<u16>)> {
        let (host, port) = match text.strip_prefix('[') {
            Some(rest) => {
                let (host, rest) = rest.split_once(']')?;
                (host, if rest.is_empty() { None } else { Some(rest.strip_prefix(':')?) })
            }
            None => match text.split_once(':') {
                Some((host, port)) => (host, Some(port)),
                None => (text, None),
            },
        };
        let port = match port {
            Some(it) => Some(it.parse().ok()?),
            None => None,
        };
        (!host.is_empty() && !host.contains(['/', '@'])).then_some((host, port))
    }

    /// Takes `host:port` apart, as servers write it: without brackets, whatever the host is.
    pub(super) fn told(text: &str) -> Option<Address> {
        let (host, port) = text.rsplit_once(':')?;
        // What follows is the port of the cluster's own bus.
        let port = port.split('@').next()?.parse().ok()?;
        let host = host.trim_start_matches('[').trim_end_matches(']');
        Some(Address::Tcp { host: host.to_owned(), port })
    }

    /// The host, to fill in where a server leaves out its own.
    pub(super) fn host(&self) -> &str {
        match self {
            Address::Tcp { host, .. } => host,
            Address::Unix(_) => "localhost",
        }
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Address::Tcp { host, port } if host.contains(':') => write!(f, "[{host}]:{port}"),
            Address::Tcp { host, port } => write!(f, "{host}:{port}"),
            Address::Unix(path) => write!(f, "unix://{}", path.display()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_host_may_have_a_port_and_brackets() {
        assert_eq!(Address::split("db"), Some(("db", None)));
        assert_eq!(Address::split("db:1"), Some(("db", Some(1))));
        assert_eq!(Address::split("[::1]"), Some(("::1", None)));
        assert_eq!(Address::split("[::1]:1"), Some(("::1", Some(1))));
        for wrong in ["", ":1", "db:", "db:x", "db:65536", "::1", "[::1", "redis://db", "u@db"] {
            assert_eq!(Address::split(wrong), None, "{wrong:?}");
        }
    }

    #[test]
    fn what_servers_tell_has_no_brackets_and_may_have_a_second_port() {
        let tcp = |host: &str| Some(Address::Tcp { host: host.to_owned(), port: 7000 });
        assert_eq!(Address::told("127.0.0.1:7000@17000"), tcp("127.0.0.1"));
        assert_eq!(Address::told("::1:7000"), tcp("::1"));
        assert_eq!(Address::told(":7000"), tcp(""));
        assert_eq!(tcp("::1").unwrap().to_string(), "[::1]:7000");
    }
}
