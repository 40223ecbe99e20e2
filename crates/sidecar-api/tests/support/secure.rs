//! Authorities, what they sign, and clients that speak TLS.

use std::{
    future::Future,
    io,
    net::SocketAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use bytes::Bytes;
use http_body_util::{BodyExt, Empty};
use hyper::{Request, Uri, Version};
use hyper_util::{
    client::legacy::{
        Client,
        connect::{Connected, Connection},
    },
    rt::{TokioExecutor, TokioIo},
};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair, date_time_ymd,
};
use sidecar_api::Tls;
use sidecar_proto::runtime::v1::dapr_client::DaprClient;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    sync::watch,
};
use tokio_rustls::{
    TlsConnector,
    client::TlsStream,
    rustls::{
        ClientConfig, RootCertStore, ServerConfig,
        crypto::ring,
        pki_types::{CertificateDer, PrivateKeyDer},
        server::WebPkiClientVerifier,
    },
};
use tower_service::Service;

use super::calls::{Calls, Transport};

/// Somebody whose certificates are trusted.
pub(crate) struct Authority(CertifiedIssuer<'static, KeyPair>);

/// A certificate and its key.
pub(crate) struct Certificate {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl Authority {
    pub(crate) fn new() -> Authority {
        let mut certificate = CertificateParams::default();
        certificate.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        certificate.distinguished_name.push(DnType::CommonName, "authority of the tests");
        let key = KeyPair::generate().expect("there is randomness");
        Authority(CertifiedIssuer::self_signed(certificate, key).expect("it can sign"))
    }

    /// For a client.
    pub(crate) fn sign(&self, name: &str) -> Certificate {
        self.issue(name, |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth])
    }

    pub(crate) fn sign_expired(&self, name: &str) -> Certificate {
        self.issue(name, |it| it.not_after = date_time_ymd(2020, 1, 1))
    }

    pub(crate) fn sign_for_server(&self, name: &str) -> Certificate {
        self.issue(name, |it| it.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    fn issue(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Certificate {
        let mut certificate = CertificateParams::new(vec![name.to_owned()]).expect("a plain name");
        change(&mut certificate);
        let key = KeyPair::generate().expect("there is randomness");
        let signed = certificate.signed_by(&key, &self.0).expect("it can sign");
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("it is one");
        Certificate { chain: vec![signed.der().clone()], key }
    }

    fn roots(&self) -> Arc<RootCertStore> {
        let mut roots = RootCertStore::empty();
        roots.add(self.0.der().clone()).expect("it is one");
        Arc::new(roots)
    }
}

/// TLS of a sidecar for `localhost`.
pub(crate) fn listen(authority: &Authority, clients: Option<&Authority>) -> Tls {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .expect("there are some");
    let builder = match clients {
        Some(it) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(it.roots(), provider);
            builder.with_client_cert_verifier(verifier.build().expect("there is an authority"))
        }
        None => builder.with_no_client_auth(),
    };
    let Certificate { chain, key } = authority.sign_for_server("localhost");
    let mut settings = builder.with_single_cert(chain, key).expect("they were made together");
    settings.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Tls::new(watch::channel(Arc::new(settings)).1)
}

/// What a client trusts, shows and speaks.
pub(crate) fn client(
    authority: &Authority,
    own: Option<&Certificate>,
    protocols: &[&str],
) -> Arc<ClientConfig> {
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("there are some")
        .with_root_certificates(authority.roots());
    let mut settings = match own {
        Some(it) => builder
            .with_client_auth_cert(it.chain.clone(), it.key.clone_key())
            .expect("they were made together"),
        None => builder.with_no_client_auth(),
    };
    settings.alpn_protocols = protocols.iter().map(|it| it.as_bytes().to_vec()).collect();
    Arc::new(settings)
}

pub(crate) async fn connect(
    address: SocketAddr,
    settings: Arc<ClientConfig>,
) -> io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let name = "localhost".try_into().expect("it is a name");
    TlsConnector::from(settings).connect(name, stream).await
}

/// The body of an answer over HTTP/2.
pub(crate) async fn get_over_http2(
    address: SocketAddr,
    settings: &Arc<ClientConfig>,
    path: &str,
) -> String {
    let connector = Connector { address, settings: settings.clone() };
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    let uri = format!("https://localhost:{}{path}", address.port());
    let request = Request::get(uri).body(Empty::<Bytes>::new()).expect("it is well-formed");
    let response = client.request(request).await.expect("it is answered");
    assert_eq!(response.version(), Version::HTTP_2);
    let body = response.into_body().collect().await.expect("it is whole").to_bytes();
    String::from_utf8(body.to_vec()).expect("it is text")
}

/// A client of gRPC over TLS.
pub(crate) fn calls(address: SocketAddr, settings: Arc<ClientConfig>) -> Calls<SecureTransport> {
    let origin: Uri = format!("https://localhost:{}", address.port()).parse().expect("it is one");
    let connector = Connector { address, settings };
    let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector);
    Calls(DaprClient::with_origin(client, origin))
}

pub(crate) type SecureTransport = Transport<Connector>;

/// Connects to one address, whatever the name in the URL.
#[derive(Clone, Debug)]
pub(crate) struct Connector {
    address: SocketAddr,
    settings: Arc<ClientConfig>,
}

impl Service<Uri> for Connector {
    type Response = TokioIo<Stream>;
    type Error = io::Error;
    type Future = Pin<Box<dyn Future<Output = io::Result<TokioIo<Stream>>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connecting = connect(self.address, self.settings.clone());
        Box::pin(async { Ok(TokioIo::new(Stream(connecting.await?))) })
    }
}

#[derive(Debug)]
pub(crate) struct Stream(TlsStream<TcpStream>);

impl Connection for Stream {
    fn connected(&self) -> Connected {
        Connected::new()
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_read(cx, buffer)
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(cx)
    }
}
