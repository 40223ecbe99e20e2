//! A client that sends one request at a time, and looks no further than it must.

mod grpc;
mod http;

use std::{fmt, net::SocketAddr};

use anyhow::bail;
use bytes::Bytes;
use clap::ValueEnum;
use futures::future::try_join_all;

use self::{grpc::Stream, http::Connection};

/// What requests travel on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub(crate) enum Wire {
    /// HTTP/1.1, a connection for each client
    Http,
    /// gRPC, eight clients on a connection, as applications do
    Grpc,
}

impl Wire {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Wire::Http => "http",
            Wire::Grpc => "grpc",
        }
    }
}

impl fmt::Display for Wire {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
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

/// Which answers are good.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Good {
    /// Of HTTP. Over gRPC there is one good status.
    pub(crate) statuses: &'static [u16],
    /// How long the body is at least: the status of a bulk get does not say what was not found.
    pub(crate) body_len_min: usize,
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

    /// The ETag of the answer to the last request. Over HTTP only.
    pub(crate) fn etag(&self) -> anyhow::Result<String> {
        match self {
            Client::Http(it) => it.etag(),
            Client::Grpc(_) => bail!("over gRPC no ETags are looked for"),
        }
    }
}
