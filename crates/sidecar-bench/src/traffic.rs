//! The bytes that are sent: keys, values and whole requests.

mod grpc;
mod http;

use std::{fmt, ops::Range, sync::LazyLock};

use bytes::Bytes;

use crate::{
    client::{Good, Request, Wire},
    operation::Operation,
};

/// The store's name, in component files as with `--state-store`.
pub(crate) const STORE: &str = "statestore";

/// How many keys there are unless something else is said.
pub(crate) const KEYS: usize = 10_000;

/// Bytes of a value unless something else is said.
pub(crate) const VALUE_LEN: usize = 1024;

/// Of a bulk get, unless something else is said.
pub(crate) const BULK_LEN: usize = 20;

/// Of a transaction.
const TRANSACTION_LEN: usize = 5;

/// How long all values together may be if they are longer than usual: then there are fewer keys.
const LONG_VALUES_BYTES_MAX: usize = 128 << 20;

/// How much a request that fills a store has of values. Well below the largest body that a sidecar takes, 4 MiB.
const FILL_BYTES: usize = 256 << 10;

/// A value of the usual length.
pub(crate) static VALUE: LazyLock<Bytes> = LazyLock::new(|| value(VALUE_LEN));

/// What follows the value of a save whose answer means that it is on the disk.
pub(crate) const STRONG: &str = r#","options":{"consistency":"strong"}"#;

/// A lifetime in seconds that no run outlives.
const TTL_SECONDS: &str = "86400";

/// Requests that can be sent again and again.
pub(crate) struct Requests {
    /// How many different ones there are.
    len: usize,
    make: Box<dyn Fn(usize) -> Request>,
    pub(crate) good: Good,
}

/// What is read and written, and how it is asked for.
#[derive(Clone, Debug)]
pub(crate) struct Traffic {
    pub(crate) wire: Wire,
    pub(crate) keys: usize,
    pub(crate) value: Bytes,
    pub(crate) bulk_len: usize,
}

/// The n-th of `keys` keys to be used. Neighbours in time are no neighbours in the database, and none
/// comes again before all others have.
pub(crate) fn key(n: usize, keys: usize) -> String {
    /// Has no divisor in common with any number of keys that it does not divide, being a prime.
    const STRIDE: usize = 7919;
    format!("order-{:08}", n % keys * STRIDE % keys)
}

