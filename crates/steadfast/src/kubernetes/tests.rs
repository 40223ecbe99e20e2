use std::{
    io::{Read, Write},
    net::TcpListener,
    sync::{
        Arc,
        mpsc::{Receiver, channel},
    },
    time::Instant,
};

use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::{ServerConfig, ServerConnection, StreamOwned, pki_types::PrivateKeyDer};
use tempfile::TempDir;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// An authority, such as every cluster has of its own.
fn authority() -> Authority {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

fn server_config(authority: &Authority) -> ServerConfig {
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["127.0.0.1".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, authority).unwrap();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![certificate.der().clone()], key)
        .unwrap()
}

/// Answers each request with this text, over TLS; returns the heads of the requests.
fn serve(config: ServerConfig, answer: String) -> (u16, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let (sender, heads) = channel();
    let config = Arc::new(config);
    thread::spawn(move || {
        for stream in listener.incoming() {
            let connection = ServerConnection::new(config.clone()).unwrap();
            let mut stream = StreamOwned::new(connection, stream.unwrap());
            let mut head = Vec::new();
            let mut byte = [0];
            while !head.ends_with(b"\r\n\r\n") && stream.read_exact(&mut byte).is_ok() {
                head.push(byte[0]);
            }
            let _ = sender.send(String::from_utf8(head).unwrap());
            let _ = stream.write_all(answer.as_bytes());
            stream.conn.send_close_notify();
            let _ = stream.flush();
        }
    });
    (port, heads)
}

/// A service account of the cluster with this authority, whose token is `token-1`.
fn service_account(authority: &Authority) -> TempDir {
    let folder = TempDir::new().unwrap();
    fs::write(folder.path().join("ca.crt"), authority.pem()).unwrap();
    fs::write(folder.path().join("token"), "token-1\n").unwrap();
    fs::write(folder.path().join("namespace"), "prod").unwrap();
    folder
}

fn api_server(port: u16, service_account: &TempDir) -> ApiServer {
    ApiServer {
        host: "127.0.0.1".to_owned(),
        port,
        service_account: service_account.path().to_owned(),
        deadline: DEADLINE,
    }
}

/// What becomes of a request that is answered like this.
fn check(answer: String) -> Result<Secret, SecretRefusal> {
    let authority = authority();
    let (port, _heads) = serve(server_config(&authority), answer);
    let account = service_account(&authority);
    let read = api_server(port, &account).read("prod", "redis");
    read.map_err(|it| SecretRefusal {
        message: it.message.replace(&port.to_string(), "PORT"),
        ..it
    })
}

/// An answer with this status line and body.
fn answer(status: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\n\r\n{body}", body.len())
}

/// A Secret, in chunks as the API server sends it.
fn secret() -> String {
    let body = r#"{"kind":"Secret","data":{"password":"aHVudGVyMg==","empty":"","raw":"/w=="}}"#;
    let head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    format!("{head}{:x}\r\n{body}\r\n0\r\n\r\n", body.len())
}

#[test]
fn a_secret_is_read_as_the_service_account_whose_token_is_replaced_meanwhile() {
    let authority = authority();
    let (port, heads) = serve(server_config(&authority), secret());
    let account = service_account(&authority);
    let server = api_server(port, &account);
    let secret = server.read("prod", "redis").unwrap();
    assert_eq!(secret["password"], b"hunter2");
    assert_eq!((&*secret["empty"], &*secret["raw"]), (&b""[..], &b"\xff"[..]));
    let head = heads.recv().unwrap();
    assert!(head.starts_with("GET /api/v1/namespaces/prod/secrets/redis HTTP/1.1\r\n"), "{head}");
    assert!(head.contains("authorization: Bearer token-1\r\n"), "{head}");
    assert!(head.contains(&format!("host: 127.0.0.1:{port}\r\n")), "{head}");

    fs::write(account.path().join("token"), "token-2").unwrap();
    server.read("prod", "redis").unwrap();
    assert!(heads.recv().unwrap().contains("authorization: Bearer token-2\r\n"));
    assert_eq!(server.namespace().as_deref(), Some("prod"));
}

#[test]
fn it_can_be_asked_from_within_a_runtime() {
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    assert!(runtime.block_on(async { check(secret()) }).is_ok());
}

#[test]
fn a_server_of_another_authority_is_told_nothing() {
    let (port, heads) = serve(server_config(&authority()), secret());
    let account = service_account(&authority());
    let refusal = api_server(port, &account).read("prod", "redis").unwrap_err();
    assert!(refusal.is_unreachable);
    assert!(refusal.message.contains("cannot be asked: invalid peer certificate"), "{refusal:?}");
    assert_eq!(heads.recv().unwrap(), "");
}

#[test]
fn a_server_by_another_name_is_told_nothing() {
    let authority = authority();
    let (port, heads) = serve(server_config(&authority), secret());
    let account = service_account(&authority);
    let server = ApiServer { host: "localhost".to_owned(), ..api_server(port, &account) };
    let refusal = server.read("prod", "redis").unwrap_err();
    assert!(refusal.message.contains("not valid for name"), "{refusal:?}");
    assert_eq!(heads.recv().unwrap(), "");
}

