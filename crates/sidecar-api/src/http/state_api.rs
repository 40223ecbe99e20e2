//! Reads and writes of state.

use base64::{Engine, engine::general_purpose::STANDARD};
use hyper::{
    HeaderMap, StatusCode,
    header::{ETAG, HeaderName, HeaderValue, IF_MATCH, IF_NONE_MATCH},
    http::request::Parts,
};
use serde::Serialize;
use serde_json::value::RawValue;
use state::{Metadata, Precondition, Read, Result as StateResult, Write, Written};

use super::{
    body::{self, Content, parameters},
    json::{self, GetMany, Item, List, Map, Shared, Transaction},
    reply::{self, Reply, Response},
};
use crate::{
    ApiError, Front,
    error::with_causes,
    vocabulary::{self, Operation, Options, Wish},
};

const METADATA_TTL: HeaderName = HeaderName::from_static("metadata.ttlexpiretime");
const CONCURRENCY: HeaderName = HeaderName::from_static("concurrency");
const CONSISTENCY: HeaderName = HeaderName::from_static("consistency");
const PREFER: HeaderName = HeaderName::from_static("prefer");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const REPRESENTATION: &str = "return=representation";

/// What an entry of a bulk get's answer takes besides its value, if its key is not long.
const ENTRY_BYTES: usize = 128;

pub(super) async fn get(front: &Front, store: &str, key: &str, parts: &Parts) -> Reply {
    let store = front.sidecar.service.store(store)?;
    let wish = shared(parts)?.wish(key, "");
    let Some(item) = store.get(&wish.read(&store)?).await? else {
        return Ok(reply::empty(StatusCode::NO_CONTENT));
    };
    let mut response = reply::json(StatusCode::OK, item.value);
    let headers = response.headers_mut();
    if let Some(etag) = item.etag.and_then(|it| HeaderValue::from_str(it.as_str()).ok()) {
        headers.insert(ETAG, etag);
    }
    if let Some((_, time)) = vocabulary::expiry(item.expires_at)
        && let Ok(time) = HeaderValue::from_str(&time)
    {
        headers.insert(METADATA_TTL, time);
    }
    Ok(response)
}

pub(super) async fn delete(front: &Front, store: &str, key: &str, parts: &Parts) -> Reply {
    let store = front.sidecar.service.store(store)?;
    let shared = shared(parts)?;
    refuse_condition(&parts.headers, &IF_NONE_MATCH, "a delete takes If-Match only")?;
    let etag = if_match(&parts.headers)?.unwrap_or_default();
    store.delete(&shared.wish(key, etag).delete(&store)?).await?;
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

pub(super) async fn save(
    front: &Front,
    store: &str,
    parts: &Parts,
    body: &mut impl Content,
) -> Reply {
    let store = front.sidecar.service.store(store)?;
    let shared = shared(parts)?;
    let body = body::read(body, front).await?;
    let inner = json::unwrap_string(&body);
    let text = inner.as_deref().map_or(&body[..], str::as_bytes);
    let items: List<Option<Item<'_>>> = json::parse(text).map_err(|e| {
        let hint = hint(text, r#"send an array of items: [{"key": "k", "value": 1}]"#);
        ApiError::malformed(e).hint(hint)
    })?;
    vocabulary::check_len(items.len)?;
    let put = |it: Option<Item<'_>>| it.unwrap_or_default().put(&shared, &store);
    let mut writes: Vec<Write> = items.kept.into_iter().map(put).collect::<Result<_, _>>()?;
    apply_conditions(&mut writes, &parts.headers)?;
    let written = store.save(&writes).await?;
    let preferred = prefers_representation(&parts.headers);
    if preferred || inner.is_some() {
        return Ok(representation(&writes, &written, preferred));
    }
    let mut response = reply::empty(StatusCode::NO_CONTENT);
    if let [Written { etag: Some(etag) }] = written.as_slice()
        && let Ok(etag) = HeaderValue::from_str(etag.as_str())
    {
        response.headers_mut().insert(ETAG, etag);
    }
    Ok(response)
}

