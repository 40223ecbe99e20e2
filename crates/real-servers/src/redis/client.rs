use std::{net::SocketAddr, path::Path};

use anyhow::{Context, Result, bail};
use futures::future::BoxFuture;
use tokio::{
    io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt, BufReader},
    net::{TcpStream, UnixStream},
    time::timeout,
};

use super::Reply;
use crate::PATIENCE;

/// A connection to a server, and enough of the protocol to ask it anything. It shares no code with the store that is
/// tested.
#[derive(Debug)]
pub struct Client<Stream = TcpStream>(BufReader<Stream>);

/// What the server at `address` replies to one command, which may be an error.
pub async fn command(address: SocketAddr, words: &[&str]) -> Result<Reply> {
    Client::connect(address).await?.ask(words).await
}

impl Client {
    /// Connects without TLS. A server with a password wants `AUTH` first.
    pub async fn connect(address: SocketAddr) -> Result<Client> {
        let stream = TcpStream::connect(address).await.context("cannot connect")?;
        Ok(Client(BufReader::new(stream)))
    }
}

impl Client<UnixStream> {
    /// Connects to a Unix socket.
    pub async fn connect_unix(path: &Path) -> Result<Client<UnixStream>> {
        let stream = UnixStream::connect(path).await.context("cannot connect")?;
        Ok(Client(BufReader::new(stream)))
    }
}

impl<Stream: AsyncRead + AsyncWrite + Send + Unpin> Client<Stream> {
    /// Sends a command and returns its reply, which may be an error.
    pub async fn ask(&mut self, words: &[impl AsRef<[u8]>]) -> Result<Reply> {
        self.send(words).await?;
        self.reply().await
    }

    /// Sends a command and leaves its reply to be read.
    pub async fn send(&mut self, words: &[impl AsRef<[u8]>]) -> Result<()> {
        let mut request = format!("*{}\r\n", words.len()).into_bytes();
        for word in words {
            let word = word.as_ref();
            request.extend(format!("${}\r\n", word.len()).bytes());
            request.extend_from_slice(word);
            request.extend_from_slice(b"\r\n");
        }
        self.0.write_all(&request).await.context("cannot send a command")
    }

    /// Reads a reply. Fails if none comes before [`PATIENCE`] is over.
    pub async fn reply(&mut self) -> Result<Reply> {
        timeout(PATIENCE, self.read()).await.context("no reply comes")?
    }

    /// The connection itself, for what is not a reply.
    pub fn stream(&mut self) -> &mut BufReader<Stream> {
        &mut self.0
    }

    fn read(&mut self) -> BoxFuture<'_, Result<Reply>> {
        Box::pin(async {
            let line = self.line().await?;
            let (kind, rest) = line.split_at_checked(1).context("an empty line")?;
            Ok(match kind {
                "+" => Reply::Status(rest.to_owned()),
                "-" => Reply::Error(rest.to_owned()),
                ":" => Reply::Integer(rest.parse()?),
                "$" | "*" if rest == "-1" => Reply::Nil,
                "$" => Reply::Bulk(self.value(rest.parse()?).await?),
                "*" => {
                    let mut replies = Vec::new();
                    for _ in 0..rest.parse()? {
                        replies.push(self.read().await?);
                    }
                    Reply::Array(replies)
                }
                _ => bail!("no reply begins like {line:?}"),
            })
        })
    }

    async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.0.read_line(&mut line).await.context("cannot read a reply")?;
        Ok(line.strip_suffix("\r\n").context("the connection ends")?.to_owned())
    }

    async fn value(&mut self, bytes: usize) -> Result<Vec<u8>> {
        let mut value = vec![0; bytes + "\r\n".len()];
        self.0.read_exact(&mut value).await.context("cannot read a value")?;
        value.truncate(bytes);
        Ok(value)
    }
}
