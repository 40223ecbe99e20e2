//! The stores that the questions are for, each on a server with a proxy before it.

use std::{net::SocketAddr, sync::Arc};

use fault_proxy::{AtMark, Direction, Fault, Proxy};
use real_servers::{
    etcd::{self, Etcd},
    mysql::{self, Mysql},
    postgres::{self, Postgres},
    process::Process,
    redis::{self, Redis},
};
use state::{Result, Store};

use crate::words::{get, put, strong};

#[derive(Clone, Copy, Debug)]
pub(crate) enum Subject {
    EtcdV1,
    EtcdV2,
    Mysql,
    PostgresqlV1,
    PostgresqlV2,
    Redis,
}

/// A server, a proxy before it, and a store that goes through the proxy. `near` does not.
pub(crate) struct Chain {
    pub(crate) server: Server,
    pub(crate) proxy: Proxy,
    pub(crate) far: Arc<dyn Store>,
    pub(crate) near: Arc<dyn Store>,
}

pub(crate) enum Server {
    Etcd(Etcd),
    Mysql(Mysql),
    Postgres(Postgres),
    Redis(Redis),
}

/// Starts a server, and opens two stores on it. The key `k` has the value `old`, and all connections are open.
pub(crate) async fn chain(subject: Subject) -> Chain {
    let server = subject.start().await;
    let proxy = Proxy::start(server.address()).await.unwrap();
    let far = subject.open(&server, proxy.address(), subject.timeouts()).await.unwrap();
    let near = subject.open(&server, server.address(), &[]).await.unwrap();
    near.write(&put("k", "\"old\"")).await.unwrap();
    get(&far, "k").await.unwrap();
    far.write(&strong(put("other", "1"))).await.unwrap();
    far.transact(&[put("other", "1"), put("another", "1")]).await.unwrap();
    Chain { server, proxy, far, near }
}

impl Subject {
    async fn start(self) -> Server {
        match self {
            Subject::EtcdV1 | Subject::EtcdV2 => {
                Server::Etcd(Etcd::start(1, &etcd::Options::default()).await.unwrap())
            }
            Subject::Mysql => {
                Server::Mysql(Mysql::start(&mysql::Options::default()).await.unwrap())
            }
            Subject::PostgresqlV1 | Subject::PostgresqlV2 => {
                Server::Postgres(Postgres::start(&postgres::Options::default()).await.unwrap())
            }
            Subject::Redis => {
                Server::Redis(Redis::start(&redis::Options::default()).await.unwrap())
            }
        }
    }

    /// Opens a store that reaches the server at this address.
    pub(crate) async fn open(
        self,
        server: &Server,
        address: SocketAddr,
        more: &[(&str, &str)],
    ) -> Result<Arc<dyn Store>> {
        let (component, version) = self.component();
        let place = match server {
            Server::Etcd(_) => ("endpoints", address.to_string()),
            Server::Mysql(_) => {
                let (user, password) = (mysql::USER, mysql::PASSWORD);
                ("connectionString", format!("{user}:{password}@tcp({address})/"))
            }
            Server::Postgres(it) => ("connectionString", it.url_at(address)),
            Server::Redis(_) => ("redisHost", address.to_string()),
        };
        let place = (place.0, place.1.as_str());
        let driver = state_stores::versions(component).find(|it| it.version == version).unwrap();
        (driver.open)([place].into_iter().chain(more.iter().copied()).collect()).await
    }

    fn component(self) -> (&'static str, &'static str) {
        match self {
            Subject::EtcdV1 => ("state.etcd", "v1"),
            Subject::EtcdV2 => ("state.etcd", "v2"),
            Subject::Mysql => ("state.mysql", "v1"),
            Subject::PostgresqlV1 => ("state.postgresql", "v1"),
            Subject::PostgresqlV2 => ("state.postgresql", "v2"),
            Subject::Redis => ("state.redis", "v1"),
        }
    }

    /// So short that a test need not wait long for it, and longer than anything takes on a busy machine.
    pub(crate) fn timeouts(self) -> &'static [(&'static str, &'static str)] {
        match self {
            Subject::Mysql => &[("timeoutInSeconds", "4")],
            Subject::Redis => {
                &[("readTimeout", "4s"), ("dialTimeout", "1s"), ("redisMaxRetries", "1")]
            }
            _ => &[("timeout", "4s")],
        }
    }

    /// What errors call the store.
    pub(crate) fn name(self) -> &'static str {
        self.component().0.trim_start_matches("state.")
    }

    /// Loses the reply to a request that was carried out.
    pub(crate) fn lost_reply(self) -> Fault {
        match self {
            // etcd answers twice over HTTP/2: first, with up to 30 bytes for each of the last two requests, that it has
            // received something, and it carries out nothing for a connection that ends then. A whole reply has more.
            Subject::EtcdV1 | Subject::EtcdV2 => {
                Fault::CutAfter { direction: Direction::ToClient, bytes: 60 }
            }
            Subject::Mysql | Subject::PostgresqlV1 | Subject::PostgresqlV2 | Subject::Redis => {
                Fault::LoseReply
            }
        }
    }

    /// Cuts at a place that only this protocol has.
    pub(crate) fn own_cuts(self) -> Vec<Fault> {
        match self {
            Subject::Redis => {
                vec![Fault::OnMark { mark: b"EVALSHA".into(), then: AtMark::Cut }]
            }
            _ => Vec::new(),
        }
    }
}

impl Server {
    pub(crate) fn address(&self) -> SocketAddr {
        match self {
            Server::Etcd(it) => it.address(),
            Server::Mysql(it) => it.address(),
            Server::Postgres(it) => it.address(),
            Server::Redis(it) => it.address(),
        }
    }

    pub(crate) fn process(&self) -> &Process {
        match self {
            Server::Etcd(it) => &it.nodes()[0],
            Server::Mysql(it) => it.process(),
            Server::Postgres(it) => it.process(),
            Server::Redis(it) => it.process(),
        }
    }

    /// Ends the server at once, and everything that it has started.
    pub(crate) async fn end(&self) {
        match self {
            // Its other processes outlive the first one if that is killed.
            Server::Postgres(it) => it.process().abort().await.unwrap(),
            it => it.process().kill().unwrap(),
        }
    }
}
