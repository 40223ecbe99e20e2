use std::{net::SocketAddr, str};

use anyhow::{Context, bail};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::Good;

/// More than one answer of ours, head and body.
const BUFFER_LEN: usize = 4096;

#[derive(Debug)]
pub(crate) struct Connection {
    stream: TcpStream,
    /// What was received of the last answer.
    received: Vec<u8>,
}

/// The head of an answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Head {
    status: u16,
    head_len: usize,
    body: Body,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Body {
    Len(usize),
    Chunked,
}

impl Connection {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Connection> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        Ok(Connection { stream, received: Vec::with_capacity(BUFFER_LEN) })
    }

    pub(super) async fn exchange(&mut self, request: &[u8], good: Good) -> anyhow::Result<()> {
        self.stream.write_all(request).await.context("cannot send a request")?;
        self.received.clear();
        loop {
            let len = self.stream.read_buf(&mut self.received).await?;
            if len == 0 {
                bail!("the server closed the connection");
            }
            let Some(Head { status, head_len, body }) = head(&self.received)? else { continue };
            let received = &self.received[head_len..];
            let body_len = match body {
                Body::Len(len) => Some(len).filter(|it| received.len() >= *it),
                Body::Chunked => chunks_len(received)?,
            };
            let Some(body_len) = body_len else { continue };
            if !good.statuses.contains(&status) || body_len < good.body_len_min {
                bail!("the server answered {status}: {}", String::from_utf8_lossy(received));
            }
            return Ok(());
        }
    }

    pub(super) fn etag(&self) -> anyhow::Result<String> {
        let lines = lines(&self.received)?.context("there was no answer")?;
        let etag = lines.filter_map(|it| it.split_once(": ")).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("etag").then(|| value.trim_matches('"').to_owned())
        });
        etag.context("the answer has no ETag")
    }
}

/// The lines of a head, `None` if not all of it is there.
fn lines(received: &[u8]) -> anyhow::Result<Option<str::Split<'_, &'static str>>> {
    let Some(end) = head_end(received) else { return Ok(None) };
    Ok(Some(str::from_utf8(&received[..end])?.split("\r\n")))
}

fn head_end(received: &[u8]) -> Option<usize> {
    received.windows(HEAD_END.len()).position(|it| it == HEAD_END)
}

const HEAD_END: &[u8] = b"\r\n\r\n";

/// The head of an answer, `None` if not all of it is there.
fn head(received: &[u8]) -> anyhow::Result<Option<Head>> {
    let Some(end) = head_end(received) else { return Ok(None) };
    let mut lines = str::from_utf8(&received[..end])?.split("\r\n");
    let status = lines.next().and_then(|it| it.split(' ').nth(1)?.parse().ok());
    let status = status.context("the answer is not HTTP")?;
    // A 204 has no body, and says nothing of it.
    let mut body = Body::Len(0);
    for (name, value) in lines.filter_map(|it| it.split_once(": ")) {
        if name.eq_ignore_ascii_case("content-length") {
            body = Body::Len(value.parse()?);
        } else if name.eq_ignore_ascii_case("transfer-encoding") {
            body = Body::Chunked;
        }
    }
    Ok(Some(Head { status, head_len: end + HEAD_END.len(), body }))
}

/// How long the body is that these chunks have, `None` if not all of them are there.
fn chunks_len(mut received: &[u8]) -> anyhow::Result<Option<usize>> {
    const LINE_END: &[u8] = b"\r\n";
    let mut len = 0;
    loop {
        let Some(end) = received.windows(2).position(|it| it == LINE_END) else { return Ok(None) };
        let chunk = str::from_utf8(&received[..end])?;
        let chunk = usize::from_str_radix(chunk, 16).context("a chunk has no length")?;
        let next = end + 2 * LINE_END.len() + chunk;
        if received.len() < next {
            return Ok(None);
        }
        if chunk == 0 {
            return Ok(Some(len));
        }
        len += chunk;
        received = &received[next..];
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_tells_status_and_length() {
        let answer = b"HTTP/1.1 200 OK\r\ncontent-type: a\r\nContent-Length: 5\r\n\r\nhello";
        let expected = Head { status: 200, head_len: answer.len() - 5, body: Body::Len(5) };
        assert_eq!(head(answer).unwrap(), Some(expected));
        assert_eq!(head(&answer[..40]).unwrap(), None);
        let empty = b"HTTP/1.1 204 No Content\r\n\r\n";
        assert_eq!(
            head(empty).unwrap(),
            Some(Head { status: 204, head_len: empty.len(), body: Body::Len(0) })
        );
        let chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
        assert_eq!(head(chunked).unwrap().unwrap().body, Body::Chunked);
        assert!(head(b"SSH-2.0\r\n\r\n").is_err());
    }

    #[test]
    fn a_chunked_body_ends_with_an_empty_chunk() {
        let body = b"5\r\nhello\r\nA\r\n, everyone\r\n0\r\n\r\n";
        assert_eq!(chunks_len(body).unwrap(), Some(15));
        for len in 0..body.len() {
            assert_eq!(chunks_len(&body[..len]).unwrap(), None, "{len}");
        }
        assert!(chunks_len(b"x\r\n").is_err());
    }
}
