//! Ways to a server: TLS, users, databases, sockets, protocols.

use real_servers::{
    Certificates,
    redis::{Options, Redis},
};
use state::Outcome;

use crate::support::{get, open, put, strong, try_open, value};

#[tokio::test]
async fn tls_is_checked_against_the_authority() {
    let certificates = Certificates::generate().unwrap();
    let server = Redis::start(&Options::default().tls(certificates.clone())).await.unwrap();
    let address = server.address().to_string();
    let ours = ("caCert", certificates.authority.as_str());
    let tls = [("redisHost", address.as_str()), ("enableTLS", "true")];
    let store = try_open(&[&tls[..], &[ours]].concat()).await.unwrap();
    store.write(&strong(put("k", "1"))).await.unwrap();
    assert_eq!(value(&store, "k").await, "1");

    let error = try_open(&tls).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    assert!(error.to_string().contains("certificate"), "{error}");
    let strangers = Certificates::generate().unwrap();
    let error = try_open(&[&tls[..], &[("caCert", &strangers.authority)]].concat()).await;
    assert!(error.unwrap_err().to_string().contains("certificate"));
    try_open(&[&tls[..], &[("insecureSkipTLSVerify", "true")]].concat()).await.unwrap();
    assert!(try_open(&tls[..1]).await.is_err(), "plain text is not understood");
}

#[tokio::test]
async fn a_server_may_ask_for_a_certificate() {
    let certificates = Certificates::generate().unwrap();
    let options = Options::default().tls(certificates.clone()).setting("tls-auth-clients", "yes");
    let server = Redis::start(&options).await.unwrap();
    let address = server.address().to_string();
    let tls = [
        ("redisHost", address.as_str()),
        ("enableTLS", "true"),
        ("caCert", &certificates.authority),
    ];
    let error = try_open(&tls).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied);
    let own = [("clientCert", &*certificates.client), ("clientKey", &*certificates.client_key)];
    let store = try_open(&[&tls[..], &own].concat()).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
}

#[tokio::test]
async fn passwords_are_needed_and_never_shown() {
    let server = Redis::start(&Options::default().password("hunter2")).await.unwrap();
    let address = server.address().to_string();
    let host = ("redisHost", address.as_str());
    let store = try_open(&[host, ("redisPassword", "hunter2")]).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    for wrong in [&[host][..], &[host, ("redisPassword", "hunter3")]] {
        let error = try_open(wrong).await.unwrap_err();
        let text = format!("{error} {error:?} {store:?}");
        assert!(error.to_string().contains("redisPassword"), "{error}");
        assert!(!text.contains("hunter"), "{text}");
    }
}

#[tokio::test]
async fn databases_are_apart() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let first = open(server.address(), &[]).await;
    let fourth = open(server.address(), &[("redisDB", "4")]).await;
    fourth.write(&put("k", "1")).await.unwrap();
    assert_eq!(get(&first, "k").await, None);
    assert_eq!(fourth.list("", None, 10).await.unwrap().keys.len(), 1);
    let address = server.address().to_string();
    assert!(try_open(&[("redisHost", &address), ("redisDB", "99")]).await.is_err());
}

#[tokio::test]
async fn a_socket_is_a_way_too() {
    let server = Redis::start(&Options::default()).await.unwrap();
    let path = format!("unix://{}", server.socket().display());
    let store = try_open(&[("redisHost", &path)]).await.unwrap();
    store.write(&strong(put("k", "1"))).await.unwrap();
    let other = open(server.address(), &[("protocol", "3")]).await;
    assert_eq!(value(&other, "k").await, "1");
}
