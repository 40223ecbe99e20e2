//! The same operations by HTTP and by gRPC have the same effects and the same errors.

#![allow(clippy::unwrap_used, reason = "a test panics when something is not as it should be")]

use std::collections::BTreeMap;

use fastrand::Rng;
use serde_json::{Value, json};
use sidecar_api::Limits;
use sidecar_proto::{
    common::v1::{Etag, StateItem, StateOptions},
    runtime::v1::{
        DeleteStateRequest, ExecuteStateTransactionRequest, GetBulkStateRequest, GetStateRequest,
        SaveStateRequest, TransactionalStateOperation,
    },
};
use tonic::{Code, Status};

use crate::support::{
    Connection, STORE, Served,
    calls::{Calls, info, outcome},
    connection::Reply,
    memory, ready,
};

mod support;

const SEQUENCES: u64 = 60;

const LEN: usize = 40;

/// Short enough that a request meets it.
const BODY_BYTES_MAX: usize = 4000;

/// Keys that are used again and again, and some that nobody may use.
const KEYS: &[&str] = &["a", "b", "c", "a", "b", "c", "ключ", "a/b", "", "a||b", "a\u{7}"];

const TTLS: &[&str] = &["", "1000", "0", "-1", "soon", "2147483648", "1.5"];

/// One operation in the words of neither wire.
#[derive(Clone, Debug)]
enum Op {
    Get { store: &'static str, key: &'static str, options: Options },
    GetMany { store: &'static str, keys: Vec<&'static str> },
    Save { store: &'static str, items: Vec<Item> },
    Delete { store: &'static str, item: Item },
    Transact { store: &'static str, operations: Vec<(&'static str, Item)> },
}

#[derive(Clone, Debug)]
struct Item {
    key: &'static str,
    /// A JSON text: HTTP has no others.
    value: String,
    etag: Version,
    ttl: &'static str,
    options: Options,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Version {
    None,
    /// The one that the key has now.
    Current,
    Stale,
}

/// As numbers of gRPC, where those from 3 on mean nothing.
#[derive(Clone, Copy, Debug)]
struct Options {
    concurrency: i32,
    consistency: i32,
}

/// What came of an operation, as far as both wires can say it.
#[derive(Debug, PartialEq, Eq)]
enum Answer {
    Found(Vec<Option<String>>),
    Done,
    Refused { outcome: String, code: Code, reason: String, message: String },
}

fn options(rng: &mut Rng) -> Options {
    let number = |rng: &mut Rng| if rng.u8(..20) == 0 { 7 } else { rng.i32(0..3) };
    Options { concurrency: number(rng), consistency: number(rng) }
}

fn pick<T: Copy>(rng: &mut Rng, all: &[T]) -> T {
    all[rng.usize(..all.len())]
}

fn random_item(rng: &mut Rng) -> Item {
    let value = match rng.u8(..30) {
        0 => "[".repeat(65) + &"]".repeat(65),
        1 => format!("\"{}\"", "x".repeat(BODY_BYTES_MAX)),
        _ => rng.u32(..1000).to_string(),
    };
    Item {
        key: pick(rng, KEYS),
        value,
        etag: pick(rng, &[Version::None, Version::None, Version::Current, Version::Stale]),
        ttl: if rng.bool() { "" } else { pick(rng, TTLS) },
        options: options(rng),
    }
}

fn random_op(rng: &mut Rng) -> Op {
    let store = if rng.u8(..30) == 0 { "elsewhere" } else { STORE };
    let items = |rng: &mut Rng| {
        let len = rng.usize(..4);
        (0..len).map(|_| random_item(rng)).collect::<Vec<_>>()
    };
    match rng.u8(..6) {
        0 => Op::Get { store, key: pick(rng, KEYS), options: options(rng) },
        1 => {
            let len = rng.usize(..5);
            Op::GetMany { store, keys: (0..len).map(|_| pick(rng, KEYS)).collect() }
        }
        2 => Op::Delete { store, item: random_item(rng) },
        3 | 4 => Op::Save { store, items: items(rng) },
        _ => {
            let kinds = ["upsert", "upsert", "delete", "upsert", "delete", "swap"];
            let all = items(rng).into_iter().map(|it| (pick(rng, &kinds), it)).collect();
            Op::Transact { store, operations: all }
        }
    }
}

/// Whether both wires can say it, and in one way. An empty key makes another path over HTTP. Several items may fail in one
/// request, and then their order tells in which way; so their keys have to be different.
fn is_definite(op: &Op) -> bool {
    let keys: Vec<_> = match op {
        Op::Save { items, .. } => items.iter().map(|it| it.key).collect(),
        Op::Transact { operations, .. } => operations.iter().map(|it| it.1.key).collect(),
        Op::Get { key, .. } => return !key.is_empty(),
        Op::Delete { item, .. } => return !item.key.is_empty(),
        Op::GetMany { .. } => return true,
    };
    keys.iter().enumerate().all(|(i, it)| !keys[..i].contains(it))
}

struct Http(Connection);

impl Http {
    async fn etag(&mut self, key: &str) -> String {
        let path = format!("/v1.0/state/{STORE}/{}", encoded(key));
        let reply = self.0.call("GET", &path, &[], "").await;
        reply.header("etag").unwrap_or_default().to_owned()
    }

