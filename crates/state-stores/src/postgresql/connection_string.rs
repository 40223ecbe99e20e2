//! Connection strings: the URLs, and the lists of keywords, that libpq takes.

use std::{fmt, str::FromStr};

use percent_encoding::{NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use tokio_postgres::Config;

/// Options of libpq that change how a server is reached or trusted, and that nothing here implements: to pass them over
/// would be to promise what they ask for.
const UNSUPPORTED: &[&str] = &[
    "gssdelegation",
    "gssencmode",
    "gsslib",
    "krbsrvname",
    "passfile",
    "replication",
    "require_auth",
    "requirepeer",
    "service",
    "servicefile",
    "ssl_max_protocol_version",
    "ssl_min_protocol_version",
    "sslcertmode",
    "sslcrl",
    "sslcrldir",
    "sslpassword",
];

/// Options that mean nothing to this store: of pgx, which Dapr uses, and of its pool, and how libpq treats old servers.
const WITHOUT_EFFECT: &[&str] = &[
    "client_encoding",
    "description_cache_capacity",
    "fallback_application_name",
    "pool_health_check_period",
    "pool_max_conn_lifetime",
    "pool_max_conn_lifetime_jitter",
    "pool_min_conns",
    "pool_min_idle_conns",
    "sslcompression",
    "sslsni",
    "statement_cache_capacity",
];

/// What the driver itself understands. Source: the documentation of `tokio_postgres::Config`.
const DRIVER: &[&str] = &[
    "application_name",
    "channel_binding",
    "connect_timeout",
    "dbname",
    "host",
    "hostaddr",
    "keepalives",
    "keepalives_idle",
    "keepalives_interval",
    "keepalives_retries",
    "load_balance_hosts",
    "options",
    "password",
    "port",
    "sslnegotiation",
    "target_session_attrs",
    "tcp_user_timeout",
    "user",
];

/// A connection string in parts.
pub(super) struct ConnectionString {
    /// A URL up to its `?`.
    base: Option<String>,
    options: Vec<(String, String)>,
}

impl ConnectionString {
    /// Takes a string apart, without looking at what the options mean.
    ///
    /// # Errors
    ///
    /// In words for the user, without any of the text.
    pub(super) fn parse(text: &str) -> Result<ConnectionString, String> {
        if text.starts_with("postgres://") || text.starts_with("postgresql://") {
            let (base, query) = text.split_once('?').unwrap_or((text, ""));
            let parts = query.split('&').filter(|it| !it.is_empty());
            let options: Result<_, String> = parts.map(option_of_url).collect();
            return Ok(ConnectionString { base: Some(base.to_owned()), options: options? });
        }
        Ok(ConnectionString { base: None, options: keywords(text)? })
    }

    /// Whether the server is named by a URL, so that no option can replace it.
    pub(super) fn is_url(&self) -> bool {
        self.base.is_some()
    }

    /// Removes an option. Of several, the last counts, as for libpq.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let mut last = None;
        self.options.retain_mut(|(it, value)| {
            if it != name {
                return true;
            }
            last = Some(std::mem::take(value));
            false
        });
        last
    }

    /// Replaces an option, or adds it.
    pub(super) fn set(&mut self, name: &str, value: String) {
        self.take(name);
        self.options.push((name.to_owned(), value));
    }

    /// What the driver needs to connect. Options that nobody here knows become settings of the session, as they do for
    /// pgx.
    ///
    /// # Errors
    ///
    /// In words for the user, without any value.
    pub(super) fn into_config(mut self) -> Result<Config, String> {
        if let Some((name, _)) = self.options.iter().find(|(it, _)| UNSUPPORTED.contains(&&**it)) {
            return Err(format!("the option {name} of connectionString is not supported"));
        }
        self.options.retain(|(it, _)| !WITHOUT_EFFECT.contains(&&**it));
        let (known, session): (Vec<_>, Vec<_>) = std::mem::take(&mut self.options)
            .into_iter()
            .partition(|(it, _)| DRIVER.contains(&&**it));
        self.options = known;
        if !session.is_empty() {
            let mut words = self.take("options").into_iter().collect::<Vec<_>>();
            words.extend(session.iter().map(|(name, value)| session_setting(name, value)));
            self.set("options", words.join(" "));
        }
        let parsed = Config::from_str(&self.to_string());
        parsed.map_err(|e| format!("connectionString is not right: {}", Causes(&e)))
    }
}

/// As the driver reads it.
impl fmt::Display for ConnectionString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(base) = &self.base {
            f.write_str(base)?;
        }
        for (i, (name, value)) in self.options.iter().enumerate() {
            match self.base {
                Some(_) => {
                    let value = utf8_percent_encode(value, NON_ALPHANUMERIC);
                    write!(f, "{}{name}={value}", if i == 0 { '?' } else { '&' })?;
                }
                None => {
                    let value = value.replace('\\', r"\\").replace('\'', r"\'");
                    write!(f, "{name}='{value}' ")?;
                }
            }
        }
        Ok(())
    }
}

