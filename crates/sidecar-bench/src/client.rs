//! A client that sends one request at a time, and looks no further than it must.

use std::{net::SocketAddr, str};

use anyhow::{Context, bail, ensure};
use bytes::Bytes;
use futures::future::try_join_all;
use h2::client::SendRequest;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than one answer of ours, head and body.
const BUFFER_LEN: usize = 4096;

/// What requests travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// HTTP/1.1, a connection for each client.
    Http,
    /// gRPC, several clients on a connection, as applications do.
    Grpc,
}

/// How many clients share a connection over gRPC.
const CLIENTS_EACH: usize = 8;

#[derive(Debug)]
pub(crate) enum Client {
    Http(Connection),
    Grpc(Stream),
}

/// A request as it is sent.
#[derive(Clone, Debug)]
pub(crate) enum Request {
    /// Head and body.
    Http(Bytes),
    /// The name of the call, and its message as gRPC frames it.
    Grpc(&'static str, Bytes),
}

/// A share of a connection of HTTP/2.
#[derive(Debug)]
pub(crate) struct Stream {
    sender: SendRequest<Bytes>,
    authority: String,
}

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was received of the answer; empty between two requests.
    received: Vec<u8>,
}

impl Client {
    /// So many of them, on as many connections as the wire needs.
    pub(crate) async fn connect(
        wire: Wire,
        address: SocketAddr,
        len: usize,
    ) -> anyhow::Result<Vec<Client>> {
        match wire {
            Wire::Http => {
                let connections = try_join_all((0..len).map(|_| Connection::open(address))).await?;
                Ok(connections.into_iter().map(Client::Http).collect())
            }
            Wire::Grpc => {
                let shared = (0..len.div_ceil(CLIENTS_EACH)).map(|_| Stream::open(address));
                let shared = try_join_all(shared).await?;
                Ok((0..len).map(|it| Client::Grpc(shared[it % shared.len()].share())).collect())
            }
        }
    }

    /// Sends a request, and fails unless all of its answer comes and is good.
    pub(crate) async fn exchange(&mut self, request: &Request, good: Good) -> anyhow::Result<()> {
        match (self, request) {
            (Client::Http(it), Request::Http(bytes)) => it.exchange(bytes, good).await,
            (Client::Grpc(it), Request::Grpc(call, message)) => {
                it.exchange(call, message, good).await
            }
            _ => bail!("the request is for another wire"),
        }
    }
}

impl Stream {
    async fn open(address: SocketAddr) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        // How it ends is seen by whoever sends on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Stream { sender, authority: address.to_string() })
    }

    fn share(&self) -> Stream {
        Stream { sender: self.sender.clone(), authority: self.authority.clone() }
    }

    async fn exchange(&mut self, call: &str, message: &Bytes, good: Good) -> anyhow::Result<()> {
        let path = format!("http://{}/dapr.proto.runtime.v1.Dapr/{call}", self.authority);
        let request = hyper::Request::post(path)
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            .body(())?;
        let mut sender = self.sender.clone().ready().await?;
        let (answer, mut body) = sender.send_request(request, false)?;
        body.send_data(message.clone(), true)?;
        let (head, mut body) = answer.await?.into_parts();
        let mut body_len = 0;
        while let Some(data) = body.data().await {
            let data = data?;
            body_len += data.len();
            body.flow_control().release_capacity(data.len())?;
        }
        let trailers = body.trailers().await?;
        let trailers = trailers.as_ref().unwrap_or(&head.headers);
        let status = trailers.get("grpc-status").context("the answer is not gRPC")?;
        ensure!(status == "0", "{call} was answered with {:?}", trailers.get("grpc-message"));
        ensure!(body_len >= good.body_len_min, "{call} was answered with {body_len} bytes");
        Ok(())
    }
}

/// Which answers are good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Good {
    /// Of HTTP. Over gRPC there is one good status.
    pub(crate) statuses: &'static [u16],
    /// How long the body is at least: the status of a bulk get does not say what was not found.
    pub(crate) body_len_min: usize,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    head_len: usize,
    body_len: usize,
}

impl Connection {
    async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(BUFFER_LEN) })
    }

    async fn exchange(&mut self, request: &[u8], good: Good) -> anyhow::Result<()> {
        self.stream.write_all(request).await.context("cannot send a request")?;
        self.received.clear();
        loop {
            let len = self.stream.read_buf(&mut self.received).await?;
            if len == 0 {
                bail!("the server closed the connection");
            }
            let Some(Head { status, head_len, body_len }) = head(&self.received)? else { continue };
            if self.received.len() < head_len + body_len {
                continue;
            }
            if !good.statuses.contains(&status) || body_len < good.body_len_min {
                let body = String::from_utf8_lossy(&self.received[head_len..]);
                bail!("the server answered {status}: {body}");
            }
            return Ok(());
        }
    }
}

/// The head of an answer, `None` if not all of it is there.
fn head(received: &[u8]) -> anyhow::Result<Option<Head>> {
    const END: &[u8] = b"\r\n\r\n";
    let Some(end) = received.windows(END.len()).position(|it| it == END) else { return Ok(None) };
    let mut lines = str::from_utf8(&received[..end])?.split("\r\n");
    let status = lines.next().and_then(|it| it.split(' ').nth(1)?.parse().ok());
    let status = status.context("the answer is not HTTP")?;
    let mut headers = lines.filter_map(|it| it.split_once(": "));
    let length = headers.find(|(name, _)| name.eq_ignore_ascii_case("content-length"));
    // Neither server sends chunks, and a 204 has no body.
    let body_len = length.map_or(Ok(0), |(_, value)| value.parse())?;
    Ok(Some(Head { status, head_len: end + END.len(), body_len }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_and_length() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: a\r\nContent-Length: 5\r\n\r\nhello";
        let expected = Head { status: 200, head_len: answer.len() - 5, body_len: 5 };
        assert_eq!(head(answer).unwrap(), Some(expected));
        assert_eq!(head(&answer[..40]).unwrap(), None);
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            head(empty).unwrap(),
            Some(Head { status: 204, head_len: empty.len(), body_len: 0 })
        );
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }
}