    async fn version(&mut self, item: &Item) -> String {
        match item.etag {
            Version::None => String::new(),
            Version::Stale => "stale".to_owned(),
            Version::Current => self.etag(item.key).await,
        }
    }

    async fn json(&mut self, item: &Item, with_value: bool) -> Value {
        let mut it = json!({
            "key": item.key,
            "etag": self.version(item).await,
            "options": {
                "concurrency": concurrency(item.options),
                "consistency": consistency(item.options),
            },
        });
        if with_value {
            it["value"] = serde_json::from_str(&item.value).unwrap();
        }
        if !item.ttl.is_empty() {
            it["metadata"] = json!({ "ttlInSeconds": item.ttl });
        }
        it
    }

    async fn run(&mut self, op: &Op) -> Answer {
        let reply = match op {
            Op::Get { store, key, options } => {
                let consistency = consistency(*options);
                let path =
                    format!("/v1.0/state/{store}/{}?consistency={consistency}", encoded(key));
                self.0.call("GET", &path, &[], "").await
            }
            Op::GetMany { store, keys } => {
                let body = json!({ "keys": keys }).to_string();
                self.0.call("POST", &format!("/v1.0/state/{store}/bulk"), &[], body).await
            }
            Op::Save { store, items } => {
                let mut all = Vec::new();
                for it in items {
                    all.push(self.json(it, true).await);
                }
                let body = Value::from(all).to_string();
                self.0.call("POST", &format!("/v1.0/state/{store}"), &[], body).await
            }
            Op::Delete { store, item } => {
                let etag = self.version(item).await;
                let mut path = format!(
                    "/v1.0/state/{store}/{}?concurrency={}&consistency={}",
                    encoded(item.key),
                    concurrency(item.options),
                    consistency(item.options)
                );
                if !item.ttl.is_empty() {
                    path += &format!("&metadata.ttlInSeconds={}", item.ttl);
                }
                self.0.call("DELETE", &path, &[("If-Match", &etag)], "").await
            }
            Op::Transact { store, operations } => {
                let mut all = Vec::new();
                for (kind, it) in operations {
                    let request = self.json(it, *kind == "upsert").await;
                    all.push(json!({ "operation": kind, "request": request }));
                }
                let body = json!({ "operations": all }).to_string();
                self.0.call("POST", &format!("/v1.0/state/{store}/transaction"), &[], body).await
            }
        };
        answer_of_http(op, &reply)
    }
}

fn encoded(key: &str) -> String {
    key.bytes().map(|it| format!("%{it:02X}")).collect()
}

fn concurrency(options: Options) -> String {
    match options.concurrency {
        0 => String::new(),
        1 => "first-write".to_owned(),
        2 => "last-write".to_owned(),
        other => other.to_string(),
    }
}

fn consistency(options: Options) -> String {
    match options.consistency {
        0 => String::new(),
        1 => "eventual".to_owned(),
        2 => "strong".to_owned(),
        other => other.to_string(),
    }
}

fn answer_of_http(op: &Op, reply: &Reply) -> Answer {
    let value = |it: &Value| it.get("data").map(Value::to_string);
    match reply.status {
        200 if matches!(op, Op::GetMany { .. }) => {
            Answer::Found(reply.json().as_array().unwrap().iter().map(value).collect())
        }
        200 => Answer::Found(vec![Some(reply.body.clone())]),
        204 if matches!(op, Op::Get { .. }) => Answer::Found(vec![None]),
        204 => Answer::Done,
        status => {
            let body = reply.json();
            let info = body["details"].as_array().and_then(|all| {
                all.iter()
                    .find(|it| it["@type"].as_str().is_some_and(|it| it.ends_with("ErrorInfo")))
            });
            let reason = info.map_or(&body["errorCode"], |it| &it["reason"]);
            let message = body["message"].as_str().unwrap();
            let wrapping = "api error: code = InvalidArgument desc = ";
            Answer::Refused {
                outcome: body["outcome"].as_str().unwrap().to_owned(),
                code: code(status, body["errorCode"].as_str().unwrap()),
                reason: reason.as_str().unwrap().to_owned(),
                message: plain(message.strip_prefix(wrapping).unwrap_or(message)),
            }
        }
    }
}

/// The gRPC code that belongs to an answer over HTTP. Source: the table of errors in docs/reference/grpc-api.md.
fn code(status: u16, error: &str) -> Code {
    match (status, error) {
        (_, "ERR_NOT_SUPPORTED_STATE_OPERATION") => Code::Unimplemented,
        (400, _) => Code::InvalidArgument,
        (409, _) => Code::Aborted,
        (413, _) => Code::ResourceExhausted,
        other => panic!("no operation here is answered with {other:?}"),
    }
}

/// Without what differs between two stores, or between two ways to count the bytes of a request.
fn plain(message: &str) -> String {
    let version = "now at version ";
    match message.split_once(version) {
        Some((before, after)) => {
            let rest = after.get(36..).unwrap_or_default();
            format!("{before}{version}…{rest}")
        }
        None if message.contains("large") => "too large".to_owned(),
        None => message.to_owned(),
    }
}

struct Grpc(Calls);

impl Grpc {
    async fn item(&mut self, item: &Item) -> StateItem {
        let etag = match item.etag {
            Version::None => String::new(),
            Version::Stale => "stale".to_owned(),
            Version::Current => self.0.get(item.key).await.map(|it| it.etag).unwrap_or_default(),
        };
        let mut metadata: BTreeMap<_, _> =
            [("contentType".to_owned(), "application/json".to_owned())].into();
        if !item.ttl.is_empty() {
            metadata.insert("ttlInSeconds".to_owned(), item.ttl.to_owned());
        }
        StateItem {
            key: item.key.to_owned(),
            value: item.value.clone().into(),
            etag: Some(Etag { value: etag }),
            metadata: metadata.into_iter().collect(),
            options: Some(StateOptions {
                concurrency: item.options.concurrency,
                consistency: item.options.consistency,
            }),
        }
    }

