//! The least that a server in Rust can do for the same bytes: what the sidecar is compared with.

use std::{
    net::Ipv4Addr,
    process::Command,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::{Ready, ready};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, ETAG, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use sidecar_proto::runtime::v1::{GetStateRequest, GetStateResponse, SaveStateRequest};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::{client::Wire, setup, traffic::VALUE};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
    /// The ETag of every answer, as long as the store's.
    #[arg(long)]
    etag: HeaderValue,
    /// Speak gRPC
    #[arg(long)]
    grpc: bool,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// The command line of this server, without a port.
pub(crate) fn command(wire: Wire, etag: &str) -> anyhow::Result<Command> {
    let mut command = Command::new(setup::own_program()?);
    command.args(["echo", "--etag", etag]);
    if wire == Wire::Grpc {
        command.arg("--grpc");
    }
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
            if args.grpc {
                tokio::spawn(serve_grpc(stream, args.etag.clone()));
            } else {
                tokio::spawn(serve(stream, args.etag.clone()));
            }
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

async fn serve_grpc(stream: TcpStream, etag: HeaderValue) {
    let service = service_fn(|request| echo_grpc(request, etag.clone()));
    let connection = http2::Builder::new(TokioExecutor::new());
    // A client that goes away is no failure.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// Nothing but tonic's codec around an answer that is there already.
async fn echo_grpc(
    request: Request<Incoming>,
    etag: HeaderValue,
) -> Result<Response<tonic::body::Body>, std::convert::Infallible> {
    if request.uri().path().ends_with("/GetState") {
        let codec = ProstCodec::<GetStateResponse, GetStateRequest>::default();
        return Ok(tonic::server::Grpc::new(codec).unary(Echo(etag), request).await);
    }
    let codec = ProstCodec::<(), SaveStateRequest>::default();
    Ok(tonic::server::Grpc::new(codec).unary(Echo(etag), request).await)
}

/// Answers with a value, or with a new version.
#[derive(Clone, Debug)]
struct Echo(HeaderValue);

impl Service<tonic::Request<GetStateRequest>> for Echo {
    type Response = tonic::Response<GetStateResponse>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tonic::Request<GetStateRequest>) -> Self::Future {
        let etag = self.0.to_str().unwrap_or_default().to_owned();
        let response = GetStateResponse { data: VALUE.clone(), etag, ..Default::default() };
        ready(Ok(tonic::Response::new(response)))
    }
}

impl Service<tonic::Request<SaveStateRequest>> for Echo {
    type Response = tonic::Response<()>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tonic::Request<SaveStateRequest>) -> Self::Future {
        let mut response = tonic::Response::new(());
        if let Ok(etag) = self.0.to_str().unwrap_or_default().parse() {
            response.metadata_mut().insert("etag", etag);
        }
        ready(Ok(response))
    }
}
