use std::net::SocketAddr;

use anyhow::{Context, ensure};
use bytes::Bytes;
use h2::client::SendRequest;
use tokio::net::TcpStream;

use super::Good;

/// A share of a connection of HTTP/2.
#[derive(Debug)]
pub(crate) struct Stream {
    sender: SendRequest<Bytes>,
    authority: String,
}

impl Stream {
    pub(super) async fn open(address: SocketAddr) -> anyhow::Result<Stream> {
        let stream = TcpStream::connect(address).await.context("cannot connect to the server")?;
        stream.set_nodelay(true)?;
        let (sender, connection) = h2::client::handshake(stream).await?;
        // How it ends is seen by whoever sends on it.
        tokio::spawn(async move { drop(connection.await) });
        Ok(Stream { sender, authority: address.to_string() })
    }

    pub(super) fn share(&self) -> Stream {
        Stream { sender: self.sender.clone(), authority: self.authority.clone() }
    }

    pub(super) async fn exchange(
        &mut self,
        call: &str,
        message: &Bytes,
        good: Good,
    ) -> anyhow::Result<()> {
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
