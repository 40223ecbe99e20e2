use std::{collections::BTreeMap, convert::Infallible, future::Future, sync::Arc};

use bytes::Bytes;
use futures::stream;
use http_body_util::{BodyExt, StreamBody};
use hyper::{
    Method, Request,
    body::Frame,
    header::{ETAG, HOST},
};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use sidecar_api::{
    Component, Front, Identity, Limits, Protection, Service, Sidecar, http::respond,
};
use state::{Change, Error, FailureKind, Key, Store, Write};
use state_layers::{Plan, stack};
use tokio::runtime::{Builder, Runtime};

use crate::{
    recorded::{Calls, Recorded},
    reply::{Refusal, Reply},
};

/// The path of the store that can be used.
pub(crate) const STORE_PATH: &str = "/v1.0/state/statestore";

/// What stands before every key of it.
const PREFIX: &str = "cart||";

/// What an input may write for the current ETag of the key `canary`.
const ETAG_WORD: &[u8] = b"@etag";

/// Larger than any input but those that are meant to be too large.
const BODY_BYTES_MAX: usize = 64 << 10;

/// A sidecar that is served from memory and by no port. It has one store with a few values, one
/// that is still being opened, and one that never will be.
#[derive(Debug)]
pub(crate) struct Served {
    front: Front,
    store: Arc<Recorded>,
    etag: Bytes,
}

/// A request with all that came of it.
#[derive(Debug)]
pub(crate) struct Exchange {
    pub(crate) reply: Reply,
    pub(crate) refusal: Option<Refusal>,
    pub(crate) calls: Calls,
    pub(crate) before: BTreeMap<Key, Bytes>,
    pub(crate) after: BTreeMap<Key, Bytes>,
}

thread_local! {
    /// The time is for deadlines, none of which ever passes.
    static RUNTIME: Runtime =
        Builder::new_current_thread().enable_time().build().expect("threads and time are there");
}

/// Waits for `f` on this thread.
pub(crate) fn block_on<T>(f: impl Future<Output = T>) -> T {
    RUNTIME.with(|it| it.block_on(f))
}