    async fn run(&mut self, op: &Op) -> Answer {
        let text = |it: &[u8], etag: &str| {
            (!etag.is_empty()).then(|| String::from_utf8(it.to_vec()).unwrap())
        };
        let answered = match op {
            Op::Get { store, key, options } => {
                let message = GetStateRequest {
                    store_name: (*store).to_owned(),
                    key: (*key).to_owned(),
                    consistency: options.consistency,
                    ..Default::default()
                };
                self.0.0.get_state(message).await.map(|it| {
                    let it = it.into_inner();
                    Answer::Found(vec![text(&it.data, &it.etag)])
                })
            }
            Op::GetMany { store, keys } => {
                let message = GetBulkStateRequest {
                    store_name: (*store).to_owned(),
                    keys: keys.iter().map(|it| (*it).to_owned()).collect(),
                    ..Default::default()
                };
                self.0.0.get_bulk_state(message).await.map(|it| {
                    let items = it.into_inner().items;
                    Answer::Found(items.iter().map(|it| text(&it.data, &it.etag)).collect())
                })
            }
            Op::Save { store, items } => {
                let mut states = Vec::new();
                for it in items {
                    states.push(self.item(it).await);
                }
                let message = SaveStateRequest { store_name: (*store).to_owned(), states };
                self.0.0.save_state(message).await.map(|_| Answer::Done)
            }
            Op::Delete { store, item } => {
                let StateItem { key, etag, metadata, options, .. } = self.item(item).await;
                let message = DeleteStateRequest {
                    store_name: (*store).to_owned(),
                    key,
                    etag,
                    metadata,
                    options,
                };
                self.0.0.delete_state(message).await.map(|_| Answer::Done)
            }
            Op::Transact { store, operations } => {
                let mut all = Vec::new();
                for (kind, it) in operations {
                    let mut request = self.item(it).await;
                    if *kind != "upsert" {
                        request.value.clear();
                    }
                    let operation_type = (*kind).to_owned();
                    all.push(TransactionalStateOperation {
                        operation_type,
                        request: Some(request),
                    });
                }
                let message = ExecuteStateTransactionRequest {
                    store_name: (*store).to_owned(),
                    operations: all,
                    ..Default::default()
                };
                self.0.0.execute_state_transaction(message).await.map(|_| Answer::Done)
            }
        };
        answered.unwrap_or_else(|it| answer_of_grpc(&it))
    }
}

fn answer_of_grpc(status: &Status) -> Answer {
    Answer::Refused {
        outcome: outcome(status),
        code: status.code(),
        reason: info(status).reason,
        message: plain(status.message()),
    }
}

/// Everything that is stored under the keys in use.
async fn contents(http: &mut Http) -> Vec<Option<String>> {
    let mut all = Vec::new();
    for key in ["a", "b", "c", "ключ", "a/b"] {
        let path = format!("/v1.0/state/{STORE}/{}", encoded(key));
        let reply = http.0.call("GET", &path, &[], "").await;
        let lives = reply.header("metadata.ttlexpiretime").is_some();
        all.push((reply.status == 200).then(|| format!("{} {lives}", reply.body)));
    }
    all
}

#[tokio::test]
async fn both_fronts_do_and_say_the_same() {
    let (mut refused, mut done) = (0, 0);
    for seed in 0..SEQUENCES {
        let mut rng = Rng::with_seed(seed);
        let limits = Limits { body_bytes_max: BODY_BYTES_MAX, ..Limits::default() };
        let over_http = Served::components([ready(memory().await)], limits.clone()).await;
        let over_grpc = Served::components([ready(memory().await)], limits).await;
        let mut http = Http(over_http.connect().await);
        let mut grpc = Grpc(Calls::to(over_grpc.grpc_address));
        let mut look = Http(over_grpc.connect().await);
        let mut before = Vec::new();
        for _ in 0..LEN {
            let op = random_op(&mut rng);
            if !is_definite(&op) {
                continue;
            }
            let (by_http, by_grpc) = (http.run(&op).await, grpc.run(&op).await);
            assert_eq!(by_http, by_grpc, "seed {seed}: {op:?} after {before:?}");
            match by_http {
                Answer::Refused { .. } => refused += 1,
                _ => done += 1,
            }
            before.push(op);
        }
        assert_eq!(contents(&mut http).await, contents(&mut look).await, "seed {seed}: {before:?}");
    }
    assert!(refused > 200 && done > 200, "{refused} refused, {done} done: both are tried");
}
