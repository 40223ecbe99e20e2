//! The least that a server in Rust can do for the same bytes: what the sidecar is compared with.

use std::{net::Ipv4Addr, process::Command};

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, ETAG, HeaderValue},
    server::conn::http1,
    service::service_fn,
};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};

use crate::{setup, traffic::VALUE};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
    /// The ETag of every answer, as long as the store's.
    #[arg(long)]
    etag: HeaderValue,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The command line of this server, without a port.
pub(crate) fn command(etag: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(setup::own_program()?);
    command.args(["echo", "--etag", etag]);
    Ok(command)
}

/// Serves until it is killed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let workers = setup::workers();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    runtime.block_on(async {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
        loop {
            let (stream, _) = listener.accept().await?;
            tokio::spawn(serve(stream, args.etag.clone()));
        }
    })
}

async fn serve(stream: TcpStream, etag: HeaderValue) {
    let service = service_fn(|request| echo(request, etag.clone()));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that goes away is no failure.
    let _ = connection.await;
}

async fn echo(
    request: Request<Incoming>,
    etag: HeaderValue,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut response = Response::<Full<Bytes>>::default();
    response.headers_mut().insert(ETAG, etag);
    if request.method() == Method::GET {
        *response.body_mut() = Full::new(VALUE.clone());
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        return Ok(response);
    }
    request.into_body().collect().await?.to_bytes();
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}
