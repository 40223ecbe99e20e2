//! A plain etcd of one member, through its JSON gateway.

use std::{
    ffi::OsString,
    io::{self, ErrorKind},
    net::SocketAddr,
};

use anyhow::Result;
use async_trait::async_trait;
use fault_proxy::{AtMark, Fault, Proxy};
use real_servers::{
    PATIENCE,
    process::{Kind, Place, Process},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::timeout,
};

/// `key`, `old` and `new` in Base64.
const KEY: &str = "a2V5";
const OLD: &str = "b2xk";
const NEW: &str = "bmV3";

#[derive(Debug)]
struct Etcd;

#[async_trait]
impl Kind for Etcd {
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
        let client = format!("http://{}", place.address());
        let peer = format!("http://{}", place.second_address());
        let cluster = format!("default={peer}");
        let arguments = [
            ["--listen-client-urls", &client],
            ["--advertise-client-urls", &client],
            ["--listen-peer-urls", &peer],
            ["--initial-advertise-peer-urls", &peer],
            ["--initial-cluster", &cluster],
            ["--logger", "zap"],
            ["--data-dir", "data"],
        ];
        arguments.into_iter().flatten().map(OsString::from).collect()
    }

    async fn answers(&self, place: &Place) -> bool {
        get(place.address()).await.is_ok()
    }
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_applied_and_unanswered() {
    let etcd = Process::start(Etcd).await.unwrap();
    let proxy = Proxy::start(etcd.address()).await.unwrap();
    put(proxy.address(), OLD).await.unwrap();
    // A read is not concerned.
    proxy.set(Fault::OnMark { mark: b"/v3/kv/put".into(), then: AtMark::LoseReply });
    assert_eq!(get(proxy.address()).await.unwrap().as_deref(), Some(OLD));
    assert_eq!(put(proxy.address(), NEW).await.unwrap_err().kind(), ErrorKind::UnexpectedEof);
    assert_eq!(get(etcd.address()).await.unwrap().as_deref(), Some(NEW));
    assert_eq!(proxy.counts().hit, 1);
}

#[tokio::test]
async fn acknowledged_writes_survive_kill_9_and_clients_connect_again() {
    let etcd = Process::start(Etcd).await.unwrap();
    let proxy = Proxy::start(etcd.address()).await.unwrap();
    assert_eq!(get(proxy.address()).await.unwrap(), None);
    put(proxy.address(), NEW).await.unwrap();
    let mut idle = TcpStream::connect(proxy.address()).await.unwrap();
    request(&mut idle, "range", "{}").await.unwrap();
    etcd.kill().unwrap();
    let mut rest = Vec::new();
    let ended = timeout(PATIENCE, idle.read_to_end(&mut rest)).await;
    // With the end of the stream or with a reset.
    drop(ended.expect("the connection stays open"));
    assert!(get(proxy.address()).await.is_err());
    etcd.restart().await.unwrap();
    assert_eq!(get(proxy.address()).await.unwrap().as_deref(), Some(NEW));
}

async fn put(address: SocketAddr, value: &str) -> io::Result<()> {
    let body = format!(r#"{{"key":"{KEY}","value":"{value}"}}"#);
    exchange(address, "put", &body).await.map(drop)
}

async fn get(address: SocketAddr) -> io::Result<Option<String>> {
    let reply = exchange(address, "range", &format!(r#"{{"key":"{KEY}"}}"#)).await?;
    let value = reply.split_once(r#""value":""#).and_then(|(_, it)| it.split_once('"'));
    Ok(value.map(|(it, _)| it.to_owned()))
}

/// The whole of a good answer.
async fn exchange(address: SocketAddr, method: &str, body: &str) -> io::Result<String> {
    let mut stream = TcpStream::connect(address).await?;
    request(&mut stream, method, body).await?;
    let mut reply = String::new();
    timeout(PATIENCE, stream.read_to_string(&mut reply)).await.expect("no answer")?;
    match reply.starts_with("HTTP/1.1 200 ") {
        true => Ok(reply),
        false if reply.is_empty() => Err(ErrorKind::UnexpectedEof.into()),
        false => Err(io::Error::other(reply)),
    }
}

async fn request(stream: &mut TcpStream, method: &str, body: &str) -> io::Result<()> {
    let head = format!(
        "POST /v3/kv/{method} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\
         Content-Length: {}\r\n\r\n",
        body.len()
    );
    stream.write_all((head + body).as_bytes()).await
}
