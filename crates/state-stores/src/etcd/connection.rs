//! One connection to a member, on which many calls of gRPC are under way.

use std::{
    fmt,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    time::Duration,
};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Request, client::conn::http2::SendRequest, header::HeaderValue};
use hyper_util::rt::{TokioExecutor, TokioIo};
use percent_encoding::percent_decode_str;
use prost::Message;
use rustls::pki_types::ServerName;
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::TlsConnector;
use tracing::debug;

use super::{
    messages::{AuthenticateRequest, AuthenticateResponse, Nothing, StatusResponse},
    settings::{Endpoint, Login},
};

/// For a connection to be made, and its member to have answered. Longer than a distant member takes, and so short that
/// another is asked before clients give up.
const CONNECT_MAX: Duration = Duration::from_secs(2);

/// What of answers is taken before it is read. The defaults of HTTP/2 have a large answer wait for each 64 KiB of it.
const STREAM_WINDOW: u32 = 1 << 20;
const CONNECTION_WINDOW: u32 = 4 << 20;

/// A connection whose member has answered on it.
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    /// What comes before the path.
    origin: String,
    token: Option<HeaderValue>,
    /// How many answers have come.
    heard: AtomicU64,
    is_retired: AtomicBool,
    /// What the member said of itself.
    pub(super) version: String,
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Unanswered {
    /// Nobody was asked.
    NotSent(String),
    /// Nobody knows what became of it.
    Silence(String),
    /// The server has refused it, or says that it does not know either.
    Refused { code: u32, message: String },
}

impl Connection {
    /// Makes one, logs in, and has the member answer, which must know of a leader.
    pub(super) async fn open(
        endpoint: &Endpoint,
        login: Option<&Login>,
    ) -> Result<Arc<Connection>, Unanswered> {
        timeout(CONNECT_MAX, Connection::try_open(endpoint, login)).await.unwrap_or_else(|_| {
            Err(Unanswered::NotSent(format!("it did not answer within {CONNECT_MAX:?}")))
        })
    }

    async fn try_open(
        endpoint: &Endpoint,
        login: Option<&Login>,
    ) -> Result<Arc<Connection>, Unanswered> {
        let not_sent = |e: &dyn fmt::Display| Unanswered::NotSent(e.to_string());
        let tcp = TcpStream::connect((endpoint.host.as_str(), endpoint.port));
        let tcp = tcp.await.map_err(|e| not_sent(&e))?;
        // Each request is one small piece, and is waited for.
        tcp.set_nodelay(true).map_err(|e| not_sent(&e))?;
        let (scheme, sender) = match &endpoint.tls {
            None => ("http", handshake(tcp).await?),
            Some(tls) => {
                let name = ServerName::try_from(endpoint.host.clone());
                let name = name.map_err(|e| not_sent(&e))?;
                let stream = TlsConnector::from(tls.clone()).connect(name, tcp).await;
                ("https", handshake(stream.map_err(|e| not_sent(&e))?).await?)
            }
        };
        let host = match endpoint.host.contains(':') {
            true => format!("[{}]", endpoint.host),
            false => endpoint.host.clone(),
        };
        let mut connection = Connection {
            sender,
            origin: format!("{scheme}://{host}:{}", endpoint.port),
            token: None,
            heard: AtomicU64::new(0),
            is_retired: AtomicBool::new(false),
            version: String::new(),
        };
        // A member that takes connections may have nothing else to say.
        let status: StatusResponse = connection.call(path::STATUS, &Nothing {}).await?;
        if status.leader == 0 {
            return Err(Unanswered::NotSent("it knows of no leader".to_owned()));
        }
        connection.version = status.version;
        if let Some(login) = login {
            let asked = AuthenticateRequest {
                name: login.username.clone(),
                password: login.password.clone(),
            };
            let answer: AuthenticateResponse = connection.call(path::AUTHENTICATE, &asked).await?;
            let mut token = HeaderValue::from_str(&answer.token).map_err(|e| not_sent(&e))?;
            token.set_sensitive(true);
            connection.token = Some(token);
        }
        Ok(Arc::new(connection))
    }

    /// Whether it can take calls.
    pub(super) fn is_usable(&self) -> bool {
        !self.is_retired.load(Relaxed) && !self.sender.is_closed()
    }

    /// Has it take no more calls. Those that are under way are answered.
    pub(super) fn retire(&self) {
        self.is_retired.store(true, Relaxed);
    }

    /// How many answers have come.
    pub(super) fn heard(&self) -> u64 {
        self.heard.load(Relaxed)
    }

