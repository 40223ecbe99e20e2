//! The way to a collector: one connection for each batch, over HTTP/1.1 or, for gRPC, HTTP/2.

use std::{fmt::Display, sync::Arc, time::Duration};

use bytes::{BufMut, Bytes, BytesMut};
use http_body_util::{BodyExt, Full};
use hyper::{
    HeaderMap, Request, Response,
    body::Incoming,
    client::conn::{http1, http2},
    header::{CONTENT_TYPE, HOST},
};
use hyper_util::rt::{TokioExecutor, TokioIo};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpStream,
    time::timeout,
};
use tokio_rustls::{
    TlsConnector,
    rustls::{ClientConfig, RootCertStore, crypto::ring, pki_types::ServerName},
};

use super::{
    Record,
    options::{OtelOptions, Service},
    otlp, zipkin,
};

/// Where spans go.
#[derive(Clone, Debug)]
pub(super) enum Destination {
    /// To standard output, a line each.
    Stdout,
    /// To a server.
    Server(Server),
}

/// A server, and how it is spoken to.
#[derive(Clone, Debug)]
pub(super) struct Server {
    form: Form,
    is_secure: bool,
    /// `host:port`.
    authority: String,
    path: String,
    options: OtelOptions,
}

/// What a server understands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    Zipkin,
    OtlpHttp,
    OtlpGrpc,
}

/// Sends to one destination.
#[derive(Debug)]
pub(super) struct Sender(Destination);

impl Destination {
    /// The server at a URL, or at an address without a scheme, for which the options say whether it is secure.
    pub(super) fn server(url: &str, form: Form, options: &OtelOptions) -> Destination {
        let (is_secure, rest) = match url.split_once("://") {
            Some((scheme, rest)) => (scheme == "https", rest),
            None => (options.is_secure, url),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |it| rest.split_at(it));
        let usual = match form {
            Form::Zipkin => "/api/v2/spans",
            Form::OtlpHttp => "/v1/traces",
            Form::OtlpGrpc => "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
        };
        let own = path.trim_end_matches('/');
        let path = if own.is_empty() || form == Form::OtlpGrpc { usual } else { own };
        Destination::Server(Server {
            form,
            is_secure,
            authority: authority.to_owned(),
            path: path.to_owned(),
            options: options.clone(),
        })
    }
}

impl Sender {
    pub(super) fn new(to: Destination) -> Sender {
        Sender(to)
    }

    /// Sends a batch.
    ///
    /// # Errors
    ///
    /// If the collector did not say in time that it has it.
    pub(super) async fn send(&mut self, service: &Service, batch: &[Record]) -> Result<(), String> {
        let server = match &self.0 {
            Destination::Stdout => {
                for it in batch {
                    anstream::println!("{}", zipkin::span(service, it));
                }
                return Ok(());
            }
            Destination::Server(it) => it,
        };
        let (kind, body) = match server.form {
            Form::Zipkin => ("application/json", zipkin::batch(service, batch).to_string().into()),
            Form::OtlpHttp => ("application/x-protobuf", otlp::encode(service, batch)),
            Form::OtlpGrpc => ("application/grpc", framed(&otlp::encode(service, batch))),
        };
        let sent = timeout(server.options.timeout, server.post(kind, body.into()));
        let Server { authority, options: OtelOptions { timeout, .. }, .. } = server;
        let answered = sent.await.unwrap_or_else(|_| Err(no_answer(*timeout)));
        answered.map_err(|e| format!("{authority}: {e}"))
    }
}

fn no_answer(within: Duration) -> String {
    format!("no answer within {within:?}")
}

/// Puts before a message what gRPC has there: that it is not compressed, and its length.
fn framed(message: &[u8]) -> Vec<u8> {
    let mut framed = BytesMut::with_capacity(message.len() + 5);
    framed.put_u8(0);
    framed.put_u32(message.len() as u32);
    framed.put_slice(message);
    framed.to_vec()
}

impl Server {
    async fn post(&self, kind: &str, body: Bytes) -> Result<(), String> {
        let (host, port) = self.host_and_port()?;
        let tcp = TcpStream::connect((host, port)).await.map_err(text)?;
        if !self.is_secure {
            return self.talk(tcp, kind, body).await;
        }
        let name = ServerName::try_from(host.to_owned()).map_err(text)?;
        let tls = TlsConnector::from(self.tls()?).connect(name, tcp).await.map_err(text)?;
        self.talk(tls, kind, body).await
    }

    fn host_and_port(&self) -> Result<(&str, u16), String> {
        let usual = match self.form {
            Form::Zipkin => 9411,
            Form::OtlpHttp => 4318,
            Form::OtlpGrpc => 4317,
        };
        match self.authority.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => {
                let port = port.parse().map_err(|_| "the port is no number".to_owned())?;
                Ok((host.trim_matches(['[', ']']), port))
            }
            _ => Ok((self.authority.trim_matches(['[', ']']), usual)),
        }
    }

    /// With the authorities that this machine trusts.
    fn tls(&self) -> Result<Arc<ClientConfig>, String> {
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        let mut config = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
            .with_safe_default_protocol_versions()
            .map_err(text)?
            .with_root_certificates(roots)
            .with_no_client_auth();
        if self.form == Form::OtlpGrpc {
            config.alpn_protocols = vec![b"h2".to_vec()];
        }
        Ok(Arc::new(config))
    }

    async fn talk<S>(&self, stream: S, kind: &str, body: Bytes) -> Result<(), String>
    where
        S: AsyncRead + AsyncWrite + Send + Unpin + 'static,
    {
        let Server { path, authority, .. } = self;
        let mut request = Request::post(path.as_str()).header(CONTENT_TYPE, kind);
        for (name, value) in &self.options.headers {
            request = request.header(name, value);
        }
        let io = TokioIo::new(stream);
        if self.form != Form::OtlpGrpc {
            let request = request.header(HOST, authority).body(Full::new(body)).map_err(text)?;
            let (mut sender, connection) = http1::handshake(io).await.map_err(text)?;
            let driving = tokio::spawn(connection);
            let response = sender.send_request(request).await.map_err(text)?;
            let status = response.status();
            driving.abort();
            return if status.is_success() { Ok(()) } else { Err(format!("status {status}")) };
        }
        let scheme = if self.is_secure { "https" } else { "http" };
        let request = request.uri(format!("{scheme}://{authority}{path}"));
        let request = request.header("te", "trailers").body(Full::new(body)).map_err(text)?;
        let (mut sender, connection) =
            http2::handshake(TokioExecutor::new(), io).await.map_err(text)?;
        let driving = tokio::spawn(connection);
        let taken = grpc_status(sender.send_request(request).await.map_err(text)?).await;
        driving.abort();
        taken
    }
}

/// What became of a call: it is in the headers, or else after the messages.
async fn grpc_status(response: Response<Incoming>) -> Result<(), String> {
    let (parts, body) = response.into_parts();
    let of = |headers: &HeaderMap| {
        headers.get("grpc-status").and_then(|it| it.to_str().ok()).map(str::to_owned)
    };
    let status = match of(&parts.headers) {
        Some(it) => Some(it),
        None => body.collect().await.map_err(text)?.trailers().and_then(of),
    };
    match status.as_deref() {
        Some("0") => Ok(()),
        Some(it) => Err(format!("gRPC status {it}")),
        None => Err(format!("no gRPC status, HTTP status {}", parts.status)),
    }
}

fn text(e: impl Display) -> String {
    e.to_string()
}