/// An error and what caused it, in one line.
pub(super) struct Causes<'a>(pub(super) &'a dyn std::error::Error);

impl fmt::Display for Causes<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut cause = self.0.source();
        while let Some(it) = cause {
            write!(f, ": {it}")?;
            cause = it.source();
        }
        Ok(())
    }
}

/// Source: libpq, "options": words are apart by spaces, which a backslash keeps.
fn session_setting(name: &str, value: &str) -> String {
    let value = value.replace('\\', r"\\").replace(' ', r"\ ");
    format!("-c {name}={value}")
}

fn option_of_url(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    let decode = |it: &str| {
        let decoded = percent_decode_str(it).decode_utf8().map(|it| it.into_owned());
        decoded.map_err(|_| "connectionString has an option that is not UTF-8".to_owned())
    };
    Ok((decode(name)?, decode(value)?))
}

/// Source: libpq, "Keyword/Value Connection Strings".
fn keywords(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut options = Vec::new();
    let mut rest = text.trim_start();
    while !rest.is_empty() {
        let (name, after) = rest.split_once('=').ok_or(
            "connectionString is neither a URL, postgres://..., nor a list of keyword=value",
        )?;
        let (value, after) = value(after.trim_start())?;
        options.push((name.trim().to_owned(), value));
        rest = after.trim_start();
    }
    Ok(options)
}

fn value(text: &str) -> Result<(String, &str), String> {
    let quoted = text.starts_with('\'');
    let mut value = String::new();
    let mut letters = text.char_indices().skip(usize::from(quoted));
    while let Some((at, letter)) = letters.next() {
        match letter {
            '\\' => value.extend(letters.next().map(|(_, it)| it)),
            '\'' if quoted => return Ok((value, &text[at + 1..])),
            it if it.is_whitespace() && !quoted => return Ok((value, &text[at..])),
            it => value.push(it),
        }
    }
    if quoted {
        return Err("connectionString has a quote that is not closed".to_owned());
    }
    Ok((value, ""))
}

#[cfg(test)]
mod tests {
    use tokio_postgres::config::Host;

    use super::*;

    fn config(text: &str) -> Config {
        ConnectionString::parse(text).unwrap().into_config().unwrap()
    }

    #[test]
    fn urls_and_keywords_mean_the_same() {
        for text in [
            "postgres://me:p%40s%20s@one:5433/shop?application_name=a%20b&connect_timeout=3",
            r"user=me password='p@s s' host=one port=5433 dbname=shop application_name=a\ b connect_timeout = 3",
        ] {
            let config = config(text);
            assert_eq!(config.get_user(), Some("me"));
            assert_eq!(config.get_password(), Some(&b"p@s s"[..]));
            assert_eq!(config.get_hosts(), [Host::Tcp("one".to_owned())]);
            assert_eq!(config.get_ports(), [5433]);
            assert_eq!(config.get_dbname(), Some("shop"));
            assert_eq!(config.get_application_name(), Some("a b"));
        }
    }

    #[test]
    fn passwords_may_have_quotes_and_backslashes() {
        let config = config(r"host=h password='a\'b\\c'");
        assert_eq!(config.get_password(), Some(&br"a'b\c"[..]));
    }

    #[test]
    fn what_nobody_knows_is_set_for_the_session() {
        for text in [
            "host=h search_path='my schema' pool_min_conns=2",
            "postgres://h/?search_path=my%20schema",
        ] {
            assert_eq!(config(text).get_options(), Some(r"-c search_path=my\ schema"), "{text}");
        }
    }

    #[test]
    fn the_last_of_several_counts_and_can_be_replaced() {
        let mut text = ConnectionString::parse("host=one host=two sslmode=require").unwrap();
        assert_eq!(text.take("sslmode").as_deref(), Some("require"));
        text.set("host", "three".to_owned());
        assert_eq!(text.into_config().unwrap().get_hosts(), [Host::Tcp("three".to_owned())]);
    }

    #[test]
    fn what_is_wrong_is_said_without_what_was_written() {
        for wrong in
            ["hunter2", "password='hunter2", "host=h port=hunter2", "postgres://h/?port=hunter2"]
        {
            let refused = ConnectionString::parse(wrong).and_then(|it| it.into_config().map(drop));
            let message = refused.unwrap_err();
            assert!(
                message.contains("connectionString") && !message.contains("hunter2"),
                "{message}"
            );
        }
        let refused =
            ConnectionString::parse("host=h sslcrl=x").unwrap().into_config().unwrap_err();
        assert!(refused.contains("sslcrl of connectionString is not supported"), "{refused}");
    }
}
