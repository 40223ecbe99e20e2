//! One connection to a sidecar, on which one request follows the other: the n-th answer is that of
//! the n-th request.
//!
//! Not `sidecar-client`: what was sent when, and over which connection, must be known here.

use std::{collections::BTreeMap, io, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    time::timeout,
};

use super::history::{Change, Found, State, Text, Told, Version, When};

/// More than the 20 s after which the store gives up.
const PATIENCE: Duration = Duration::from_secs(30);

const STORE: &str = "/v1.0/state/statestore";

#[derive(Debug)]
pub(crate) struct Client {
    stream: BufReader<TcpStream>,
    /// This end's port, by which a trace tells connections apart.
    pub(crate) local_port: u16,
}

#[derive(Debug)]
struct Reply {
    status: u16,
    headers: BTreeMap<String, String>,
    body: Vec<u8>,
}

impl Client {
    pub(crate) async fn connect(port: u16) -> io::Result<Client> {
        let stream = TcpStream::connect(("127.0.0.1", port)).await?;
        stream.set_nodelay(true)?;
        let local_port = stream.local_addr()?.port();
        Ok(Client { stream: BufReader::new(stream), local_port })
    }

    /// Makes the changes, as a transaction if they are several, and returns what the sidecar said
    /// became of them. Fails if the connection is lost, in which case nobody knows.
    pub(crate) async fn write(&mut self, changes: &[Change]) -> io::Result<Told> {
        let reply = match changes {
            [one] => match &one.value {
                Some(_) => self.send("POST", "", "", &format!("[{}]", item(one))).await?,
                None => self.delete(one).await?,
            },
            several => {
                let operations: Vec<_> = several.iter().map(operation).collect();
                let body = format!(r#"{{"operations":[{}]}}"#, operations.join(","));
                self.send("POST", "/transaction", "", &body).await?
            }
        };
        Ok(reply.told(changes))
    }

    /// The value of a key, or the error that the sidecar gave instead.
    pub(crate) async fn read(&mut self, key: &str) -> io::Result<Result<Found, String>> {
        let reply = self.send("GET", &format!("/{key}"), "", "").await?;
        Ok(match reply.status {
            204 => Ok(None),
            200 => {
                let etag = reply.headers.get("etag").map(String::as_str).unwrap_or_default();
                let value = String::from_utf8_lossy(&reply.body);
                Ok(Some(Version { value: Text::from(&*value), etag: etag.into() }))
            }
            _ => Err(reply.message()),
        })
    }

    /// The values of all these keys, or the error that the sidecar gave instead.
    pub(crate) async fn read_all(&mut self, keys: &[Text]) -> io::Result<Result<State, String>> {
        let wanted: Vec<&str> = keys.iter().map(|it| &**it).collect();
        let body = serde_json::json!({ "keys": wanted }).to_string();
        let reply = self.send("POST", "/bulk", "", &body).await?;
        if reply.status != 200 {
            return Ok(Err(reply.message()));
        }
        let entries: Vec<Value> = serde_json::from_slice(&reply.body)?;
        let mut state = State::new();
        for entry in &entries {
            if let Some(error) = entry["error"].as_str() {
                return Ok(Err(error.to_owned()));
            }
            if let (Some(key), Some(etag), Some(_)) =
                (entry["key"].as_str(), entry["etag"].as_str(), entry.get("data"))
            {
                let value = entry["data"].to_string().into();
                state.insert(key.into(), Version { value, etag: etag.into() });
            }
        }
        Ok(Ok(state))
    }

    async fn delete(&mut self, change: &Change) -> io::Result<Reply> {
        let headers = match &change.when {
            When::Always => String::new(),
            When::Absent => unreachable!("nobody deletes what must not be there"),
            When::Matches(etag) => format!("if-match: {etag}\r\n"),
        };
        self.send("DELETE", &format!("/{}", change.key), &headers, "").await
    }

    async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &str,
        body: &str,
    ) -> io::Result<Reply> {
        let request = format!(
            "{method} {STORE}{path} HTTP/1.1\r\nhost: localhost\r\n{headers}\
             prefer: return=representation\r\ncontent-length: {}\r\n\r\n{body}",
            body.len()
        );
        let exchange = async {
            self.stream.get_mut().write_all(request.as_bytes()).await?;
            self.receive().await
        };
        timeout(PATIENCE, exchange).await.unwrap_or_else(|_| Err(io::ErrorKind::TimedOut.into()))
    }

    async fn receive(&mut self) -> io::Result<Reply> {
        let mut head = String::new();
        while !head.ends_with("\r\n\r\n") {
            if self.stream.read_line(&mut head).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
        let malformed = || io::Error::new(io::ErrorKind::InvalidData, "not HTTP");
        let status = head.split(' ').nth(1).and_then(|it| it.parse().ok());
        let headers: BTreeMap<_, _> = head
            .lines()
            .filter_map(|it| it.split_once(": "))
            .map(|(name, value)| (name.to_lowercase(), value.to_owned()))
            .collect();
        let len = headers.get("content-length").map_or(Some(0), |it| it.parse().ok());
        let mut body = vec![0; len.ok_or_else(malformed)?];
        self.stream.read_exact(&mut body).await?;
        Ok(Reply { status: status.ok_or_else(malformed)?, headers, body })
    }
}

impl Reply {
    fn told(&self, changes: &[Change]) -> Told {
        if (200..300).contains(&self.status) {
            let told: Vec<Value> = serde_json::from_slice(&self.body).unwrap_or_default();
            let etag = |i: usize| told.get(i).and_then(|it| it["etag"].as_str()).map(Text::from);
            return Told::Done((0..changes.len()).map(etag).collect());
        }
        match self.json()["outcome"].as_str() {
            Some("conflict") => Told::Conflict,
            Some("not_applied") => Told::NotApplied,
            _ => Told::Unknown,
        }
    }

    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    fn message(&self) -> String {
        self.json()["message"].as_str().unwrap_or("an error without a message").to_owned()
    }
}

fn operation(change: &Change) -> String {
    let word = if change.value.is_some() { "upsert" } else { "delete" };
    format!(r#"{{"operation":"{word}","request":{}}}"#, item(change))
}

fn item(change: &Change) -> String {
    let value = change.value.as_ref().map(|it| format!(r#","value":{it}"#)).unwrap_or_default();
    let condition = match &change.when {
        When::Always => String::new(),
        When::Absent => r#","options":{"concurrency":"first-write"}"#.to_owned(),
        When::Matches(etag) => format!(r#","etag":"{etag}""#),
    };
    format!(r#"{{"key":"{}"{value}{condition}}}"#, change.key)
}
