use super::*;

fn check(protection: &Protection, headers: &[(&str, &str)]) -> u16 {
    let mut request = hyper::Request::builder().uri("/v1.0/state/s/k");
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    protection
        .admit(&request.body(()).unwrap().into_parts().0)
        .map_or_else(|e| e.status.as_u16(), |()| 200)
}

#[test]
fn only_names_of_this_machine_are_answered_to() {
    let default = Protection::default();
    for host in ["localhost", "localhost:3500", "127.0.0.1:3500", "[::1]:3500", "LOCALHOST:1"] {
        assert_eq!(check(&default, &[("host", host)]), 200, "{host}");
    }
    for host in ["evil.example", "localhost.evil.example:3500", "127.0.0.1.nip.io", "[::2]:1", ""] {
        assert_eq!(check(&default, &[("host", host)]), 421, "{host}");
    }
    assert_eq!(check(&default, &[]), 200, "HTTP/1.0 has no Host, and browsers always send one");
    let configured = Protection { hosts: vec!["cart-sidecar".to_owned()], ..default };
    assert_eq!(check(&configured, &[("host", "cart-sidecar:3500")]), 200);
    let exposed = Protection { any_address: true, ..Protection::default() };
    for (host, status) in [("10.0.0.7:3500", 200), ("[fd00::7]:3500", 200), ("evil.example", 421)] {
        assert_eq!(check(&exposed, &[("host", host)]), status, "{host}");
    }
}

#[test]
fn web_pages_may_not_call() {
    let default = Protection::default();
    let host = ("host", "localhost:3500");
    for site in ["cross-site", "same-site", "nonsense"] {
        assert_eq!(check(&default, &[host, ("sec-fetch-site", site)]), 403, "{site}");
    }
    for site in ["none", "same-origin"] {
        assert_eq!(check(&default, &[host, ("sec-fetch-site", site)]), 200, "{site}");
    }
    for origin in ["http://evil.example", "null", "http://localhost:8080"] {
        assert_eq!(check(&default, &[host, ("origin", origin)]), 403, "{origin}");
    }
    let mine = Protection { origins: vec!["http://localhost:8080".to_owned()], ..default };
    let page = [host, ("origin", "http://localhost:8080"), ("sec-fetch-site", "same-site")];
    assert_eq!(check(&mine, &page), 200);
    assert_eq!(check(&mine, &[host, ("origin", "http://localhost:8081")]), 403);
}

async fn authenticate(protection: &Protection, peer: &Peer, sent: Option<&str>) -> u16 {
    let mut headers = HeaderMap::new();
    if let Some(sent) = sent {
        headers.insert(API_TOKEN, sent.parse().unwrap());
    }
    let answer = protection.authenticate(peer, &headers).await;
    answer.map_or_else(|e| e.status.as_u16(), |()| 200)
}

#[tokio::test]
async fn whoever_does_not_know_a_token_is_refused() {
    let tokens = ["secret", "older"].into_iter().filter_map(Token::new).collect();
    let protection = Protection { tokens, ..Protection::default() };
    for (sent, status) in [
        (Some("secret"), 200),
        (Some("older"), 200),
        (None, 401),
        (Some(""), 401),
        (Some("secre"), 401),
        (Some("secrets"), 401),
        (Some("Secret"), 401),
        (Some("secretolder"), 401),
    ] {
        assert_eq!(authenticate(&protection, &Peer::unix(), sent).await, status, "{sent:?}");
    }
    assert!(!format!("{protection:?}").contains("secret"));
    assert_eq!(authenticate(&Protection::default(), &Peer::unknown(), None).await, 200);
}

#[tokio::test]
async fn processes_of_the_own_user_may_do_without_if_they_are_trusted() {
    let tokens = Token::new("secret").into_iter().collect();
    let trusting = Protection { tokens, trusts_own_user: true, ..Protection::default() };
    assert_eq!(authenticate(&trusting, &Peer::unix(), None).await, 200);
    assert_eq!(authenticate(&trusting, &Peer::unknown(), None).await, 401);
    assert_eq!(
        authenticate(&trusting, &Peer::unix(), Some("guess")).await,
        401,
        "a mistake is told"
    );
}

#[tokio::test]
async fn pages_that_nobody_has_named_are_not_the_user() {
    let tokens = Token::new("secret").into_iter().collect();
    let origins = vec!["*".to_owned(), "http://localhost:8080".to_owned()];
    let trusting = Protection { tokens, origins, trusts_own_user: true, ..Protection::default() };
    let status = async |origin: &str, token: Option<&str>| {
        let mut headers = HeaderMap::from_iter([(ORIGIN, origin.parse().unwrap())]);
        if let Some(it) = token {
            headers.insert(API_TOKEN, it.parse().unwrap());
        }
        let answer = trusting.authenticate(&Peer::unix(), &headers).await;
        answer.map_or_else(|e| e.status.as_u16(), |()| 200)
    };
    assert_eq!(status("http://localhost:8080", None).await, 200);
    assert_eq!(status("http://evil.example", None).await, 401);
    assert_eq!(status("http://evil.example", Some("secret")).await, 200);
}
