use std::sync::Arc;

use crate::Certificates;

/// How the servers of a group are configured. By default as Redis is, but without snapshots, and so that replicas follow
/// at once.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) settings: Vec<(String, String)>,
    pub(super) password: Option<String>,
    pub(super) sentinel_password: Option<String>,
    pub(super) certificates: Option<Arc<Certificates>>,
}

impl Options {
    /// A line of `redis.conf`, such as `appendfsync` and `always`. A later one replaces an earlier one, and any replaces
    /// what would be there without it. `value` is written as it is: quote what has spaces and is one word.
    pub fn setting(mut self, name: &str, value: &str) -> Options {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Acknowledges no write before it is flushed to the disk.
    pub fn durable(self) -> Options {
        self.setting("appendonly", "yes").setting("appendfsync", "always")
    }

    /// The password of clients and of replicas. Sentinels ask for none.
    pub fn password(mut self, password: &str) -> Options {
        self.password = Some(password.to_owned());
        self
    }

    /// The password of sentinels, for their clients and among each other.
    pub fn sentinel_password(mut self, password: &str) -> Options {
        self.sentinel_password = Some(password.to_owned());
        self
    }

    /// TLS instead of plain TCP, also among the servers. Clients may show a certificate, and must if there is the setting
    /// `tls-auth-clients` with `yes`.
    pub fn tls(mut self, certificates: Certificates) -> Options {
        self.certificates = Some(Arc::new(certificates));
        self
    }

    /// What was given to [`tls`](Options::tls).
    pub fn certificates(&self) -> Option<&Certificates> {
        self.certificates.as_deref()
    }
}
