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

#[test]
fn whoever_does_not_know_the_token_is_refused() {
    let protection = Protection { token: Token::new("secret"), ..Protection::default() };
    let check = |route: &Route, sent: Option<&str>| {
        let mut headers = HeaderMap::new();
        if let Some(sent) = sent {
            headers.insert(API_TOKEN, sent.parse().unwrap());
        }
        protection.authenticate(route, &headers).map_or_else(|e| e.status.as_u16(), |()| 200)
    };
    for route in [Route::GetMetadata, Route::Shutdown, Route::Save { store: "healthz".to_owned() }]
    {
        assert_eq!(check(&route, Some("secret")), 200);
        for sent in [None, Some(""), Some("secre"), Some("secrets"), Some("Secret")] {
            assert_eq!(check(&route, sent), 401, "{route:?} {sent:?}");
        }
    }
    for route in [Route::Health, Route::OutboundHealth] {
        assert_eq!(check(&route, None), 200, "probes know no secrets");
    }
    assert!(!format!("{protection:?}").contains("secret"));
}
