//! Spans as messages of OpenTelemetry. Source: its `trace.proto` and `trace_service.proto`; written by hand, as far as they
//! are needed.

use std::time::UNIX_EPOCH;

use prost::Message;

use super::{Record, options::Service};

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(message, repeated, tag = "1")]
    resources: Vec<ResourceSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct ResourceSpans {
    #[prost(message, optional, tag = "1")]
    resource: Option<Resource>,
    #[prost(message, repeated, tag = "2")]
    scopes: Vec<ScopeSpans>,
}

#[derive(Clone, PartialEq, Message)]
struct Resource {
    #[prost(message, repeated, tag = "1")]
    attributes: Vec<KeyValue>,
}

#[derive(Clone, PartialEq, Message)]
struct ScopeSpans {
    #[prost(message, optional, tag = "1")]
    scope: Option<Scope>,
    #[prost(message, repeated, tag = "2")]
    spans: Vec<Span>,
}

#[derive(Clone, PartialEq, Message)]
struct Scope {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    version: String,
}

#[derive(Clone, PartialEq, Message)]
struct Span {
    #[prost(bytes = "vec", tag = "1")]
    trace_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    span_id: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    parent_span_id: Vec<u8>,
    #[prost(string, tag = "5")]
    name: String,
    #[prost(int32, tag = "6")]
    kind: i32,
    #[prost(fixed64, tag = "7")]
    start_ns: u64,
    #[prost(fixed64, tag = "8")]
    end_ns: u64,
    #[prost(message, repeated, tag = "9")]
    attributes: Vec<KeyValue>,
    #[prost(message, optional, tag = "15")]
    status: Option<Status>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(string, tag = "2")]
    message: String,
    #[prost(int32, tag = "3")]
    code: i32,
}

#[derive(Clone, PartialEq, Message)]
struct KeyValue {
    #[prost(string, tag = "1")]
    key: String,
    #[prost(message, optional, tag = "2")]
    value: Option<AnyValue>,
}

/// One of these.
#[derive(Clone, PartialEq, Message)]
struct AnyValue {
    #[prost(string, optional, tag = "1")]
    text: Option<String>,
    #[prost(int64, optional, tag = "3")]
    number: Option<i64>,
}

/// `SPAN_KIND_CLIENT`, which Dapr gives all of its spans.
const CLIENT: i32 = 3;
const STATUS_ERROR: i32 = 2;

/// The message for a batch.
pub(super) fn encode(service: &Service, batch: &[Record]) -> Vec<u8> {
    let name = text("service.name", &service.name);
    let own = service.attributes.iter().filter(|(it, _)| it != "service.name");
    let own = own.map(|(key, value)| text(key, value));
    let resource = Resource { attributes: own.chain([name]).collect() };
    let scope =
        Scope { name: "steadfast".to_owned(), version: env!("CARGO_PKG_VERSION").to_owned() };
    let spans = batch.iter().map(span).collect();
    let scopes = vec![ScopeSpans { scope: Some(scope), spans }];
    Request { resources: vec![ResourceSpans { resource: Some(resource), scopes }] }.encode_to_vec()
}

fn span(it: &Record) -> Span {
    let start_ns = it.start.duration_since(UNIX_EPOCH).unwrap_or_default().as_nanos() as u64;
    let code = AnyValue { text: None, number: Some(it.status_code) };
    let code = KeyValue { key: "dapr.status_code".to_owned(), value: Some(code) };
    let attributes = it.attributes.iter().map(|(key, value)| text(key, value));
    Span {
        trace_id: it.context.trace_id.to_be_bytes().to_vec(),
        span_id: it.context.span_id.to_be_bytes().to_vec(),
        parent_span_id: it.parent.map_or_else(Vec::new, |it| it.to_be_bytes().to_vec()),
        name: it.name.clone(),
        kind: CLIENT,
        start_ns,
        end_ns: start_ns + it.elapsed.as_nanos() as u64,
        attributes: attributes.chain([code]).collect(),
        status: it.error.clone().map(|message| Status { message, code: STATUS_ERROR }),
    }
}

fn text(key: &str, value: &str) -> KeyValue {
    let value = AnyValue { text: Some(value.to_owned()), number: None };
    KeyValue { key: key.to_owned(), value: Some(value) }
}

/// The names of the spans in a message.
#[cfg(test)]
pub(super) fn names(message: &[u8]) -> Vec<String> {
    let request = Request::decode(message).expect("it is a message");
    let scopes = request.resources.into_iter().flat_map(|it| it.scopes);
    scopes.flat_map(|it| it.spans).map(|it| it.name).collect()
}