pub(super) async fn get_many(
    front: &Front,
    store: &str,
    parts: &Parts,
    body: &mut impl Content,
) -> Reply {
    let store = front.sidecar.service.store(store)?;
    let Shared { options, metadata: in_query } = shared(parts)?;
    let body = body::read(body, front).await?;
    let body: GetMany<'_> = json::parse(&body).map_err(|e| {
        ApiError::malformed(format!("failed deserializing HTTP body: {e}"))
            .hint(r#"send an object with the keys: {"keys": ["a", "b"]}"#)
    })?;
    let keys = body.keys.unwrap_or_default();
    vocabulary::check_len(keys.len)?;
    let metadata = vocabulary::merged(body.metadata.unwrap_or_default().0, &in_query)?;
    vocabulary::check_shared(&metadata)?;
    let read = |it: &json::Text<'_>| {
        Wish { key: &it.0, etag: "", options: options.clone(), metadata: metadata.clone() }
            .read(&store)
    };
    let reads: Vec<Read> = keys.kept.iter().map(read).collect::<Result<_, ApiError>>()?;
    let answers = if reads.is_empty() { Vec::new() } else { store.get_many(&reads).await? };
    let items: Vec<_> = reads.iter().zip(&answers).map(|(it, answer)| found(it, answer)).collect();
    let values = answers.iter().flatten().flatten().map(|it| it.value.len()).sum::<usize>();
    let mut body = Vec::with_capacity(values + items.len() * ENTRY_BYTES);
    serde_json::to_writer(&mut body, &items).expect("strings and valid JSON only");
    body.push(b'\n');
    Ok(reply::json(StatusCode::OK, body))
}

pub(super) async fn transact(
    front: &Front,
    store: &str,
    parts: &Parts,
    body: &mut impl Content,
) -> Reply {
    let store = front.sidecar.service.store(store)?;
    store.check_transactions()?;
    let shared = shared(parts)?;
    for name in [IF_MATCH, IF_NONE_MATCH] {
        refuse_condition(&parts.headers, &name, "give each operation its own etag or options")?;
    }
    let body = body::read(body, front).await?;
    let malformed = |e: String| {
        let shape = r#"send {"operations": [{"operation": "upsert", "request": {"key": "k", "value": 1}}]}"#;
        let hint = hint(&body, shape);
        ApiError::malformed(format!("failed deserializing HTTP body: {e}")).hint(hint)
    };
    let body: Transaction<'_> = json::parse(&body).map_err(malformed)?;
    let common = body.metadata.unwrap_or_default().0;
    vocabulary::check_shared(&common)?;
    let operations = body.operations.unwrap_or_default();
    store.check_transaction_len(operations.len)?;
    let mut writes = Vec::with_capacity(operations.len);
    for it in operations.kept {
        let mut item = it.request.unwrap_or_default();
        let own = item.metadata.unwrap_or_default().0;
        item.metadata = Some(Map(vocabulary::merged(common.clone(), &own)?));
        let operation = it.operation.map(|it| it.0).unwrap_or_default();
        writes.push(match vocabulary::operation(&operation)? {
            Operation::Upsert => item.put(&shared, &store)?,
            Operation::Delete => item.delete(&shared, &store)?,
        });
    }
    let written = store.transact(&writes).await?;
    if prefers_representation(&parts.headers) {
        return Ok(representation(&writes, &written, true));
    }
    Ok(reply::empty(StatusCode::NO_CONTENT))
}

/// What the query and the headers say for the whole request. The query wins.
fn shared(parts: &Parts) -> Result<Shared<'_>, ApiError> {
    // Bytes that are not text become a word that nobody knows.
    let header = |name: &HeaderName| {
        parts.headers.get(name).map(|it| String::from_utf8_lossy(it.as_bytes()))
    };
    let in_headers =
        Options { concurrency: header(&CONCURRENCY), consistency: header(&CONSISTENCY) };
    in_headers.check()?;
    let Some(query) = parts.uri.query() else {
        return Ok(Shared { options: in_headers, metadata: Metadata::new() });
    };
    let mut in_query = Options::default();
    let mut metadata = Metadata::new();
    for (name, value) in parameters(query)? {
        match &*name {
            "concurrency" => in_query.concurrency = Some(value),
            "consistency" => in_query.consistency = Some(value),
            _ => {
                if let Some(name) = name.strip_prefix("metadata.") {
                    metadata.insert(name.to_owned(), value.into_owned());
                }
            }
        }
    }
    in_query.check()?;
    vocabulary::check_shared(&metadata)?;
    Ok(Shared { options: in_query.or(&in_headers), metadata })
}

/// The ETag of `If-Match`, with or without the quotes of RFC 9110, section 8.8.3.
fn if_match(headers: &HeaderMap) -> Result<Option<&str>, ApiError> {
    let mut values = headers.get_all(IF_MATCH).iter();
    let Some(value) = values.next() else { return Ok(None) };
    if values.next().is_some() {
        return Err(ApiError::malformed("If-Match is there more than once"));
    }
    let text = value.to_str().map_err(|_| ApiError::malformed("If-Match is not visible ASCII"))?;
    let text = text.trim();
    if text == "*" {
        return Err(ApiError::malformed("If-Match: * is not supported")
            .hint("send the ETag that the value was read with"));
    }
    let inner = text.strip_prefix('"').and_then(|it| it.strip_suffix('"'));
    Ok(Some(inner.unwrap_or(text)))
}

/// Refuses a condition that the request would not be held to.
fn refuse_condition(headers: &HeaderMap, name: &HeaderName, hint: &str) -> Result<(), ApiError> {
    if !headers.contains_key(name) {
        return Ok(());
    }
    let name = if name == IF_MATCH { "If-Match" } else { "If-None-Match" };
    Err(ApiError::malformed(format!("{name} does not go with this request")).hint(hint))
}

