//! The least that a server in Rust can do for the same bytes: what the sidecar is compared with.

use std::{
    convert::Infallible,
    net::Ipv4Addr,
    process::Command,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use futures::future::{Ready, ready, try_join};
use http_body_util::{BodyExt, Full};
use hyper::{
    Method, Request, Response, StatusCode,
    body::Incoming,
    header::{CONTENT_TYPE, ETAG, HeaderValue},
    server::conn::{http1, http2},
    service::service_fn,
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use prost::Message;
use sidecar_proto::runtime::v1::{
    BulkStateItem, DeleteStateRequest, ExecuteStateTransactionRequest, GetBulkStateRequest,
    GetBulkStateResponse, GetStateRequest, GetStateResponse, SaveStateRequest,
};
use tokio::net::{TcpListener, TcpStream};
use tonic::Status;
use tonic_prost::ProstCodec;
use tower_service::Service;

use crate::{
    setup,
    traffic::{self, Traffic},
};

#[derive(Debug, clap::Args)]
pub(crate) struct Args {
    #[arg(long)]
    port: u16,
    #[arg(long)]
    grpc_port: u16,
    /// The ETag of every answer, as long as the store's.
    #[arg(long)]
    etag: String,
    #[arg(long)]
    value_bytes: usize,
    #[arg(long)]
    bulk_len: usize,
}

/// What is answered, made once.
#[derive(Debug)]
struct Answers {
    etag: HeaderValue,
    get: GetStateResponse,
    bulk_get: GetBulkStateResponse,
    /// The same as JSON.
    bulk_get_json: Bytes,
}

const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// How many ETags the answer to a transaction has over gRPC.
const TRANSACTION_LEN: usize = 5;

/// The command line of this server, without its port for HTTP.
pub(crate) fn command(traffic: &Traffic, etag: &str, grpc_port: u16) -> anyhow::Result<Command> {
    let mut command = Command::new(setup::own_program()?);
    command.args(["echo", "--etag", etag, "--grpc-port", &grpc_port.to_string()]);
    command.args(["--value-bytes", &traffic.value.len().to_string()]);
    command.args(["--bulk-len", &traffic.bulk_len.to_string()]);
    Ok(command)
}

/// Serves until it is killed.
pub(crate) fn run(args: &Args) -> anyhow::Result<()> {
    let workers = setup::workers();
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(workers).enable_all().build()?;
    let answers = Arc::new(Answers::new(args)?);
    runtime.block_on(async {
        let http = TcpListener::bind((Ipv4Addr::LOCALHOST, args.port)).await?;
        let grpc = TcpListener::bind((Ipv4Addr::LOCALHOST, args.grpc_port)).await?;
        let http = async {
            loop {
                tokio::spawn(serve(http.accept().await?.0, answers.clone()));
            }
        };
        let grpc = async {
            loop {
                tokio::spawn(serve_grpc(grpc.accept().await?.0, answers.clone()));
            }
        };
        try_join::<_, _>(http, grpc).await.map(|((), ())| ())
    })
}

impl Answers {
    fn new(args: &Args) -> anyhow::Result<Answers> {
        let (etag, data) = (args.etag.clone(), traffic::value(args.value_bytes));
        let item = |n| BulkStateItem {
            key: traffic::key(n, traffic::KEYS),
            data: data.clone(),
            etag: etag.clone(),
            ..BulkStateItem::default()
        };
        let bulk_get = GetBulkStateResponse { items: (0..args.bulk_len).map(item).collect() };
        let json = |it: &BulkStateItem| {
            let data = String::from_utf8_lossy(&it.data);
            format!(r#"{{"key":"{}","data":{data},"etag":"{etag}"}}"#, it.key)
        };
        let items: Vec<String> = bulk_get.items.iter().map(json).collect();
        Ok(Answers {
            etag: etag.parse()?,
            get: GetStateResponse { data: data.clone(), etag: etag.clone(), ..Default::default() },
            bulk_get,
            bulk_get_json: format!("[{}]", items.join(",")).into(),
        })
    }
}

async fn serve(stream: TcpStream, answers: Arc<Answers>) {
    // As every server that answers one request at a time. If it fails, so does what follows.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| echo(request, &answers));
    let connection = http1::Builder::new().serve_connection(TokioIo::new(stream), service);
    // A client that goes away is no failure.
    let _ = connection.await;
}

async fn echo(
    request: Request<Incoming>,
    answers: &Answers,
) -> Result<Response<Full<Bytes>>, hyper::Error> {
    let mut response = Response::new(Full::default());
    let path = request.uri().path();
    let (is_bulk_get, is_transaction) = (path.ends_with("/bulk"), path.ends_with("/transaction"));
    if request.method() == Method::GET {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        response.headers_mut().insert(ETAG, answers.etag.clone());
        *response.body_mut() = Full::new(answers.get.data.clone());
        return Ok(response);
    }
    let is_delete = request.method() == Method::DELETE;
    request.into_body().collect().await?.to_bytes();
    if is_bulk_get {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        *response.body_mut() = Full::new(answers.bulk_get_json.clone());
        return Ok(response);
    }
    if !is_transaction && !is_delete {
        response.headers_mut().insert(ETAG, answers.etag.clone());
    }
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

async fn serve_grpc(stream: TcpStream, answers: Arc<Answers>) {
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| echo_grpc(request, answers.clone()));
    let connection = http2::Builder::new(TokioExecutor::new());
    // A client that goes away is no failure.
    let _ = connection.serve_connection(TokioIo::new(stream), service).await;
}

/// Nothing but tonic's codec around an answer that is there already.
async fn echo_grpc(
    request: Request<Incoming>,
    answers: Arc<Answers>,
) -> Result<Response<tonic::body::Body>, Infallible> {
    let call = request.uri().path().rsplit('/').next().unwrap_or_default();
    Ok(match call {
        "GetState" => unary::<GetStateRequest, _>(request, answers.get.clone(), None, 0).await,
        "GetBulkState" => {
            unary::<GetBulkStateRequest, _>(request, answers.bulk_get.clone(), None, 0).await
        }
        "DeleteState" => unary::<DeleteStateRequest, _>(request, (), None, 0).await,
        "ExecuteStateTransaction" => {
            let etag = Some(&answers.etag);
            unary::<ExecuteStateTransactionRequest, _>(request, (), etag, TRANSACTION_LEN).await
        }
        _ => unary::<SaveStateRequest, _>(request, (), Some(&answers.etag), 1).await,
    })
}

async fn unary<Question, Reply>(
    request: Request<Incoming>,
    reply: Reply,
    etag: Option<&HeaderValue>,
    etags: usize,
) -> Response<tonic::body::Body>
where
    Question: Message + Default + 'static,
    Reply: Message + Clone + 'static,
{
    let codec = ProstCodec::<Reply, Question>::default();
    let echo = Echo { reply, etag: etag.cloned(), etags };
    tonic::server::Grpc::new(codec).unary(echo, request).await
}

/// Answers any question with a message, and with versions in the metadata.
#[derive(Clone, Debug)]
struct Echo<Reply> {
    reply: Reply,
    etag: Option<HeaderValue>,
    etags: usize,
}

impl<Question, Reply: Clone> Service<tonic::Request<Question>> for Echo<Reply> {
    type Response = tonic::Response<Reply>;
    type Error = Status;
    type Future = Ready<Result<Self::Response, Status>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Status>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: tonic::Request<Question>) -> Self::Future {
        let mut response = tonic::Response::new(self.reply.clone());
        let etag = self.etag.as_ref().and_then(|it| it.to_str().ok()?.parse().ok());
        if let Some(etag) = etag {
            for _ in 0..self.etags {
                response
                    .metadata_mut()
                    .append("etag", tonic::metadata::MetadataValue::clone(&etag));
            }
        }
        ready(Ok(response))
    }
}
