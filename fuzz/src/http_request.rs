//! The head of a request: method, path, query and headers, with a body if one follows.
//!
//! The input reads like HTTP: a line `METHOD TARGET FLAGS`, then lines of headers, an empty line,
//! the body. Each letter of the flags switches a protection on.

use bytes::Bytes;
use hyper::{
    HeaderMap, Method, Request, Uri,
    header::{HOST, HeaderName, HeaderValue, ORIGIN},
};
use sidecar_api::{Protection, Token};

use crate::sidecar::{Served, TOKEN};

/// A well-formed request gets a documented reply that tells the truth, reaches only keys that can
/// be named again, and reaches nothing if its sender may not call.
pub fn run(data: &[u8]) {
    let (head, body) = split(data, b"\n\n").unwrap_or((data, b""));
    let mut lines = head.split(|it| *it == b'\n');
    let mut words = lines.next().unwrap_or_default().split(|it| *it == b' ');
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let served = Served::start(protection(words.next().unwrap_or_default()));
    let Some(head) = head_of(method, target, lines, &served) else { return };
    let (parts, ()) = head.into_parts();
    let is_stranger = is_stranger(served.protection(), &parts.headers);
    let body = Bytes::from(served.with_etag(body));
    let exchange = served.exchange(Request::from_parts(parts, body));
    if is_stranger {
        assert!(exchange.calls.keys().next().is_none(), "a stranger reached {exchange:?}");
    }
    served.check_names(&exchange);
}

fn protection(flags: &[u8]) -> Protection {
    let has = |flag| flags.contains(&flag);
    let named = |flag, name: &str| has(flag).then(|| name.to_owned()).into_iter().collect();
    Protection {
        hosts: named(b'h', "sidecar.example"),
        any_address: has(b'a'),
        origins: match has(b'*') {
            true => vec!["*".to_owned()],
            false => named(b'o', "https://app.example"),
        },
        tokens: if has(b't') { Token::new(TOKEN).into_iter().collect() } else { Vec::new() },
        ..Protection::default()
    }
}

/// The head as hyper would make it of what came. `None` if hyper would not.
fn head_of<'a>(
    method: &[u8],
    target: &[u8],
    lines: impl Iterator<Item = &'a [u8]>,
    served: &Served,
) -> Option<Request<()>> {
    let mut request = Request::new(());
    *request.method_mut() = Method::from_bytes(method).ok()?;
    *request.uri_mut() = Uri::try_from(target).ok()?;
    for line in lines {
        let (name, value) = split(line, b":")?;
        let value = served.with_etag(value.trim_ascii());
        let name = HeaderName::from_bytes(name).ok()?;
        request.headers_mut().append(name, HeaderValue::from_bytes(&value).ok()?);
    }
    Some(request)
}

/// Whether the request lacks what its sender must know, or is from a web page or by a name that
/// nobody has allowed. Said in another way than the front says it, and no more than is sure.
fn is_stranger(protection: &Protection, headers: &HeaderMap) -> bool {
    let first = |name: &HeaderName| headers.get(name).map(|it| it.as_bytes());
    let token = headers.get("dapr-api-token").map(|it| it.as_bytes());
    let unknown = !protection.tokens.is_empty() && token != Some(TOKEN.as_bytes());
    let foreign = first(&ORIGIN).is_some() && protection.origins.is_empty();
    let misled = first(&HOST) == Some(b"evil.example");
    unknown || foreign || misled
}

fn split<'a>(text: &'a [u8], separator: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    let at = text.windows(separator.len()).position(|it| it == separator)?;
    Some((&text[..at], &text[at + separator.len()..]))
}
