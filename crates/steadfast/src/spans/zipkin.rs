//! Spans as Zipkin takes them. Source: its API, version 2.

use std::time::UNIX_EPOCH;

use serde_json::{Map, Value, json};

use super::{Record, options::Service};

/// A batch, as an array.
pub(super) fn batch(service: &Service, batch: &[Record]) -> Value {
    batch.iter().map(|it| span(service, it)).collect()
}

/// One span.
pub(super) fn span(service: &Service, it: &Record) -> Value {
    let text = |value: &str| Value::from(value);
    let mut tags: Map<String, Value> =
        it.attributes.iter().map(|(name, value)| ((*name).to_owned(), text(value))).collect();
    tags.insert("dapr.status_code".to_owned(), it.status_code.to_string().into());
    if let Some(error) = &it.error {
        tags.insert("error".to_owned(), text(error));
    }
    let mut span = json!({
        "traceId": format!("{:032x}", it.context.trace_id),
        "id": format!("{:016x}", it.context.span_id),
        "name": it.name,
        "kind": "CLIENT",
        "timestamp": it.start.duration_since(UNIX_EPOCH).unwrap_or_default().as_micros() as u64,
        // Less than one is not allowed.
        "duration": it.elapsed.as_micros().max(1) as u64,
        "localEndpoint": { "serviceName": service.name },
        "tags": tags,
    });
    if let Some(parent) = it.parent {
        span["parentId"] = format!("{parent:016x}").into();
    }
    span
}
