//! What the scripts answer.

use std::time::{Duration, UNIX_EPOCH};

use bytes::Bytes;
use redis::Value;
use state::{Conflict, ETag, Error, FailureKind, Found, Item, Result, Written};

/// The answer of `read.lua`.
pub(super) fn item(reply: Value) -> Result<Option<Item>> {
    let parts = match reply {
        Value::Nil => return Ok(None),
        Value::Array(parts) => parts,
        _ => return Err(not_understood()),
    };
    match <[Value; 3]>::try_from(parts) {
        Ok([Value::BulkString(value), Value::BulkString(version), Value::Int(deadline_ms)]) => {
            let deadline_ms = u64::try_from(deadline_ms).ok();
            let expires_at =
                deadline_ms.and_then(|it| UNIX_EPOCH.checked_add(Duration::from_millis(it)));
            Ok(Some(Item { value: Bytes::from(value), etag: Some(etag(&version)?), expires_at }))
        }
        Ok(_) => Err(not_understood()),
        Err(parts) => match parts.as_slice() {
            [_, Value::BulkString(reason)] => Err(foreign(reason)),
            _ => Err(not_understood()),
        },
    }
}

/// The answer of `write.lua` to so many writes.
pub(super) fn written(reply: Value, len: usize) -> Result<Vec<Written>> {
    let Value::Array(parts) = reply else { return Err(unclear()) };
    let [Value::BulkString(status), rest @ ..] = parts.as_slice() else { return Err(unclear()) };
    match (status.as_slice(), rest) {
        (b"ok", versions) if versions.len() == len => versions.iter().map(version).collect(),
        (b"conflict", [Value::Int(position), Value::BulkString(found)]) => {
            let found = match found.as_slice() {
                b"" => Found::Absent,
                version => Found::Version(etag(version)?),
            };
            let position = usize::try_from(*position).map_err(|_| unclear())?;
            Err(Conflict::new(found).at(position).into())
        }
        (b"foreign", [_, Value::BulkString(what)]) => Err(foreign(what)),
        _ => Err(unclear()),
    }
}

fn version(reply: &Value) -> Result<Written> {
    match reply {
        Value::BulkString(it) if it.is_empty() => Ok(Written { etag: None }),
        Value::BulkString(it) => Ok(Written { etag: Some(etag(it)?) }),
        _ => Err(unclear()),
    }
}

fn etag(version: &[u8]) -> Result<ETag> {
    let text = std::str::from_utf8(version).ok();
    text.and_then(ETag::new).ok_or_else(|| foreign(b"a version that is no number"))
}

/// Something is there that this store has not written, and that it leaves alone.
fn foreign(what: &[u8]) -> Error {
    let message = format!(
        "redis has something else under this key: {}; it was left as it is, so delete it or use another key",
        String::from_utf8_lossy(what)
    );
    Error::new(FailureKind::Corrupt, message)
}

pub(super) fn not_understood() -> Error {
    let message =
        "redis gave an answer that cannot be understood: is something between here and it?";
    Error::new(FailureKind::Corrupt, message)
}

fn unclear() -> Error {
    let message =
        "redis gave an answer to a write that cannot be understood: read back what there is";
    Error::new(FailureKind::Lost, message)
}

#[cfg(test)]
mod tests {
    use state::Outcome;

    use super::*;

    fn text(it: &str) -> Value {
        Value::BulkString(it.as_bytes().to_vec())
    }

    #[test]
    fn a_conflict_names_the_write_and_what_was_found() {
        let reply = Value::Array(vec![text("conflict"), Value::Int(2), text("7")]);
        let Err(Error::Conflict(conflict)) = written(reply, 3) else { panic!() };
        assert_eq!((conflict.position(), conflict.found().etag().unwrap().as_str()), (2, "7"));
        let reply = Value::Array(vec![text("conflict"), Value::Int(0), text("")]);
        let Err(Error::Conflict(conflict)) = written(reply, 1) else { panic!() };
        assert_eq!(*conflict.found(), Found::Absent);
    }

    #[test]
    fn an_answer_of_another_form_leaves_a_write_unknown() {
        for reply in [Value::Nil, Value::Okay, Value::Array(vec![text("ok")])] {
            assert_eq!(written(reply, 1).unwrap_err().outcome(), Outcome::Unknown);
        }
    }

    #[test]
    fn what_is_foreign_is_named_and_nothing_was_done() {
        let reply = Value::Array(vec![text("foreign"), Value::Int(0), text("a list")]);
        let error = written(reply, 1).unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied);
        assert!(error.to_string().contains("a list"));
        assert!(item(Value::Array(vec![Value::Nil, text("a list")])).is_err());
    }
}
