use std::{env, ffi::OsString, fs};

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{Client, Options, template};
use crate::{
    certificates::{AUTHORITY, SERVER, SERVER_KEY},
    process::{Kind, Place},
};

/// What names another program than `mariadbd`.
const PROGRAM: &str = "STEADFAST_MYSQL_SERVER";

/// In the server's folder.
pub(super) const SOCKET: &str = "mysql.sock";
const DATA: &str = "data";
const FIRST_STATEMENTS: &str = "first.sql";

/// Who the clients of a server are.
pub const USER: &str = "app";
/// The password of [`USER`].
pub const PASSWORD: &str = "p@ss/w:rd";

/// What can be replaced by the settings of [`Options`]: enough for a test, and quick to start.
const DEFAULTS: [&str; 6] = [
    "--innodb-buffer-pool-size=32M",
    "--innodb-log-file-size=8M",
    "--performance-schema=OFF",
    "--skip-name-resolve",
    "--bind-address=127.0.0.1",
    "--tmpdir=.",
];

#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) options: Options,
}

/// The program that serves.
pub(super) fn program() -> OsString {
    env::var_os(PROGRAM).unwrap_or_else(|| "mariadbd".into())
}

#[async_trait]
impl Kind for Configuration {
    fn program(&self) -> OsString {
        program()
    }

    fn package(&self) -> &str {
        "mariadb-server"
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let folder = place.folder();
        if let Some(certificates) = &self.options.certificates {
            certificates.write(folder)?;
        }
        // Not SUPER and the like, with which a server that takes no writes would take them.
        let statements = format!(
            "CREATE USER IF NOT EXISTS '{USER}'@'%' IDENTIFIED BY '{PASSWORD}';\n\
             GRANT SELECT, INSERT, UPDATE, DELETE, CREATE, DROP, ALTER, INDEX ON *.* TO '{USER}'@'%';\n"
        );
        fs::write(folder.join(FIRST_STATEMENTS), statements).context("cannot write statements")?;
        let data = folder.join(DATA);
        if data.exists() {
            return Ok(());
        }
        template::copy_to(&data)
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let path = |name: &str| place.folder().join(name).display().to_string();
        let mut arguments = vec![
            "--no-defaults".to_owned(),
            // It refuses to be the administrator unless it is told to.
            "--user=root".to_owned(),
            format!("--datadir={}", path(DATA)),
            format!("--socket={}", path(SOCKET)),
            format!("--pid-file={}", path("pid")),
            format!("--port={}", place.address().port()),
        ];
        arguments.push(format!("--init-file={}", path(FIRST_STATEMENTS)));
        if self.options.certificates.is_some() {
            for (name, file) in [("ca", AUTHORITY), ("cert", SERVER), ("key", SERVER_KEY)] {
                arguments.push(format!("--ssl-{name}={}", path(file)));
            }
        }
        arguments.extend(DEFAULTS.map(str::to_owned));
        arguments.extend(self.options.settings.iter().cloned());
        arguments.into_iter().map(OsString::from).collect()
    }

    async fn answers(&self, place: &Place) -> bool {
        let Ok(mut client) = Client::connect(&place.folder().join(SOCKET)).await else {
            return false;
        };
        client.query("SELECT 1").await.is_ok()
    }
}
