//! A connection that sends one request at a time, and looks no further than it must.

use std::{net::SocketAddr, str};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

/// More than one answer of ours, head and body.
const BUFFER_LEN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was received of the answer; empty between two requests.
    received: Vec<u8>,
}

/// Which answers are good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Good {
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
    pub(crate) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(BUFFER_LEN) })
    }

    /// Sends a request, and fails unless all of its answer comes and is good.
    pub(crate) async fn exchange(&mut self, request: &[u8], good: Good) -> anyhow::Result<()> {
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
