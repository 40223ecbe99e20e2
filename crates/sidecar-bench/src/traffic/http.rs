use std::ops::Range;

use bytes::Bytes;

use super::{STORE, TTL_SECONDS, Traffic};
use crate::operation::Operation;

impl Traffic {
    pub(super) fn http(
        &self,
        operation: Operation,
        keys: Range<usize>,
        etag: Option<&str>,
    ) -> Bytes {
        match operation {
            Operation::Get => get(&self.key(keys.start)),
            Operation::Save => self.save(keys, ""),
            Operation::SaveEtag => {
                let etag = etag.unwrap_or_default();
                let first = r#"{"concurrency":"first-write"}"#;
                self.save(keys, &format!(r#","etag":"{etag}","options":{first}"#))
            }
            Operation::SaveTtl => {
                let ttl = format!(r#","metadata":{{"ttlInSeconds":"{TTL_SECONDS}"}}"#);
                self.save(keys, &ttl)
            }
            Operation::Delete => {
                let key = self.key(keys.start);
                format!("DELETE /v1.0/state/{STORE}/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n")
                    .into()
            }
            Operation::Transaction => self.transaction(keys),
            Operation::BulkGet => {
                let keys: Vec<String> = self.keys(keys).map(|it| format!(r#""{it}""#)).collect();
                post("/bulk", format!(r#"{{"keys":[{}]}}"#, keys.join(",")).as_bytes())
            }
        }
    }

    /// `options` follow each value.
    pub(super) fn save(&self, keys: Range<usize>, options: &str) -> Bytes {
        let mut body = Vec::with_capacity(keys.len() * (self.value.len() + options.len() + 64) + 2);
        for key in self.keys(keys) {
            body.extend(if body.is_empty() { b"[" } else { b"," });
            body.extend_from_slice(format!(r#"{{"key":"{key}","value":"#).as_bytes());
            body.extend_from_slice(&self.value);
            body.extend_from_slice(options.as_bytes());
            body.extend(b"}");
        }
        body.extend(b"]");
        post("", &body)
    }

    fn transaction(&self, keys: Range<usize>) -> Bytes {
        let mut body = Vec::with_capacity(keys.len() * (self.value.len() + 128) + 32);
        body.extend_from_slice(br#"{"operations":"#);
        let mut before = b"[";
        for key in self.keys(keys) {
            body.extend(before);
            before = b",";
            let head = format!(r#"{{"operation":"upsert","request":{{"key":"{key}","value":"#);
            body.extend_from_slice(head.as_bytes());
            body.extend_from_slice(&self.value);
            body.extend(b"}}");
        }
        body.extend(b"]}");
        post("/transaction", &body)
    }
}

pub(super) fn get(key: &str) -> Bytes {
    format!("GET /v1.0/state/{STORE}/{key} HTTP/1.1\r\nhost: localhost\r\n\r\n").into()
}

fn post(route: &str, body: &[u8]) -> Bytes {
    let head = format!(
        "POST /v1.0/state/{STORE}{route} HTTP/1.1\r\nhost: localhost\r\n\
         content-type: application/json\r\ncontent-length: {}\r\n\r\n",
        body.len()
    );
    [head.as_bytes(), body].concat().into()
}
