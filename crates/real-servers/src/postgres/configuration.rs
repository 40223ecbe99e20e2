use std::{
    ffi::OsString,
    fs, io,
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::{OWNER, Options, programs};
use crate::{
    certificates::{AUTHORITY, SERVER, SERVER_KEY},
    process::{Kind, Place},
};

/// The data, in the server's folder.
const DATA: &str = "data";

/// Small and quick. Nothing here matters to whether promises are kept.
const DEFAULTS: &[(&str, &str)] = &[
    ("shared_buffers", "16MB"),
    ("max_wal_size", "256MB"),
    ("wal_keep_size", "64MB"),
    ("hot_standby_feedback", "on"),
    ("wal_receiver_status_interval", "1"),
    ("log_checkpoints", "off"),
];

/// Nobody misses it in a test.
const VOLATILE: &[(&str, &str)] =
    &[("fsync", "off"), ("full_page_writes", "off"), ("synchronous_commit", "on")];

#[derive(Clone, Debug)]
pub(super) enum Role {
    Primary,
    /// Follows another, which calls it by this name.
    StandbyOf {
        primary: String,
        name: String,
    },
}

#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) role: Role,
    pub(super) options: Options,
}

impl Configuration {
    fn text(&self, place: &Place) -> String {
        let mut settings: Vec<(&str, String)> = vec![
            ("listen_addresses", "127.0.0.1".to_owned()),
            ("port", place.address().port().to_string()),
            ("unix_socket_directories", String::new()),
        ];
        let volatile = if self.options.durable { &[] } else { VOLATILE };
        settings
            .extend(DEFAULTS.iter().chain(volatile).map(|(name, it)| (*name, (*it).to_owned())));
        if self.options.certificates.is_some() {
            settings.push(("ssl", "on".to_owned()));
            for (name, file) in [
                ("ssl_cert_file", SERVER),
                ("ssl_key_file", SERVER_KEY),
                ("ssl_ca_file", AUTHORITY),
            ] {
                settings.push((name, file.to_owned()));
            }
        }
        if let Role::StandbyOf { primary, name } = &self.role {
            settings.push(("primary_conninfo", format!("{primary}?application_name={name}")));
        }
        settings.extend(self.options.settings.iter().map(|(name, it)| (name.as_str(), it.clone())));
        // A setting that is there twice counts as it is last.
        let line = |(name, value): &(&str, String)| format!("{name} = '{}'\n", quoted(value));
        settings.iter().map(line).collect()
    }

    /// Who is let in, and how.
    fn rules(&self) -> String {
        let kind = if self.options.certificates.is_some() { "hostssl" } else { "host" };
        let how = if self.options.password.is_some() { "scram-sha-256" } else { "trust" };
        format!("{kind} all all 127.0.0.1/32 {how}\n{kind} replication all 127.0.0.1/32 {how}\n")
    }

    /// An empty database.
    fn create(&self, folder: &Path) -> Result<()> {
        let password = folder.join("password");
        let mut arguments = vec!["-D", DATA, "-U", OWNER, "--no-sync", "--no-instructions"];
        arguments.extend(["--encoding=UTF8", "--locale=C.UTF-8"]);
        if let Some(text) = &self.options.password {
            fs::write(&password, text).context("cannot write the password")?;
            programs::hand_over(&password)?;
            arguments.push("--pwfile=password");
        }
        programs::run("initdb", folder, &arguments)
    }
}

#[async_trait]
impl Kind for Configuration {
    fn program(&self) -> OsString {
        programs::words("postgres").swap_remove(0)
    }

    fn package(&self) -> &str {
        "postgresql"
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        let folder = place.folder();
        programs::hand_over(folder).context("cannot hand the folder over")?;
        let data: PathBuf = folder.join(DATA);
        if !data.exists() {
            match &self.role {
                Role::Primary => self.create(folder)?,
                Role::StandbyOf { primary, .. } => {
                    programs::run(
                        "pg_basebackup",
                        folder,
                        &["-d", primary, "-D", DATA, "-c", "fast"],
                    )?;
                    fs::write(data.join("standby.signal"), "").context("cannot make a standby")?;
                }
            }
        }
        if let Some(certificates) = &self.options.certificates {
            certificates.write(&data)?;
            for file in [AUTHORITY, SERVER, SERVER_KEY] {
                programs::hand_over(&data.join(file))?;
            }
            let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
            fs::set_permissions(data.join(SERVER_KEY), mode).context("cannot hide the key")?;
        }
        fs::write(data.join("postgresql.conf"), self.text(place))
            .and_then(|()| fs::write(data.join("pg_hba.conf"), self.rules()))
            .context("cannot write the configuration")
    }

    fn arguments(&self, _: &Place) -> Vec<OsString> {
        let mut words = programs::words("postgres");
        words.remove(0);
        words.extend(["-D", DATA].map(OsString::from));
        words
    }

    /// Whether it lets somebody begin to log in, or refuses to because it wants TLS. While it starts, it says that it
    /// does.
    async fn answers(&self, place: &Place) -> bool {
        let Ok(reply) = greet(place.address()).await else { return false };
        reply.first() == Some(&b'R') || reply.windows(NOT_LET_IN.len()).any(|it| it == NOT_LET_IN)
    }
}

/// The beginning of what a server says to somebody who wants to log in.
pub(super) async fn greet(address: SocketAddr) -> io::Result<Vec<u8>> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&greeting()).await?;
    let mut reply = vec![0; 256];
    let len = stream.read(&mut reply).await?;
    reply.truncate(len);
    Ok(reply)
}

/// The code of what a server says to those who may not log in. Source: PostgreSQL, "Error Codes",
/// invalid_authorization_specification.
const NOT_LET_IN: &[u8] = b"C28000\0";

/// The first message of a client. Source: PostgreSQL, "Message Formats", StartupMessage.
fn greeting() -> Vec<u8> {
    let mut body = 196_608_i32.to_be_bytes().to_vec();
    for word in ["user", OWNER, "database", OWNER, ""] {
        body.extend(word.as_bytes());
        body.push(0);
    }
    let len = i32::try_from(body.len() + 4).expect("it is short");
    [&len.to_be_bytes()[..], &body].concat()
}

fn quoted(text: &str) -> String {
    text.replace('\'', "''")
}
