use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::{HeaderMap, Method, Request, StatusCode, Uri, body::Body, header::HeaderValue};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use state::{Error, FailureKind, Result};

/// The form of HTTP that a sidecar is spoken to in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Protocol {
    /// HTTP/1.1, over as many connections as there are requests at once.
    #[default]
    Http1,
    /// HTTP/2 without TLS and without asking first, over one connection.
    Http2,
}

/// Requests to one sidecar.
#[derive(Debug)]
pub(crate) struct Connection {
    client: Client<HttpConnector, Full<Bytes>>,
    base: String,
    token: Option<HeaderValue>,
}

/// The answer to a request, whatever its status.
#[derive(Debug)]
pub(crate) struct Reply {
    pub(crate) status: StatusCode,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// Where an API token stands. Source: Dapr's API.
pub(crate) const TOKEN: &str = "dapr-api-token";

/// How long a connection may take to come about.
const CONNECT_TIME_MAX: Duration = Duration::from_secs(5);

/// How long an answer may take: longer than a sidecar waits for its database. Source: 20 s,
/// Dapr's default for its SQL stores.
pub(crate) const ANSWER_TIME_MAX: Duration = Duration::from_secs(30);

/// A client for any number of requests.
pub(crate) fn client<B>(protocol: Protocol) -> Client<HttpConnector, B>
where
    B: Body<Data: Send> + Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    connector.set_connect_timeout(Some(CONNECT_TIME_MAX));
    let http2_only = protocol == Protocol::Http2;
    Client::builder(TokioExecutor::new()).http2_only(http2_only).build(connector)
}

/// The address of a sidecar.
pub(crate) fn origin(base: &str) -> Result<Uri> {
    let uri: Option<Uri> = base.parse().ok();
    uri.filter(|it| it.scheme_str() == Some("http") && it.authority().is_some()).ok_or_else(|| {
        let message = "the address of a sidecar has the form http://host:port";
        Error::new(FailureKind::Invalid, message)
    })
}

impl Connection {
    /// Requests to the sidecar at `base`, such as `http://127.0.0.1:3500`. Connects when the first
    /// of them is sent.
    pub(crate) fn new(protocol: Protocol, base: &str, token: Option<&str>) -> Result<Connection> {
        let base = base.trim_end_matches('/');
        origin(base)?;
        let token = token.map(HeaderValue::from_str).transpose().map_err(|e| {
            Error::new(FailureKind::Invalid, "the API token is no header").with_source(e)
        })?;
        let token = token.map(|mut it| {
            it.set_sensitive(true);
            it
        });
        Ok(Connection { client: client(protocol), base: base.to_owned(), token })
    }

    /// Makes a request.
    ///
    /// # Errors
    ///
    /// `Unavailable` if it cannot have reached the sidecar, `Lost` if nobody knows. An answer that
    /// is an error is not one of these.
    pub(crate) async fn send(&self, request: Request<Bytes>) -> Result<Reply> {
        let answering = async {
            let response = self.client.request(request.map(Full::new)).await.map_err(|e| {
                if e.is_connect() {
                    let message = "cannot connect to the sidecar";
                    return Error::new(FailureKind::Unavailable, message).with_source(e);
                }
                lost("the sidecar did not answer").with_source(e)
            })?;
            let (parts, body) = response.into_parts();
            let body = body.collect().await;
            let body =
                body.map_err(|e| lost("the answer of the sidecar ended early").with_source(e))?;
            Ok(Reply { status: parts.status, headers: parts.headers, body: body.to_bytes() })
        };
        let answered = tokio::time::timeout(ANSWER_TIME_MAX, answering).await;
        answered.unwrap_or_else(|_| Err(lost("the sidecar did not answer in time")))
    }

    /// A request that is not sent yet.
    ///
    /// # Errors
    ///
    /// If a header cannot be sent.
    pub(crate) fn request(
        &self,
        method: Method,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<Bytes>,
    ) -> Result<Request<Bytes>> {
        let mut request = Request::builder().method(method).uri([&self.base, path].concat());
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if let Some(token) = &self.token {
            request = request.header(TOKEN, token);
        }
        request.body(body.into()).map_err(|e| {
            Error::new(FailureKind::Invalid, "HTTP cannot carry the request").with_source(e)
        })
    }
}

impl Reply {
    /// A header's text, if there is one and it is text.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }
}

fn lost(message: &'static str) -> Error {
    Error::new(FailureKind::Lost, message)
}
