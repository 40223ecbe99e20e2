//! etcd: one member, or several that vote.

use std::{ffi::OsString, net::SocketAddr};

use anyhow::{Context, Result};
use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::{
    found,
    process::{Kind, Place, Process},
};

/// Members of one cluster, which are started together.
#[derive(Debug)]
pub struct Etcd {
    members: Vec<Process>,
}

impl Etcd {
    /// Starts so many with these flags besides those that they need, and waits until all answer.
    pub async fn start(members: usize, flags: &[&str]) -> Result<Etcd> {
        let flags: Vec<String> = flags.iter().map(|it| (*it).to_owned()).collect();
        let members = Process::start_together(members, |number, places| {
            let peers = places.iter().enumerate();
            let peers = peers.map(|(i, it)| format!("{}=http://{}", name(i), it.second_address()));
            let peers: Vec<String> = peers.collect();
            Member { name: name(number), peers: peers.join(","), flags: flags.clone() }
        });
        Ok(Etcd { members: members.await? })
    }

    /// To kill them, pause them and start them again.
    pub fn members(&self) -> &[Process] {
        &self.members
    }

    /// Where their clients find them.
    pub fn addresses(&self) -> Vec<SocketAddr> {
        self.members.iter().map(Process::address).collect()
    }

    /// Waits until there is a leader among those that run, and tells its number, from 0.
    pub async fn leader(&self) -> Result<usize> {
        found("a leader", || async {
            for (number, member) in self.members.iter().enumerate() {
                if member.is_running()? && !member.is_paused() && leads(member.address()).await? {
                    return Ok(Some(number));
                }
            }
            Ok(None)
        })
        .await
    }
}

#[derive(Debug)]
struct Member {
    name: String,
    peers: String,
    flags: Vec<String>,
}

fn name(number: usize) -> String {
    format!("member{number}")
}

#[async_trait]
impl Kind for Member {
    fn program(&self) -> OsString {
        "etcd".into()
    }

    fn package(&self) -> &str {
        "etcd-server"
    }

    fn prepare(&self, _: &Place) -> Result<()> {
        Ok(())
    }

    fn arguments(&self, place: &Place) -> Vec<OsString> {
        let clients = format!("http://{}", place.address());
        let peer = format!("http://{}", place.second_address());
        let flags = [
            ("--name", self.name.as_str()),
            ("--data-dir", "data"),
            ("--listen-client-urls", &clients),
            ("--advertise-client-urls", &clients),
            ("--listen-peer-urls", &peer),
            ("--initial-advertise-peer-urls", &peer),
            ("--initial-cluster", &self.peers),
            ("--logger", "zap"),
            ("--log-outputs", "stderr"),
        ];
        let flags = flags.iter().flat_map(|(name, value)| [*name, *value]);
        flags.chain(self.flags.iter().map(String::as_str)).map(OsString::from).collect()
    }

    async fn answers(&self, place: &Place) -> bool {
        let health = get(place.address(), "/health").await;
        health.is_ok_and(|it| it.contains(r#""health":"true""#))
    }
}

async fn leads(address: SocketAddr) -> Result<bool> {
    let metrics = get(address, "/metrics").await?;
    Ok(metrics.lines().any(|it| it == "etcd_server_is_leader 1"))
}

/// What etcd replies at a path of its HTTP server.
async fn get(address: SocketAddr, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.context("cannot connect to etcd")?;
    let request = format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n");
    stream.write_all(request.as_bytes()).await?;
    let mut reply = Vec::new();
    stream.read_to_end(&mut reply).await?;
    Ok(String::from_utf8_lossy(&reply).into_owned())
}
