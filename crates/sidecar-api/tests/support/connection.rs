use std::{fmt::Debug, net::SocketAddr, time::Duration};

use serde_json::Value;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, ReadHalf, WriteHalf, split},
    net::TcpStream,
    time::timeout,
};

/// Whatever bytes can be sent over.
pub(crate) trait Bytes: AsyncRead + AsyncWrite + Debug + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Debug + Send + Unpin> Bytes for T {}

/// A connection that carries any bytes whatever, and reads what comes back as HTTP/1.1.
#[derive(Debug)]
pub(crate) struct Connection {
    reader: ReadHalf<Box<dyn Bytes>>,
    writer: WriteHalf<Box<dyn Bytes>>,
    received: Vec<u8>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Reply {
    pub(crate) status: u16,
    headers: Vec<(String, String)>,
    pub(crate) body: String,
}

/// A sidecar that has not answered by then never will.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(20);

/// A well-formed request. A body has its length before it.
pub(crate) fn request(
    method: &str,
    target: &str,
    headers: &[(&str, &str)],
    body: impl AsRef<[u8]>,
) -> Vec<u8> {
    let body = body.as_ref();
    let mut head = format!("{method} {target} HTTP/1.1\r\n");
    if headers.iter().all(|(name, _)| !name.eq_ignore_ascii_case("host")) {
        head += "Host: localhost\r\n";
    }
    for (name, value) in headers {
        head += &format!("{name}: {value}\r\n");
    }
    if !body.is_empty() {
        head += &format!("Content-Length: {}\r\n", body.len());
    }
    [head.as_bytes(), b"\r\n", body].concat()
}

impl Connection {
    pub(crate) async fn open(address: SocketAddr) -> Connection {
        let stream = TcpStream::connect(address).await.expect("the sidecar listens");
        Connection::over(stream)
    }

    pub(crate) fn over(stream: impl Bytes + 'static) -> Connection {
        let (reader, writer) = split(Box::new(stream) as Box<dyn Bytes>);
        Connection { reader, writer, received: Vec::new() }
    }

    /// Sends a well-formed request and waits for the reply.
    pub(crate) async fn call(
        &mut self,
        method: &str,
        target: &str,
        headers: &[(&str, &str)],
        body: impl AsRef<[u8]>,
    ) -> Reply {
        let reply = self.exchange(&request(method, target, headers, body)).await;
        reply.unwrap_or_else(|| panic!("no reply to {method} {target}"))
    }

    /// Sends these bytes and waits for a reply meanwhile, for it may come before all are sent.
    /// `None` if the connection ends instead.
    pub(crate) async fn exchange(&mut self, bytes: &[u8]) -> Option<Reply> {
        let Connection { reader, writer, received } = self;
        let writing = async {
            // The other end may have seen enough, and closed.
            let _ = writer.write_all(bytes).await;
            std::future::pending().await
        };
        tokio::select! {
            reply = read_reply(reader, received) => reply,
            never = writing => never,
        }
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.writer.write_all(bytes).await.expect("the connection is open");
    }

    /// Sends no more, and says so.
    pub(crate) async fn finish(&mut self) {
        self.writer.shutdown().await.expect("the connection is open");
    }

    /// The next reply, or `None` if the connection ends first.
    pub(crate) async fn reply(&mut self) -> Option<Reply> {
        read_reply(&mut self.reader, &mut self.received).await
    }

    /// The next reply without its body: none comes after a `HEAD`, whatever the head says.
    pub(crate) async fn head(&mut self) -> Reply {
        loop {
            if let Some(len) = self.received.windows(4).position(|it| it == b"\r\n\r\n") {
                let head: Vec<u8> = self.received.drain(..len + 4).collect();
                let text = String::from_utf8(head).expect("a head is text");
                let bare = text.replace("content-length: ", "length-of-the-body: ");
                return parse(bare.as_bytes()).expect("it is whole").0;
            }
            assert!(read_more(&mut self.reader, &mut self.received).await, "no answer");
        }
    }

    /// The status of whatever is answered next, be it only that more is to be sent.
    pub(crate) async fn interim(&mut self) -> u16 {
        loop {
            if let Some((reply, len)) = parse(&self.received) {
                self.received.drain(..len);
                return reply.status;
            }
            assert!(read_more(&mut self.reader, &mut self.received).await, "no answer");
        }
    }

    /// Whatever comes until the other end closes the connection.
    pub(crate) async fn rest(mut self) -> Vec<u8> {
        while read_more(&mut self.reader, &mut self.received).await {}
        self.received
    }
}

async fn read_reply(
    reader: &mut ReadHalf<Box<dyn Bytes>>,
    received: &mut Vec<u8>,
) -> Option<Reply> {
    loop {
        if let Some((reply, len)) = parse(received) {
            received.drain(..len);
            if reply.status >= 200 {
                return Some(reply);
            }
        } else if !read_more(reader, received).await {
            return None;
        }
    }
}

/// Whether anything came.
async fn read_more(reader: &mut ReadHalf<Box<dyn Bytes>>, received: &mut Vec<u8>) -> bool {
    let reading = timeout(ANSWER_TIME_MAX, reader.read_buf(received)).await;
    reading.expect("the sidecar answers or closes in time").is_ok_and(|len| len > 0)
}

/// The reply at the start of `bytes`, and its length, once it is there in full.
fn parse(bytes: &[u8]) -> Option<(Reply, usize)> {
    let head_len = bytes.windows(4).position(|it| it == b"\r\n\r\n")?;
    let head = std::str::from_utf8(&bytes[..head_len]).expect("a head is text");
    let mut lines = head.split("\r\n");
    let status = lines.next()?.strip_prefix("HTTP/1.")?.get(2..5)?;
    let headers: Vec<(String, String)> = lines
        .filter_map(|it| it.split_once(": "))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.to_owned()))
        .collect();
    let mut reply = Reply { status: status.parse().ok()?, headers, body: String::new() };
    let body_len = reply.header("content-length").map_or(0, |it| it.parse().expect("a number"));
    let body = bytes[head_len + 4..].get(..body_len)?;
    reply.body = String::from_utf8(body.to_vec()).expect("all bodies here are text");
    Some((reply, head_len + 4 + body_len))
}

impl Reply {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        let mut headers = self.headers.iter();
        headers.find(|(it, _)| it == name).map(|(_, value)| value.as_str())
    }

    /// All values of a header that may come several times.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let named = self.headers.iter().filter(|(it, _)| it == name);
        named.map(|(_, value)| value.as_str()).collect()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|e| panic!("{e} in {:?}", self.body))
    }
}
