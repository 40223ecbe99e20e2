//! Who may come in: users with passwords, certificates, and what is told of both.

use real_servers::{
    Certificates,
    etcd::{Etcd, Options},
};
use state::FailureKind;

use crate::support::{get, kind, put, try_open, value};

const PASSWORD: &str = "hunter2";

#[tokio::test]
async fn a_user_logs_in_again_when_its_token_has_expired_and_its_password_is_never_shown() {
    // Tokens are for a second after their last use.
    let options = Options::default().setting("--auth-token-ttl=1");
    let etcd = Etcd::start(1, &options).await.unwrap();
    etcd.require_password(PASSWORD).await.unwrap();
    let endpoints = etcd.endpoints();
    let properties =
        [("endpoints", endpoints.as_str()), ("username", "root"), ("password", PASSWORD)];
    let store = try_open("v2", &properties).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    store.write(&put("k", "2")).await.unwrap();
    assert_eq!(value(&store, "k").await, "2");
    assert!(!format!("{store:?}").contains(PASSWORD));
    let wrong = [("endpoints", endpoints.as_str()), ("username", "root"), ("password", "hunter3")];
    for (properties, word) in
        [(&wrong[..], "invalid user ID or password"), (&wrong[..1], "set username")]
    {
        let answer = match try_open("v2", properties).await {
            Err(e) => e,
            Ok(store) => store.write(&put("k", "3")).await.unwrap_err(),
        };
        assert_eq!(kind(&answer), FailureKind::Unavailable, "{answer}");
        assert!(answer.to_string().contains(word), "{answer}");
        assert!(!format!("{answer} {answer:?}").contains("hunter"), "{answer:?}");
    }
}

#[tokio::test]
async fn tls_takes_a_certificate_of_the_server_and_shows_one_of_the_client() {
    let certificates = Certificates::generate().unwrap();
    let etcd = Etcd::start(1, &Options::default().tls(certificates.clone())).await.unwrap();
    let endpoints = etcd.endpoints();
    let all = [
        ("endpoints", endpoints.as_str()),
        ("tlsEnable", "true"),
        ("ca", certificates.authority.as_str()),
        ("cert", certificates.client.as_str()),
        ("key", certificates.client_key.as_str()),
    ];
    let store = try_open("v1", &all).await.unwrap();
    store.write(&put("k", "1")).await.unwrap();
    assert!(get(&store, "k").await.is_some());
    let stranger = Certificates::generate().unwrap();
    let distrusting = [all[0], all[1], ("ca", stranger.authority.as_str()), all[3], all[4]];
    for properties in [&all[..3], &distrusting[..], &all[..1]] {
        let error = try_open("v1", properties).await.unwrap_err();
        assert_eq!(kind(&error), FailureKind::Unavailable, "{error}");
    }
}
