//! Where sidecars keep what they are told: nothing, a file, or a server that is started for it.

use std::{fmt, fs, io::ErrorKind, path::Path};

use anyhow::Context;
use clap::ValueEnum;
use real_servers::{etcd, postgres, redis};

use crate::{process::Process, traffic::STORE};

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Store {
    /// The sidecar's own memory
    Memory,
    /// A database file
    Sqlite,
    /// A redis-server of its own, which keeps nothing on the disk
    Redis,
    /// A PostgreSQL of its own, which flushes every commit
    Postgres,
    /// An etcd of its own, one member, which flushes every commit
    Etcd,
}

/// A store that runs. What was started ends when it is dropped.
#[derive(Debug)]
pub(crate) struct Database {
    pub(crate) store: Store,
    server: Server,
}

#[derive(Debug)]
enum Server {
    None,
    Redis(redis::Redis),
    Postgres(postgres::Postgres),
    Etcd(etcd::Etcd),
}

impl Store {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Store::Memory => "memory",
            Store::Sqlite => "sqlite",
            Store::Redis => "redis",
            Store::Postgres => "postgres",
            Store::Etcd => "etcd",
        }
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl Database {
    /// Starts what the store needs, in a folder of its own below `data`. `None` if a program is not
    /// installed, which is said on the standard error.
    pub(crate) async fn start(store: Store, data: &Path) -> anyhow::Result<Option<Database>> {
        let folder = data.join(store.name());
        fs::create_dir_all(&folder)?;
        match Server::start(store, &folder).await {
            Ok(server) => Ok(Some(Database { store, server })),
            Err(e) if is_missing(&e) => {
                eprintln!("{store}: skipped: {e:#}");
                Ok(None)
            }
            Err(e) => Err(e.context(format!("cannot start {store}"))),
        }
    }

    /// The process whose CPU time is the store's. `None` if it is the sidecar's own.
    pub(crate) fn process(&self) -> Option<Process> {
        let id = match &self.server {
            Server::None => None,
            Server::Redis(it) => it.process().id(),
            Server::Postgres(it) => it.process().id(),
            Server::Etcd(it) => it.nodes().first()?.id(),
        };
        id.map(Process)
    }

    /// How often the server has read from its connections: once for each round trip of a client that
    /// sends no more than 16 KiB at a time. Only Redis tells.
    pub(crate) async fn reads(&self) -> anyhow::Result<Option<f64>> {
        let Server::Redis(redis) = &self.server else { return Ok(None) };
        let found = redis.info("stats").await?;
        let reads = found.get("total_reads_processed").context("Redis does not tell its reads")?;
        Ok(Some(reads.parse()?))
    }

    /// A component file for a sidecar that may keep a database file in `folder`. Only settings that
    /// Dapr has, too.
    pub(crate) fn component(&self, folder: &Path) -> String {
        let file = || folder.join("state.db").display().to_string();
        let (kind, version, settings) = match &self.server {
            Server::None if self.store == Store::Sqlite => {
                ("sqlite", "v1", vec![("connectionString", file())])
            }
            Server::None => ("in-memory", "v1", vec![]),
            Server::Redis(it) => ("redis", "v1", vec![("redisHost", it.address().to_string())]),
            Server::Postgres(it) => ("postgresql", "v2", vec![("connectionString", it.url())]),
            Server::Etcd(it) => ("etcd", "v2", vec![("endpoints", it.endpoints())]),
        };
        let setting = |(name, value): &(&str, String)| {
            format!("  - name: {name}\n    value: {}\n", quoted(value))
        };
        let settings: String = settings.iter().map(setting).collect();
        let settings =
            if settings.is_empty() { " []\n".to_owned() } else { format!("\n{settings}") };
        format!(
            "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: {STORE}\nspec:\n  \
             type: state.{kind}\n  version: {version}\n  metadata:{settings}"
        )
    }
}

impl Server {
    async fn start(store: Store, folder: &Path) -> anyhow::Result<Server> {
        Ok(match store {
            Store::Memory | Store::Sqlite => Server::None,
            Store::Redis => {
                Server::Redis(redis::Redis::start_in(folder, &redis::Options::default()).await?)
            }
            Store::Postgres => {
                postgres::find()?;
                let options = postgres::Options::default().durable();
                Server::Postgres(postgres::Postgres::start_in(folder, &options).await?)
            }
            Store::Etcd => {
                // What was overwritten is given up soon, as it has to be where much is written; until
                // then it needs room. Source: etcd, "Maintenance": 8 GB are the most that is advised.
                let options = etcd::Options::default()
                    .setting("--auto-compaction-mode=revision")
                    .setting("--auto-compaction-retention=1000")
                    .setting("--quota-backend-bytes=8589934592");
                Server::Etcd(etcd::Etcd::start_in(folder, &options).await?)
            }
        })
    }
}

/// Whether a program was not found.
fn is_missing(error: &anyhow::Error) -> bool {
    let mut causes = error.chain().filter_map(|it| it.downcast_ref::<std::io::Error>());
    causes.any(|it| it.kind() == ErrorKind::NotFound)
}

/// A text of YAML. Paths and addresses have nothing else that is special there.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_component_says_which_store_and_where() {
        let component =
            |store| Database { store, server: Server::None }.component(Path::new("/data/o'neill"));
        let expected = "apiVersion: dapr.io/v1alpha1\nkind: Component\nmetadata:\n  name: \
                        statestore\nspec:\n  type: state.sqlite\n  version: v1\n  metadata:\n  - \
                        name: connectionString\n    value: '/data/o''neill/state.db'\n";
        assert_eq!(component(Store::Sqlite), expected);
        assert!(
            component(Store::Memory).ends_with("state.in-memory\n  version: v1\n  metadata: []\n")
        );
    }

    #[test]
    fn a_program_that_is_not_there_is_missing_and_one_that_fails_is_not() {
        let not_found = std::io::Error::from(ErrorKind::NotFound);
        assert!(is_missing(&anyhow::Error::from(not_found).context("cannot start it")));
        assert!(!is_missing(&anyhow::anyhow!("it ends as soon as it is started")));
    }
}
