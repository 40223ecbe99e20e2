//! Opens the stores of this crate for the suites.

use std::{error::Error, sync::Arc};

use state::Store;
use state_testkit::{Fixture, Opening};

type Properties = &'static [(&'static str, &'static str)];

pub(crate) fn open(component: &'static str, properties: Properties) -> Opening {
    Box::pin(async move { Ok(Fixture::new(open_store(component, properties.to_vec()).await?)) })
}

async fn open_store(
    component: &str,
    properties: Vec<(&str, &str)>,
) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    open_version(component, "v1", properties).await
}

async fn open_version(
    component: &str,
    version: &str,
    properties: Vec<(&str, &str)>,
) -> Result<Arc<dyn Store>, Box<dyn Error + Send + Sync>> {
    let driver = state_stores::versions(component).find(|it| it.version == version);
    let driver = driver.ok_or("not in this build")?;
    Ok((driver.open)(properties.into_iter().collect()).await?)
}

/// Two stores on one new file, as two sidecars would have them.
#[cfg(feature = "sqlite")]
pub(crate) fn sqlite_file(properties: Properties) -> Opening {
    Box::pin(async move {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("state.db");
        let path = path.to_str().ok_or("the path is not UTF-8")?;
        let properties = [&[("connectionString", path)], properties].concat();
        let store = open_store("state.sqlite", properties.clone()).await?;
        let second = Some(open_store("state.sqlite", properties).await?);
        Ok(Fixture { store, second, guard: Box::new(folder) })
    })
}

/// Two stores on servers that all cases share, each version under a prefix of its own.
#[cfg(feature = "etcd")]
pub(crate) mod etcd {
    use real_servers::etcd::{Etcd, Options};
    use state_testkit::{Fixture, Opening};
    use tokio::sync::OnceCell;

    use super::open_version;

    pub(crate) fn single(version: &'static str) -> Opening {
        static SERVER: OnceCell<Etcd> = OnceCell::const_new();
        Box::pin(async move { two(version, &SERVER, 1).await })
    }

    pub(crate) fn three(version: &'static str) -> Opening {
        static CLUSTER: OnceCell<Etcd> = OnceCell::const_new();
        Box::pin(async move { two(version, &CLUSTER, 3).await })
    }

    async fn two(
        version: &str,
        cell: &OnceCell<Etcd>,
        nodes: usize,
    ) -> Result<Fixture, Box<dyn std::error::Error + Send + Sync>> {
        let etcd =
            cell.get_or_try_init(async || Etcd::start(nodes, &Options::default()).await).await?;
        let endpoints = etcd.endpoints();
        let properties = vec![("endpoints", endpoints.as_str()), ("keyPrefixPath", version)];
        let store = open_version("state.etcd", version, properties.clone()).await?;
        let second = Some(open_version("state.etcd", version, properties).await?);
        Ok(Fixture { store, second, guard: Box::new(()) })
    }
}

/// Two stores on a server that all cases share, each version in a schema of its own.
#[cfg(feature = "postgresql")]
pub(crate) mod postgres {
    use real_servers::postgres::{Options, Postgres};
    use state_testkit::{Fixture, Opening};
    use tokio::sync::OnceCell;

    use super::{Properties, open_version};

    pub(crate) fn open(version: &'static str, properties: Properties) -> Opening {
        static SERVER: OnceCell<Postgres> = OnceCell::const_new();
        Box::pin(async move {
            let server = SERVER
                .get_or_try_init(async || {
                    // Each case opens two stores, with a few connections each.
                    let options = Options::default().setting("max_connections", "600");
                    let server = Postgres::start(&options).await?;
                    server.run("CREATE SCHEMA v1; CREATE SCHEMA v2").await?;
                    anyhow::Ok(server)
                })
                .await?;
            let url = format!("{}?search_path={version}", server.url());
            let properties = [&[("connectionString", url.as_str())], properties].concat();
            let store = open_version("state.postgresql", version, properties.clone()).await?;
            let second = Some(open_version("state.postgresql", version, properties).await?);
            Ok(Fixture { store, second, guard: Box::new(()) })
        })
    }
}

/// Two stores on a server that all cases share, as two sidecars would have them.
#[cfg(feature = "mysql")]
pub(crate) mod mysql {
    use real_servers::mysql::{Mysql, Options, PASSWORD, USER};
    use state_testkit::{Fixture, Opening};
    use tokio::sync::OnceCell;

    use super::{Properties, open_store};

    pub(crate) fn open(properties: Properties) -> Opening {
        static SERVER: OnceCell<Mysql> = OnceCell::const_new();
        Box::pin(async move {
            let server =
                SERVER.get_or_try_init(async || Mysql::start(&Options::default()).await).await?;
            let dsn = format!("{USER}:{PASSWORD}@tcp({})/", server.address());
            let properties = [&[("connectionString", dsn.as_str())], properties].concat();
            let store = open_store("state.mysql", properties.clone()).await?;
            let second = Some(open_store("state.mysql", properties).await?);
            Ok(Fixture { store, second, guard: Box::new(()) })
        })
    }
}

/// Two stores on servers that all cases share. They are started by the first case that needs them, and end with
/// this process.
#[cfg(feature = "redis")]
pub(crate) mod redis {
    use std::net::SocketAddr;

    use real_servers::redis::{Cluster, Options, Redis, Replicated};
    use state_testkit::{Fixture, Opening};
    use tokio::sync::OnceCell;

    use super::{Properties, open_store};

    pub(crate) fn single(properties: Properties) -> Opening {
        static SERVER: OnceCell<Redis> = OnceCell::const_new();
        Box::pin(async move {
            let server =
                SERVER.get_or_try_init(async || Redis::start(&Options::default()).await).await?;
            two(&[server.address()], properties).await
        })
    }

    pub(crate) fn replicated(properties: Properties) -> Opening {
        static GROUP: OnceCell<Replicated> = OnceCell::const_new();
        Box::pin(async move {
            let group = GROUP
                .get_or_try_init(async || Replicated::start(1, &Options::default()).await)
                .await?;
            two(&[group.primary().address()], properties).await
        })
    }

    pub(crate) fn cluster(properties: Properties) -> Opening {
        static CLUSTER: OnceCell<Cluster> = OnceCell::const_new();
        Box::pin(async move {
            let cluster = CLUSTER
                .get_or_try_init(async || Cluster::start(3, 1, &Options::default()).await)
                .await?;
            two(&cluster.addresses(), properties).await
        })
    }

    async fn two(
        addresses: &[SocketAddr],
        properties: Properties,
    ) -> Result<Fixture, Box<dyn std::error::Error + Send + Sync>> {
        let addresses: Vec<_> = addresses.iter().map(ToString::to_string).collect();
        let addresses = addresses.join(",");
        let properties = [&[("redisHost", addresses.as_str())], properties].concat();
        let store = open_store("state.redis", properties.clone()).await?;
        let second = Some(open_store("state.redis", properties).await?);
        Ok(Fixture { store, second, guard: Box::new(()) })
    }
}
