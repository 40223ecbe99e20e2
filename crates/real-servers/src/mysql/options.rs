use std::sync::Arc;

use crate::Certificates;

/// How a server is configured. By default as MariaDB is, but with less memory.
#[derive(Clone, Debug, Default)]
pub struct Options {
    pub(super) settings: Vec<String>,
    pub(super) certificates: Option<Arc<Certificates>>,
}

impl Options {
    /// An option of the program's, such as `max-connections=20`, without the dashes before it. A later one replaces an
    /// earlier one, and any replaces what would be there without it.
    pub fn setting(mut self, setting: &str) -> Options {
        self.settings.push(format!("--{setting}"));
        self
    }

    /// Acknowledges no write before it is flushed to the disk, and shows none to others before.
    pub fn durable(self) -> Options {
        self.setting("innodb-flush-log-at-trx-commit=1")
            .setting("log-bin=binlog")
            .setting("server-id=1")
            .setting("sync-binlog=1")
    }

    /// TLS for those who ask for it.
    pub fn tls(mut self, certificates: Certificates) -> Options {
        self.certificates = Some(Arc::new(certificates));
        self
    }
}