impl Served {
    /// Serves those whom `protection` lets in.
    pub(crate) fn start(protection: Protection) -> Served {
        let store = block_on(Recorded::memory());
        let ready = Component::new("statestore", "state.in-memory", "v1", false);
        let plan = Plan {
            component: ready.name.clone(),
            key_prefix: PREFIX.to_owned(),
            ..Plan::default()
        };
        ready.opened(stack(store.clone(), plan));
        let opening = Component::new("opening", "state.in-memory", "v1", true);
        let rejected = Component::new("rejected", "state.in-memory", "v1", true);
        rejected.failed(&Error::new(FailureKind::Invalid, "a setting is wrong"));
        let components = [ready, opening, rejected].map(Arc::new);
        let identity = Identity { app_id: "cart".to_owned(), ..Identity::default() };
        let sidecar = Arc::new(Sidecar::new(identity, Service::new("cart", components)));
        let limits = Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() };
        let front = Front::new(sidecar, limits, protection);
        let mut served = Served { front, store, etag: Bytes::new() };
        served.fill();
        served
    }

    /// Puts a few values in, behind the API's back where it would not take them.
    fn fill(&mut self) {
        let put = |key: &str, value: &'static [u8]| {
            let key = Key::stored(&format!("{PREFIX}{key}"));
            Write::put(key, Bytes::from_static(value))
        };
        let writes = [
            put("canary", br#"{"b": 1.10, "a": 9007199254740993}"#),
            put("bytes", b"\x00\xff"),
            put("empty", b""),
        ];
        let written = block_on(self.store.write_many(&writes));
        let canary = written.into_iter().next().expect("there is a first one");
        let etag = canary.expect("memory takes anything").etag.expect("memory has ETags");
        self.etag = Bytes::copy_from_slice(etag.as_str().as_bytes());
        self.store.take_calls();
    }

    /// Who may call.
    pub(crate) fn protection(&self) -> &Protection {
        &self.front.protection
    }

    /// The input with the current ETag of `canary` wherever it asks for it.
    pub(crate) fn with_etag(&self, input: &[u8]) -> Vec<u8> {
        let mut output = Vec::with_capacity(input.len());
        let mut rest = input;
        while let Some(at) = rest.windows(ETAG_WORD.len()).position(|it| it == ETAG_WORD) {
            output.extend_from_slice(&rest[..at]);
            output.extend_from_slice(&self.etag);
            rest = &rest[at + ETAG_WORD.len()..];
        }
        output.extend_from_slice(rest);
        output
    }

    /// Posts a body to a path below that of the store, and checks what came of it.
    pub(crate) fn post(&self, path: &str, body: &[u8]) -> Exchange {
        let request = Request::builder()
            .method(Method::POST)
            .uri(format!("{STORE_PATH}{path}"))
            .header(HOST, "localhost")
            .body(Bytes::copy_from_slice(body));
        self.exchange(request.expect("it is well-formed"))
    }

    /// Makes a request, and checks what must hold of any.
    pub(crate) fn exchange(&self, request: Request<Bytes>) -> Exchange {
        self.store.take_calls();
        let before = block_on(self.store.content());
        let reply = self.call(request);
        let calls = self.store.take_calls();
        let after = block_on(self.store.content());
        let exchange = Exchange { refusal: reply.check(), reply, calls, before, after };
        exchange.check_keys();
        exchange.check_effect();
        exchange
    }

    /// Checks that each key that a request reached can be named in a URL, and read there.
    pub(crate) fn check_names(&self, exchange: &Exchange) {
        // A handful says as much as ten thousand.
        for key in exchange.calls.keys().take(4) {
            let name = own_key(key);
            let path = utf8_percent_encode(name, NON_ALPHANUMERIC);
            let request = Request::get(format!("{STORE_PATH}/{path}"))
                .header("dapr-api-token", TOKEN)
                .body(Bytes::new());
            self.store.take_calls();
            let reply = self.call(request.expect("percent-encoding makes anything a path"));
            let reached = self.store.take_calls().reads;
            assert_eq!(reached.len(), 1, "{name:?} cannot be named: {reply:?}");
            assert_eq!(reached[0].key, *key, "{name:?} names another key");
            match exchange.after.get(key) {
                Some(value) => {
                    assert_eq!((reply.status, &reply.body), (200, value));
                    assert!(reply.headers.contains_key(ETAG));
                }
                None => assert_eq!(reply.status, 204),
            }
        }
    }

    /// Bodies of odd length come in two pieces: there are two ways to read a body.
    fn call(&self, request: Request<Bytes>) -> Reply {
        let (parts, body) = request.into_parts();
        let middle = if body.len() % 2 == 0 { 0 } else { body.len() / 2 };
        let pieces = [body.slice(..middle), body.slice(middle..)];
        let frames = pieces.into_iter().filter(|it| !it.is_empty()).map(Frame::data);
        let mut body = StreamBody::new(stream::iter(frames.map(Ok::<_, Infallible>)));
        block_on(async {
            let (parts, body) = respond(&self.front, &parts, &mut body).await.into_parts();
            let body = body.collect().await.expect("it is in memory").to_bytes();
            Reply { status: parts.status.as_u16(), headers: parts.headers, body }
        })
    }
}

/// The token of a sidecar that has one.
pub(crate) const TOKEN: &str = "secret";

/// A key as the application knows it.
pub(crate) fn own_key(key: &Key) -> &str {
    key.as_str().strip_prefix(PREFIX).expect("the store is asked for no other keys")
}

impl Exchange {
    /// No request reaches a key of another application, or one that nobody may have.
    fn check_keys(&self) {
        for key in self.calls.keys() {
            let key = own_key(key);
            assert!(!key.is_empty() && !key.contains("||"), "{key:?}");
            assert!(key.bytes().all(|it| it >= 0x20), "{key:?}");
        }
    }

    /// What was written is what the reply says, and nothing else.
    fn check_effect(&self) {
        let writes = &self.calls.writes;
        if let 400 | 401 | 403 | 404 | 408 | 413 | 421 | 500 | 503 = self.reply.status {
            assert!(writes.is_empty(), "refused, and written nevertheless: {self:?}");
        }
        let mut expected = self.before.clone();
        match &self.refusal {
            None => writes.iter().for_each(|it| apply(it, &mut expected)),
            Some(refusal) if !refusal.items.is_empty() => {
                assert_eq!(refusal.items.len(), writes.len(), "{self:?}");
                for (item, write) in refusal.items.iter().zip(writes) {
                    assert_eq!(item.key, own_key(&write.key));
                    if item.outcome == "ok" {
                        apply(write, &mut expected);
                    }
                }
            }
            Some(_) => {}
        }
        assert_eq!(self.after, expected, "{:?}", self.reply);
    }
}

fn apply(write: &Write, content: &mut BTreeMap<Key, Bytes>) {
    match &write.change {
        Change::Put { value, .. } => content.insert(write.key.clone(), value.clone()),
        Change::Delete => content.remove(&write.key),
    };
}
