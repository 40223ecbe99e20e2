//! TLS on the ports: files, flags, and who is let in.

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    path::Path,
    sync::Arc,
};

use real_servers::Certificates;
use rustls::{
    ClientConfig, ClientConnection, RootCertStore, StreamOwned,
    crypto::ring,
    pki_types::{CertificateDer, PrivateKeyDer, pem::PemObject},
};
use tempfile::TempDir;

use crate::support::{Steadfast, command, eventually, finished};

const TLS: [&str; 4] = ["--tls-cert", "cert.pem", "--tls-key", "key.pem"];
const SERVE: [&str; 8] =
    ["serve", "--app-id", "app", "--state-store", "memory", "--dapr-http-port", "0", "-G0"];

/// Puts what a sidecar needs into its folder.
fn put(folder: &Path, certificates: &Certificates) {
    fs::write(folder.join("cert.pem"), &certificates.server).unwrap();
    fs::write(folder.join("key.pem"), &certificates.server_key).unwrap();
    fs::write(folder.join("ca.pem"), &certificates.authority).unwrap();
}

fn certificate(pem: &str) -> CertificateDer<'static> {
    CertificateDer::from_pem_slice(pem.as_bytes()).unwrap()
}

/// A client that trusts this authority, and shows its certificate if it is to.
fn client(certificates: &Certificates, shows: bool) -> Arc<ClientConfig> {
    let mut roots = RootCertStore::empty();
    roots.add(certificate(&certificates.authority)).unwrap();
    let builder = ClientConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots);
    let key = PrivateKeyDer::from_pem_slice(certificates.client_key.as_bytes()).unwrap();
    Arc::new(match shows {
        true => {
            builder.with_client_auth_cert(vec![certificate(&certificates.client)], key).unwrap()
        }
        false => builder.with_no_client_auth(),
    })
}

/// A connection of TLS, on which nothing has been said yet.
fn connect(port: u16, client: &Arc<ClientConfig>) -> StreamOwned<ClientConnection, TcpStream> {
    let stream = TcpStream::connect(("127.0.0.1", port)).unwrap();
    let connection = ClientConnection::new(client.clone(), "localhost".try_into().unwrap());
    StreamOwned::new(connection.unwrap(), stream)
}

/// The status of a request; an error if the other end is not what is trusted, or does not trust.
fn ask(stream: &mut (impl Read + Write), token: Option<&str>) -> std::io::Result<u16> {
    let token = token.map(|it| format!("dapr-api-token: {it}\r\n")).unwrap_or_default();
    let request =
        format!("GET /v1.0/state/statestore/k HTTP/1.1\r\nHost: localhost\r\n{token}\r\n");
    stream.write_all(request.as_bytes())?;
    let mut start = [0; 12];
    stream.read_exact(&mut start)?;
    Ok(String::from_utf8_lossy(&start)[9..].parse().unwrap())
}

fn status(port: u16, client: &Arc<ClientConfig>, token: Option<&str>) -> Option<u16> {
    ask(&mut connect(port, client), token).ok()
}

#[test]
fn certificates_of_clients_are_as_good_as_a_token_for_other_machines() {
    let folder = TempDir::new().unwrap();
    let (own, others) = (Certificates::generate().unwrap(), Certificates::generate().unwrap());
    put(folder.path(), &own);
    let exposed = [&SERVE[..], &TLS, &["--dapr-listen-addresses", "0.0.0.0"]].concat();
    let (code, output) = finished(folder.path(), &exposed);
    assert!(code == 1 && output.contains("--tls-client-ca"), "TLS alone knows nobody: {output}");
    let mutual = [&exposed[..], &["--tls-client-ca", "ca.pem"]].concat();
    let mut sidecar = Steadfast::start(command(folder.path(), &mutual));
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    assert_eq!(status(port, &client(&own, true), None), Some(204));
    assert_eq!(status(port, &client(&own, false), None), None);
    let mut stranger = TcpStream::connect(("127.0.0.1", port)).unwrap();
    assert_eq!(
        ask(&mut stranger, None).unwrap(),
        400,
        "plain HTTP is told that it is the wrong way"
    );
    sidecar.line_with("refused over TLS");
    assert_eq!(status(port, &client(&others, true), None), None, "the sidecar is not who it was");
}