/// A value like those that applications keep: a JSON object of short fields. At least 14 bytes.
pub(crate) fn value(len: usize) -> Bytes {
    let mut fields = String::new();
    for it in 0.. {
        let field = format!(r#""field_{it:03}":"{:032x}","#, u128::MAX / (it + 3));
        if fields.len() + field.len() + r#"{"note":""}"#.len() > len {
            break;
        }
        fields += &field;
    }
    let padding = len.saturating_sub(fields.len() + r#"{"note":""}"#.len());
    format!(r#"{{{fields}"note":"{}"}}"#, "n".repeat(padding)).into()
}

impl Traffic {
    /// The usual keys and values over HTTP.
    pub(crate) fn usual() -> Traffic {
        Traffic::new(Wire::Http, KEYS, VALUE_LEN, BULK_LEN)
    }

    /// With fewer keys if all values together would be too long.
    pub(crate) fn new(wire: Wire, keys: usize, value_len: usize, bulk_len: usize) -> Traffic {
        let keys_max = match value_len {
            ..=VALUE_LEN => usize::MAX,
            longer => LONG_VALUES_BYTES_MAX / longer,
        };
        let keys = keys.min(keys_max).max(bulk_len);
        Traffic { wire, keys, value: value(value_len), bulk_len }
    }

    /// How many keys a request has.
    pub(crate) fn keys_each(&self, operation: Operation) -> usize {
        match operation {
            Operation::BulkGet => self.bulk_len,
            Operation::Transaction => TRANSACTION_LEN,
            _ => 1,
        }
    }

    pub(crate) fn key(&self, n: usize) -> String {
        key(n, self.keys)
    }

    /// `etags` has, for an operation that needs one, the version of the n-th key.
    pub(crate) fn requests(&self, operation: Operation, etags: Vec<String>) -> Requests {
        let keys_each = self.keys_each(operation);
        // The status of a bulk get does not say what was not found.
        let (status, body_len_min) = match operation {
            Operation::Get => (200, self.value.len()),
            Operation::BulkGet => (200, keys_each * (self.key(0).len() + self.value.len())),
            _ => (204, 0),
        };
        let traffic = self.clone();
        let make = move |n| {
            let keys = n * keys_each..(n + 1) * keys_each;
            let etag = etags.get(n).map(String::as_str);
            match traffic.wire {
                Wire::Http => Request::Http(traffic.http(operation, keys, etag)),
                Wire::Grpc => traffic.grpc(operation, keys, etag),
            }
        };
        let good = Good { statuses: status_only(status), body_len_min };
        Requests { len: self.keys / keys_each, make: Box::new(make), good }
    }

    /// Saves of all keys over HTTP, many at a time.
    pub(crate) fn fill(&self) -> Requests {
        let keys_each = (FILL_BYTES / self.value.len()).clamp(1, 100).min(self.keys);
        let len = self.keys.div_ceil(keys_each);
        let traffic = self.clone();
        let make = move |n: usize| {
            let keys = n * keys_each..((n + 1) * keys_each).min(traffic.keys);
            Request::Http(traffic.save(keys, ""))
        };
        let good = Good { statuses: &[204], body_len_min: 0 };
        Requests { len, make: Box::new(make), good }
    }

    /// Durable saves of one key each, over HTTP.
    pub(crate) fn strong_saves(&self) -> Requests {
        let traffic = self.clone();
        let make = move |n| Request::Http(traffic.save(n..n + 1, STRONG));
        let good = Good { statuses: &[204], body_len_min: 0 };
        Requests { len: self.keys, make: Box::new(make), good }
    }

    /// A read and a save of different keys, in turn. The first reads come before the saves.
    pub(crate) fn mixed(&self) -> Requests {
        let traffic = self.clone();
        let make = move |n: usize| {
            let (operation, key) = match n % 2 {
                0 => (Operation::Get, n / 2),
                _ => (Operation::Save, n / 2 + traffic.keys / 2),
            };
            Request::Http(traffic.http(operation, key..key + 1, None))
        };
        let good = Good { statuses: &[200, 204], body_len_min: 0 };
        Requests { len: 2 * self.keys, make: Box::new(make), good }
    }

    /// What an application does in a day, in a fixed order: 12 reads, 4 saves, one of them with a
    /// lifetime, a delete, a transaction of 5 and two bulk gets of 20, again and again with other keys.
    pub(crate) fn everyday(&self) -> Requests {
        use Operation::{BulkGet, Delete, Get, Save, SaveTtl, Transaction};
        const HOUR: [Operation; 20] = [
            Get,
            Get,
            Get,
            Save,
            Get,
            Get,
            Get,
            SaveTtl,
            Get,
            Get,
            Get,
            Save,
            Get,
            Get,
            Get,
            Save,
            BulkGet,
            Transaction,
            Delete,
            BulkGet,
        ];
        let mut next = 0;
        let mut all = Vec::new();
        for _ in 0..self.keys / HOUR.len() {
            for operation in HOUR {
                let keys = next..next + self.keys_each(operation);
                next = keys.end;
                all.push((operation, keys));
            }
        }
        let traffic = self.clone();
        let len = all.len();
        let make = move |n: usize| {
            let (operation, keys) = all[n].clone();
            Request::Http(traffic.http(operation, keys, None))
        };
        // Not every key is there.
        let good = Good { statuses: &[200, 204], body_len_min: 0 };
        Requests { len, make: Box::new(make), good }
    }

    fn keys(&self, range: Range<usize>) -> impl Iterator<Item = String> {
        range.map(|it| self.key(it))
    }
}

/// A read of a key that is not there.
pub(crate) fn probe(wire: Wire) -> Request {
    match wire {
        Wire::Http => Request::Http(http::get("absent")),
        Wire::Grpc => grpc::get("absent".to_owned()),
    }
}

fn status_only(status: u16) -> &'static [u16] {
    if status == 200 { &[200] } else { &[204] }
}

impl Requests {
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// The n-th; after the last comes the first.
    pub(crate) fn get(&self, n: usize) -> Request {
        (self.make)(n % self.len)
    }
}

impl fmt::Debug for Requests {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Requests").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