/// `If-Match` and `If-None-Match: *` on a save, as if they were fields of its items.
fn apply_conditions(writes: &mut [Write], headers: &HeaderMap) -> Result<(), ApiError> {
    let etag = if_match(headers)?.filter(|it| !it.is_empty());
    match (etag, headers.get(IF_NONE_MATCH)) {
        (None, None) => Ok(()),
        (Some(etag), None) => apply_if_match(writes, etag),
        (None, Some(value)) => apply_if_none_match(writes, value),
        (Some(_), Some(_)) => {
            Err(ApiError::malformed("If-Match and If-None-Match contradict each other")
                .hint("send one of the two: no key is both absent and at a version"))
        }
    }
}

fn apply_if_match(writes: &mut [Write], etag: &str) -> Result<(), ApiError> {
    let [write] = writes else {
        let message = format!("If-Match goes with one item, not {}", writes.len());
        return Err(ApiError::malformed(message).hint("give each item its own field etag"));
    };
    let expected = Options::default().precondition(etag)?;
    if matches!(write.precondition, Precondition::Matches(_)) && write.precondition != expected {
        return Err(ApiError::malformed("If-Match contradicts the item's own ETag")
            .hint("send the ETag once"));
    }
    write.precondition = expected;
    Ok(())
}

fn apply_if_none_match(writes: &mut [Write], value: &HeaderValue) -> Result<(), ApiError> {
    if value.as_bytes().trim_ascii() != b"*" {
        return Err(ApiError::malformed("If-None-Match must be * on a save")
            .hint("use If-None-Match: * to create only, If-Match to replace one version"));
    }
    for write in writes {
        if matches!(write.precondition, Precondition::Matches(_)) {
            return Err(ApiError::malformed("an item has an ETag and If-None-Match: *")
                .hint("send one of the two: no key is both absent and at a version"));
        }
        write.precondition = Precondition::Absent;
    }
    Ok(())
}

/// What to do about JSON that could not be read.
fn hint(body: &[u8], shape: &'static str) -> &'static str {
    if json::has_bare_etag(body) { "an ETag is a string: put it in quotes" } else { shape }
}

/// Whether the client wants to learn the new ETags. Source: RFC 7240, section 4.2.
fn prefers_representation(headers: &HeaderMap) -> bool {
    let values = headers.get_all(PREFER).iter().filter_map(|it| it.to_str().ok());
    values.flat_map(|it| it.split([',', ';'])).any(|it| it.trim() == REPRESENTATION)
}

fn representation(writes: &[Write], written: &[Written], preferred: bool) -> Response {
    #[derive(Serialize)]
    struct New<'a> {
        key: &'a str,
        #[serde(skip_serializing_if = "Option::is_none")]
        etag: Option<&'a str>,
    }
    let mut items = Vec::with_capacity(writes.len());
    for (write, written) in writes.iter().zip(written) {
        let etag = written.etag.as_ref().map(|it| it.as_str());
        items.push(New { key: write.key.as_str(), etag });
    }
    let body = serde_json::to_vec(&items).expect("strings only");
    let mut response = reply::json(StatusCode::OK, body);
    if preferred {
        let applied = HeaderValue::from_static(REPRESENTATION);
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    response
}

/// One entry of a bulk get's answer.
#[derive(Serialize)]
struct Entry<'a> {
    key: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    data: Option<Data<'a>>,
    /// Says that `data` is not the value, but a text that has to be decoded to get it.
    ///
    /// Differs from Dapr: a value that is not JSON makes its whole answer empty.
    #[serde(skip_serializing_if = "Option::is_none")]
    encoding: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    etag: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    metadata: Option<Metadata>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Base64(String),
}

fn found<'a>(read: &'a Read, answer: &'a StateResult<Option<state::Item>>) -> Entry<'a> {
    let key = read.key.as_str();
    let nothing =
        Entry { key, data: None, encoding: None, etag: None, metadata: None, error: None };
    let item = match answer {
        Err(e) => return Entry { error: Some(with_causes(e)), ..nothing },
        Ok(None) => return nothing,
        Ok(Some(it)) => it,
    };
    let text = std::str::from_utf8(&item.value).ok();
    let json: Option<&RawValue> = text.and_then(|it| serde_json::from_str(it).ok());
    Entry {
        data: Some(json.map_or_else(|| Data::Base64(STANDARD.encode(&item.value)), Data::Json)),
        encoding: json.is_none().then_some("base64"),
        etag: item.etag.as_ref().map(|it| it.as_str()),
        metadata: vocabulary::expiry(item.expires_at)
            .map(|(name, time)| [(name.to_owned(), time)].into()),
        ..nothing
    }
}
