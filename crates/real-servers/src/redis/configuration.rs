use std::{env, ffi::OsString, fs, net::SocketAddr};

use anyhow::{Context, Result};
use async_trait::async_trait;

use super::{Client, MASTER_NAME, Options, Reply};
use crate::{
    certificates::{AUTHORITY, SERVER, SERVER_KEY},
    process::{Kind, Place},
};

/// What names another program than `redis-server`.
const PROGRAM: &str = "STEADFAST_REDIS_SERVER";

/// In the server's folder. Redis itself writes to it: sentinels what they have learnt, and the others who their primary
/// is once a sentinel has told them.
const FILE: &str = "redis.conf";

/// In the server's folder.
pub(super) const SOCKET: &str = "redis.sock";

/// What can be replaced by the settings of [`Options`]. Snapshots would only cost time; the rest is for replicas, which
/// by default wait five seconds for others that might come too.
const DEFAULTS: &str = r#"
save ""
repl-diskless-sync yes
repl-diskless-sync-delay 0
repl-ping-replica-period 1
"#;

/// Quick and still a hundred times what a server on this machine needs to answer; Redis's own are 30 and 180 seconds.
const SENTINEL_DEFAULTS: [&str; 2] = ["down-after-milliseconds 1000", "failover-timeout 3000"];

/// Quick in the same way; Redis's own are 15 seconds.
const NODE_DEFAULTS: &str = "cluster-node-timeout 1000\n";

/// What a server is in its group.
#[derive(Clone, Copy, Debug)]
pub(super) enum Role {
    /// A primary, to begin with.
    Plain,
    ReplicaOf(SocketAddr),
    /// A node of a cluster.
    Node,
    SentinelOf {
        primary: SocketAddr,
        quorum: usize,
    },
}

#[derive(Debug)]
pub(super) struct Configuration {
    pub(super) role: Role,
    pub(super) options: Options,
}

impl Configuration {
    /// What clients must give.
    pub(super) fn password(&self) -> Option<String> {
        match self.role {
            Role::Plain | Role::ReplicaOf(_) | Role::Node => self.options.password.clone(),
            Role::SentinelOf { .. } => self.options.sentinel_password.clone(),
        }
    }

    fn text(&self, place: &Place) -> String {
        let mut text = self.listening(place);
        text += &match self.role {
            Role::Plain => DEFAULTS.to_owned(),
            Role::ReplicaOf(primary) => format!("{DEFAULTS}replicaof {}\n", words(primary)),
            Role::Node => format!("{DEFAULTS}cluster-enabled yes\n{NODE_DEFAULTS}"),
            Role::SentinelOf { primary, quorum } => self.watching(primary, quorum),
        };
        if let Some(password) = self.password() {
            text += &format!("requirepass {}\n", quoted(&password));
        }
        if !self.is_sentinel() {
            if let Some(password) = &self.options.password {
                text += &format!("masterauth {}\n", quoted(password));
            }
            for (name, value) in &self.options.settings {
                text += &format!("{name} {value}\n");
            }
        }
        text
    }

    fn listening(&self, place: &Place) -> String {
        let port = place.address().port();
        let ports = match self.options.certificates {
            None => format!("port {port}\n"),
            // Only a program that was built with TLS knows these.
            Some(_) => format!(
                "port 0\ntls-port {port}\ntls-replication yes\ntls-cluster yes\n\
                 tls-cert-file {SERVER}\ntls-key-file {SERVER_KEY}\ntls-ca-cert-file {AUTHORITY}\n\
                 tls-auth-clients optional\n"
            ),
        };
        format!("bind 127.0.0.1\nprotected-mode no\ndaemonize no\nunixsocket {SOCKET}\n{ports}")
    }

    fn watching(&self, primary: SocketAddr, quorum: usize) -> String {
        let mut text = format!("sentinel monitor {MASTER_NAME} {} {quorum}\n", words(primary));
        for setting in SENTINEL_DEFAULTS {
            let (name, value) = setting.split_once(' ').expect("each has a name and a value");
            text += &format!("sentinel {name} {MASTER_NAME} {value}\n");
        }
        if let Some(password) = &self.options.password {
            text += &format!("sentinel auth-pass {MASTER_NAME} {}\n", quoted(password));
        }
        if let Some(password) = &self.options.sentinel_password {
            text += &format!("sentinel sentinel-pass {}\n", quoted(password));
        }
        text
    }

    fn is_sentinel(&self) -> bool {
        matches!(self.role, Role::SentinelOf { .. })
    }
}

#[async_trait]
impl Kind for Configuration {
    fn program(&self) -> OsString {
        env::var_os(PROGRAM).unwrap_or_else(|| "redis-server".into())
    }

    fn package(&self) -> &str {
        "redis-server"
    }

    fn prepare(&self, place: &Place) -> Result<()> {
        if let Some(certificates) = &self.options.certificates {
            certificates.write(place.folder())?;
        }
        let file = place.folder().join(FILE);
        fs::write(file, self.text(place)).context("cannot write the configuration")
    }

    fn arguments(&self, _: &Place) -> Vec<OsString> {
        let sentinel = self.is_sentinel().then_some("--sentinel");
        [FILE].into_iter().chain(sentinel).map(OsString::from).collect()
    }

    async fn answers(&self, place: &Place) -> bool {
        let Ok(mut client) = Client::connect_unix(&place.folder().join(SOCKET)).await else {
            return false;
        };
        if let Some(password) = self.password() {
            // If it is refused, so is the next command.
            let _ = client.ask(&["AUTH", &password]).await;
        }
        match client.ask(&["PING"]).await {
            Ok(Reply::Status(word)) => word == "PONG",
            // A replica that waits for its primary may be told to say so instead. While it loads, it replies with another
            // error.
            Ok(Reply::Error(error)) => error.starts_with("MASTERDOWN "),
            _ => false,
        }
    }
}

/// As the configuration has addresses.
fn words(address: SocketAddr) -> String {
    format!("{} {}", address.ip(), address.port())
}

fn quoted(text: &str) -> String {
    format!("\"{}\"", text.replace('\\', r"\\").replace('"', r#"\""#))
}
