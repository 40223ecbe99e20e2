//! Encrypted values in every store that servers are started for: what is stored must survive each of
//! them, JSON columns included.

use std::{error, sync::Arc};

use real_servers::{
    etcd::{self, Etcd},
    mysql::{self, Mysql, PASSWORD, USER},
    postgres::{self, Postgres},
    redis::{self, Redis},
};
use state::Store;
use state_layers::{Encrypted, Encryption, EncryptionKey, WrittenForm};
use state_testkit::{Fixture, Opening};
use tokio::sync::OnceCell;

/// Keys for tests.
pub(crate) fn encryption() -> Encryption {
    written_as(WrittenForm::Steadfast)
}

/// An encrypted store.
pub(crate) fn encrypted(inner: Arc<dyn Store>, written: WrittenForm) -> Arc<dyn Store> {
    Arc::new(Encrypted::new(inner, "test", &written_as(written)))
}

pub(crate) fn sqlite() -> Opening {
    Box::pin(async move {
        let folder = tempfile::TempDir::new()?;
        let path = folder.path().join("state.db").display().to_string();
        let properties = [("connectionString", path.as_str())];
        let fixture = two("state.sqlite", "v1", WrittenForm::Steadfast, &properties).await?;
        Ok(Fixture { guard: Box::new(folder), ..fixture })
    })
}

pub(crate) fn redis() -> Opening {
    static SERVER: OnceCell<Redis> = OnceCell::const_new();
    Box::pin(async move {
        let server =
            SERVER.get_or_try_init(async || Redis::start(&redis::Options::default()).await).await?;
        let host = server.address().to_string();
        two("state.redis", "v1", WrittenForm::Steadfast, &[("redisHost", &host)]).await
    })
}

pub(crate) fn postgresql(version: &'static str, written: WrittenForm) -> Opening {
    static SERVER: OnceCell<Postgres> = OnceCell::const_new();
    Box::pin(async move {
        let server = SERVER
            .get_or_try_init(async || {
                // Each case opens two stores, with a few connections each.
                let options = postgres::Options::default().setting("max_connections", "600");
                let server = Postgres::start(&options).await?;
                server.run("CREATE SCHEMA v1; CREATE SCHEMA v2").await?;
                anyhow::Ok(server)
            })
            .await?;
        let url = format!("{}?search_path={version}", server.url());
        two("state.postgresql", version, written, &[("connectionString", &url)]).await
    })
}

pub(crate) fn mysql() -> Opening {
    static SERVER: OnceCell<Mysql> = OnceCell::const_new();
    Box::pin(async move {
        let server =
            SERVER.get_or_try_init(async || Mysql::start(&mysql::Options::default()).await).await?;
        let dsn = format!("{USER}:{PASSWORD}@tcp({})/", server.address());
        two("state.mysql", "v1", WrittenForm::Steadfast, &[("connectionString", &dsn)]).await
    })
}

pub(crate) fn etcd() -> Opening {
    static SERVER: OnceCell<Etcd> = OnceCell::const_new();
    Box::pin(async move {
        let server = SERVER
            .get_or_try_init(async || Etcd::start(1, &etcd::Options::default()).await)
            .await?;
        let endpoints = server.endpoints();
        two("state.etcd", "v2", WrittenForm::Steadfast, &[("endpoints", &endpoints)]).await
    })
}

/// Two stores on the same data, as two sidecars would have them.
async fn two(
    component: &str,
    version: &str,
    written: WrittenForm,
    properties: &[(&str, &str)],
) -> Result<Fixture, Box<dyn error::Error + Send + Sync>> {
    let driver = state_stores::versions(component).find(|it| it.version == version);
    let driver = driver.ok_or("not in this build")?;
    let open = async || (driver.open)(properties.iter().copied().collect()).await;
    let store = encrypted(open().await?, written);
    let second = Some(encrypted(open().await?, written));
    Ok(Fixture { store, second, guard: Box::new(()) })
}

fn written_as(written: WrittenForm) -> Encryption {
    let hex = "000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f";
    let key = EncryptionKey::from_hex("state-key", hex).expect("32 bytes");
    Encryption::new(key, None, written).expect("one key")
}