#[test]
fn each_refusal_says_what_to_do() {
    let body = r#"{"message":"User \"system:serviceaccount:prod:shop\" cannot get it"}"#;
    let refusal = check(answer("403 Forbidden", body)).unwrap_err();
    assert_eq!(
        refusal.message,
        "this pod may not read the Secret `redis` in the namespace `prod`: User \
         \"system:serviceaccount:prod:shop\" cannot get it"
    );
    let rule = "kubectl create role read-redis -n prod --verb=get --resource=secrets \
                --resource-name=redis";
    assert!(refusal.hint.contains(rule), "{}", refusal.hint);
    assert!(!refusal.is_unreachable);

    let missing = check(answer("404 Not Found", "{}")).unwrap_err();
    assert_eq!(missing.message, "there is no Secret `redis` in the namespace `prod`");
    assert!(missing.hint.contains("kubectl create secret generic redis -n prod"));
    assert!(!missing.is_unreachable);

    for (answer, message) in [
        (
            answer("401 Unauthorized", ""),
            "401 Unauthorized: it does not know the service account's token",
        ),
        (
            answer("500 Internal Server Error", r#"{"message":"no etcd"}"#),
            "500 Internal Server Error: no etcd",
        ),
        (answer("503 Service Unavailable", "wait"), "503 Service Unavailable"),
        // Wherever that leads, the token does not go there.
        (answer("302 Found\r\nLocation: https://127.0.0.1:1/", ""), "302 Found"),
    ] {
        let refusal = check(answer).unwrap_err();
        let expected = format!("the API server of Kubernetes at 127.0.0.1:PORT answered {message}");
        assert_eq!(refusal.message, expected);
        assert!(refusal.is_unreachable && !refusal.hint.is_empty());
    }
}

#[test]
fn an_answer_that_is_no_secret_is_not_shown() {
    for (body, reason) in [
        ("hunter2", "this is not JSON"),
        (r#"{"data":{"password":"hunter2!"}}"#, "the value of `password` is not base64"),
        (r#"{"data":{"password":{"a":"hunter2"}}}"#, "the value of `password` is not base64"),
    ] {
        let refusal = check(answer("200 OK", body)).unwrap_err();
        assert!(refusal.message.ends_with(reason), "{refusal:?}");
        assert!(!format!("{refusal:?}").contains("hunter2"), "{refusal:?}");
    }
    assert_eq!(check(answer("200 OK", "{}")).unwrap(), Secret::new());
}

#[test]
fn an_answer_without_end_is_cut_off() {
    let refusal = check(answer("200 OK", &" ".repeat(5 << 20))).unwrap_err();
    assert!(refusal.message.contains("limit"), "{refusal:?}");
}

#[test]
fn a_server_that_does_not_answer_is_waited_for_only_so_long() {
    // Accepts connections, and says nothing on them.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let account = service_account(&authority());
    let deadline = Duration::from_millis(200);
    let port = silent.local_addr().unwrap().port();
    let server = ApiServer { deadline, ..api_server(port, &account) };
    let started = Instant::now();
    let refusal = server.read("prod", "redis").unwrap_err();
    assert!(started.elapsed() >= deadline);
    assert!(refusal.message.ends_with("cannot be asked: no answer within 200ms"), "{refusal:?}");
    assert!(refusal.is_unreachable);

    drop(silent);
    let refusal = server.read("prod", "redis").unwrap_err();
    assert!(refusal.message.to_lowercase().contains("connection refused"), "{refusal:?}");
}

#[test]
fn a_service_account_that_is_not_there_is_named() {
    let authority = authority();
    for (file, content, reason) in [
        ("token", None, "cannot be read: No such file or directory"),
        ("token", Some("a\nb"), "is not a token"),
        ("ca.crt", None, "cannot be read: No such file or directory"),
        ("ca.crt", Some(""), "has no certificate"),
        (
            "ca.crt",
            Some("-----BEGIN CERTIFICATE-----\naHVudGVyMg==\n-----END CERTIFICATE-----\n"),
            "is not a certificate in PEM",
        ),
    ] {
        let account = service_account(&authority);
        let path = account.path().join(file);
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => fs::remove_file(&path).unwrap(),
        }
        let refusal = api_server(1, &account).read("prod", "redis").unwrap_err();
        let expected = format!("the service account's file `{}` {reason}", path.display());
        assert!(refusal.message.starts_with(&expected), "{refusal:?}");
        assert!(refusal.hint.contains("automountServiceAccountToken"), "{refusal:?}");
    }
}

#[test]
fn an_address_of_version_six_is_in_brackets() {
    let account = TempDir::new().unwrap();
    let server = ApiServer { host: "fd00::1".to_owned(), ..api_server(443, &account) };
    assert_eq!(server.address(), "[fd00::1]:443");
}
