use async_trait::async_trait;
use bytes::Bytes;
use hyper::{Method, Request, StatusCode};
use state::{
    Capabilities, ETag, Error, FailureKind, Item, Precondition, Read, Result, Store, Write,
    Written, each, each_in_order,
};

use crate::{
    capabilities,
    connection::{Connection, Protocol, Reply},
    failure, wire,
};

/// A store reached through a sidecar's HTTP API.
///
/// Carries JSON values only, as that API does: a put of anything else is refused with `Invalid`
/// and not sent. The API has no listing.
#[derive(Debug)]
pub struct HttpStore {
    connection: Connection,
    /// The path of the store.
    path: String,
    capabilities: Capabilities,
}

/// Asks for the ETags of what is written. Dapr does not know it, and tells none.
const PREFER_REPRESENTATION: (&str, &str) = ("prefer", "return=representation");

const JSON: (&str, &str) = ("content-type", "application/json");

impl HttpStore {
    /// Connects over HTTP/1.1 to the sidecar at `base_url`, such as `http://127.0.0.1:3500`, and
    /// asks it what its component `store_name` can do.
    ///
    /// # Errors
    ///
    /// If it does not answer, or the component does not exist or is not ready.
    pub async fn connect(base_url: &str, store_name: &str) -> Result<HttpStore> {
        HttpStore::connect_over(Protocol::Http1, base_url, store_name, None).await
    }

    /// As [`connect`](HttpStore::connect), over the protocol given, with the API token that the
    /// sidecar asks for, if it does.
    pub async fn connect_over(
        protocol: Protocol,
        base_url: &str,
        store_name: &str,
        token: Option<&str>,
    ) -> Result<HttpStore> {
        let connection = Connection::new(protocol, base_url, token)?;
        let request = connection.request(Method::GET, "/v1.0/metadata", &[], "")?;
        let metadata = accepted(connection.send(request).await?)?;
        let capabilities = capabilities::of(&metadata.body, store_name)?;
        let path = format!("/v1.0/state/{}", wire::piece(store_name));
        Ok(HttpStore { connection, path, capabilities })
    }

    fn post(&self, suffix: &str, body: Vec<u8>) -> Result<Request<Bytes>> {
        let path = [&self.path, suffix].concat();
        self.connection.request(Method::POST, &path, &[JSON, PREFER_REPRESENTATION], body)
    }

    fn put(&self, write: &Write) -> Result<Request<Bytes>> {
        self.post("", wire::save(std::slice::from_ref(write))?)
    }

    fn delete(&self, write: &Write) -> Result<Request<Bytes>> {
        let (concurrency, if_match) = match &write.precondition {
            Precondition::Any => (None, None),
            Precondition::Absent => (Some("first-write"), None),
            Precondition::Matches(etag) => (None, Some(wire::if_match(etag))),
        };
        let query = wire::query(concurrency, wire::consistency(write.consistency), &write.metadata);
        let path = format!("{}/{}{query}", self.path, wire::piece(write.key.as_str()));
        let if_match: Vec<_> = if_match.iter().map(|it| ("if-match", it.as_str())).collect();
        self.connection.request(Method::DELETE, &path, &if_match, "")
    }

    /// Saves several items with one request.
    async fn save(&self, body: Vec<u8>) -> Result<Reply> {
        self.connection.send(self.post("", body)?).await
    }

    /// Reads `reads`, which have the same options, with one request.
    async fn get_alike(&self, reads: &[Read]) -> Result<Reply> {
        let consistency = reads.first().and_then(|it| wire::consistency(it.consistency));
        let suffix = format!("/bulk{}", wire::query(None, consistency, &Default::default()));
        let request = self.post(&suffix, wire::get_many(reads))?;
        accepted(self.connection.send(request).await?)
    }
}

#[async_trait]
impl Store for HttpStore {
    fn capabilities(&self) -> &Capabilities {
        &self.capabilities
    }

    async fn get(&self, read: &Read) -> Result<Option<Item>> {
        let query = wire::query(None, wire::consistency(read.consistency), &read.metadata);
        let path = format!("{}/{}{query}", self.path, wire::piece(read.key.as_str()));
        let request = self.connection.request(Method::GET, &path, &[], "")?;
        let reply = accepted(self.connection.send(request).await?)?;
        if reply.status == StatusCode::NO_CONTENT {
            return Ok(None);
        }
        let etag = reply.header("etag").and_then(ETag::new);
        let expires_at = reply.header("metadata.ttlexpiretime").and_then(wire::expiry);
        Ok(Some(Item { etag, expires_at, value: reply.body }))
    }

    async fn write(&self, write: &Write) -> Result<Written> {
        let request = if wire::is_delete(write) { self.delete(write)? } else { self.put(write)? };
        let reply = accepted(self.connection.send(request).await?)?;
        Ok(wire::written(&reply.body, 1).remove(0))
    }

    async fn transact(&self, writes: &[Write]) -> Result<Vec<Written>> {
        let request = self.post("/transaction", wire::transaction(writes)?)?;
        let reply = accepted(self.connection.send(request).await?)?;
        Ok(wire::written(&reply.body, writes.len()))
    }

    /// One request if all reads have the same options, for which it has room only once.
    async fn get_many(&self, reads: &[Read]) -> Vec<Result<Option<Item>>> {
        let Some(first) = reads.first() else { return Vec::new() };
        let is_alike =
            |it: &Read| it.consistency == first.consistency && it.metadata == first.metadata;
        if !reads.iter().all(is_alike) {
            return each(reads, |it| self.get(it)).await;
        }
        match self.get_alike(reads).await {
            Ok(reply) => wire::found(&reply.body, reads),
            Err(e) => wire::for_each_of(reads.len(), &e),
        }
    }

    /// One request if all writes are puts, which is the only one that the API has.
    async fn write_many(&self, writes: &[Write]) -> Vec<Result<Written>> {
        let body = if writes.len() > 1 && !writes.iter().any(wire::is_delete) {
            wire::save(writes).ok()
        } else {
            None
        };
        // One that cannot be sent must not keep the others from being sent.
        let Some(body) = body else { return each_in_order(writes, |it| self.write(it)).await };
        match self.save(body).await {
            Ok(reply) if reply.status.is_success() => {
                wire::written(&reply.body, writes.len()).into_iter().map(Ok).collect()
            }
            Ok(reply) => failure::of_each(&reply, writes.len()),
            Err(e) => wire::for_each_of(writes.len(), &e),
        }
    }

    /// Asks whether all components are ready, which is the nearest that the API has.
    async fn ping(&self) -> Result<()> {
        let request = self.connection.request(Method::GET, "/v1.0/healthz/outbound", &[], "")?;
        let reply = self.connection.send(request).await?;
        if reply.status.is_success() {
            return Ok(());
        }
        Err(Error::new(FailureKind::Unavailable, "the sidecar is not ready"))
    }
}

/// The reply, unless it is an error.
fn accepted(reply: Reply) -> Result<Reply> {
    if reply.status.is_success() { Ok(reply) } else { Err(failure::of(&reply)) }
}