    /// Source: gRPC over HTTP/2.
    pub(super) async fn call<A: Message + Default>(
        &self,
        path: &str,
        message: &impl Message,
    ) -> Result<A, Unanswered> {
        let length = message.encoded_len();
        let mut body = BytesMut::with_capacity(PREFIX_LEN + length);
        body.put_u8(0);
        body.put_u32(u32::try_from(length).map_err(|e| Unanswered::NotSent(e.to_string()))?);
        message.encode(&mut body).map_err(|e| Unanswered::NotSent(e.to_string()))?;
        let request = Request::post(format!("{}{path}", self.origin))
            .header("content-type", "application/grpc")
            .header("te", "trailers")
            // A member that was cut off from the others refuses at once, instead of telling what may be long past.
            .header("hasleader", "true");
        let request = match &self.token {
            Some(token) => request.header("token", token),
            None => request,
        };
        let request = request
            .body(Full::new(body.freeze()))
            .map_err(|e| Unanswered::NotSent(e.to_string()))?;
        let response = self.sender.clone().try_send_request(request).await;
        let response = response.map_err(|mut e| match e.take_message() {
            Some(_) => Unanswered::NotSent(said(e.error())),
            None => Unanswered::Silence(said(e.error())),
        })?;
        if let Some(refused) = refusal(response.headers()) {
            self.heard.fetch_add(1, Relaxed);
            return Err(refused);
        }
        let body = response.into_body().collect().await;
        let body = body.map_err(|e| Unanswered::Silence(said(&e)))?;
        self.heard.fetch_add(1, Relaxed);
        match body.trailers() {
            None => return Err(Unanswered::Silence("the answer has no end".to_owned())),
            Some(it) if it.get(STATUS).is_none_or(|it| it != "0") => {
                let unknown = || Unanswered::Silence("the answer has no status".to_owned());
                return Err(refusal(it).unwrap_or_else(unknown));
            }
            Some(_) => {}
        }
        let body = body.to_bytes();
        let message = body.get(PREFIX_LEN..).unwrap_or_default();
        A::decode(message).map_err(|e| Unanswered::Silence(format!("it is no answer: {e}")))
    }
}

/// The calls that are made.
pub(super) mod path {
    pub(crate) const RANGE: &str = "/etcdserverpb.KV/Range";
    pub(crate) const TRANSACTION: &str = "/etcdserverpb.KV/Txn";
    pub(crate) const GRANT: &str = "/etcdserverpb.Lease/LeaseGrant";
    pub(crate) const REVOKE: &str = "/etcdserverpb.Lease/LeaseRevoke";
    pub(crate) const TIME_TO_LIVE: &str = "/etcdserverpb.Lease/LeaseTimeToLive";
    pub(crate) const STATUS: &str = "/etcdserverpb.Maintenance/Status";
    pub(crate) const MEMBERS: &str = "/etcdserverpb.Cluster/MemberList";
    pub(crate) const AUTHENTICATE: &str = "/etcdserverpb.Auth/Authenticate";
}

/// Before a message: whether it is compressed, and its length.
const PREFIX_LEN: usize = 5;

const STATUS: &str = "grpc-status";

async fn handshake(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
) -> Result<SendRequest<Full<Bytes>>, Unanswered> {
    let handshake = hyper::client::conn::http2::Builder::new(TokioExecutor::new())
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .handshake(TokioIo::new(stream));
    let (sender, connection) = handshake.await.map_err(|e| Unanswered::NotSent(said(&e)))?;
    tokio::spawn(async move {
        // Whoever waits for an answer is told the same.
        if let Err(e) = connection.await {
            debug!(error = %e, "a connection to etcd has ended");
        }
    });
    Ok(sender)
}

/// `None` if it says that all is well, or nothing.
fn refusal(headers: &HeaderMap) -> Option<Unanswered> {
    let code: u32 = headers.get(STATUS)?.to_str().ok()?.parse().ok()?;
    let message = headers.get("grpc-message").and_then(|it| it.to_str().ok()).unwrap_or("");
    let message = percent_decode_str(message).decode_utf8_lossy().into_owned();
    (code != 0).then_some(Unanswered::Refused { code, message })
}

/// An error with what caused it.
fn said(e: &hyper::Error) -> String {
    let mut text = e.to_string();
    let mut cause = std::error::Error::source(e);
    while let Some(e) = cause {
        text = format!("{text}: {e}");
        cause = e.source();
    }
    text
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("origin", &self.origin).finish_non_exhaustive()
    }
}