#[test]
fn run_tells_its_application_and_trusts_nobody_over_tls() {
    let folder = TempDir::new().unwrap();
    let own = Certificates::generate().unwrap();
    put(folder.path(), &own);
    let script =
        "echo told $DAPR_HTTP_ENDPOINT $DAPR_GRPC_ENDPOINT $DAPR_API_TOKEN; exec sleep 600";
    let start = ["run", "--app-id", "app", "--state-store", "memory", "-H", "0", "-G", "0"];
    let arguments = [&start[..], &TLS, &["--", "sh", "-c", script]].concat();
    let mut job = Steadfast::start(command(folder.path(), &arguments));
    let port = job.port();
    let line = job.line_with("told ");
    let told: Vec<&str> = line.split("told ").nth(1).unwrap().trim().split(' ').collect();
    assert_eq!(told[0], format!("https://localhost:{port}"));
    assert_eq!(told[1], format!("https://localhost:{}", job.grpc_port()));
    let known = client(&own, false);
    assert_eq!(status(port, &known, Some(told[2])), Some(204));
    assert_eq!(status(port, &known, None), Some(401), "a proxy of the same user is not the user");
}

#[test]
fn certificate_that_is_replaced_needs_no_restart() {
    let folder = TempDir::new().unwrap();
    let (old, new) = (Certificates::generate().unwrap(), Certificates::generate().unwrap());
    put(folder.path(), &old);
    let arguments = [&SERVE[..], &TLS].concat();
    let mut sidecar = Steadfast::start(command(folder.path(), &arguments));
    let port = sidecar.port();
    sidecar.line_with("dapr initialized");
    let mut kept = connect(port, &client(&old, false));
    assert_eq!(ask(&mut kept, None).unwrap(), 204);
    fs::write(folder.path().join("key.pem"), "half of a file").unwrap();
    sidecar.line_with("the TLS certificate stays as it was");
    assert_eq!(status(port, &client(&old, false), None), Some(204));
    put(folder.path(), &new);
    sidecar.line_with("new connections have the TLS certificate");
    eventually("the new one is shown", || status(port, &client(&new, false), None) == Some(204));
    assert_eq!(status(port, &client(&old, false), None), None);
    let mut rest = [0; 1024];
    // The rest of the first head.
    let _ = kept.read(&mut rest).unwrap();
    assert_eq!(ask(&mut kept, None).unwrap(), 204, "connections that are there stay");
}

#[test]
fn files_and_flags_that_do_not_go_together_end_the_start() {
    let folder = TempDir::new().unwrap();
    let (own, others) = (Certificates::generate().unwrap(), Certificates::generate().unwrap());
    put(folder.path(), &own);
    let with = |more: &[&str]| finished(folder.path(), &[&SERVE[..], more].concat());
    assert_eq!(with(&["--tls-cert", "cert.pem"]).0, 2);
    assert_eq!(with(&["--tls-client-ca", "ca.pem"]).0, 2);
    let sockets = with(&[&TLS[..], &["-u", "sockets"]].concat());
    assert!(sockets.0 == 1 && sockets.1.contains("--unix-domain-socket"), "{sockets:?}");
    fs::write(folder.path().join("key.pem"), &others.server_key).unwrap();
    let mismatch = with(&TLS);
    assert!(mismatch.0 == 1 && mismatch.1.contains("does not go with"), "{mismatch:?}");
    assert!(!mismatch.1.contains("PRIVATE"), "{mismatch:?}");
}
