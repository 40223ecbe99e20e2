//! What Dapr writes under a key: in v1 the bytes themselves, in v2 a message with the time and the lifetime.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bytes::Bytes;
use prost::Message;
use state::{Error, FailureKind, Result};

/// Which of the two layouts a component has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Encoding {
    Bytes,
    Message,
}

/// `dapr.proto.components.state.v2.Value`
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(bytes = "bytes", tag = "1")]
    data: Bytes,
    #[prost(message, optional, tag = "2")]
    written_at: Option<Span>,
    #[prost(message, optional, tag = "3")]
    ttl: Option<Span>,
}

/// A `Timestamp` or a `Duration` of protobuf, which are encoded alike.
#[derive(Clone, Copy, PartialEq, Message)]
struct Span {
    #[prost(int64, tag = "1")]
    seconds: i64,
    #[prost(int32, tag = "2")]
    nanos: i32,
}

impl Encoding {
    pub(super) fn encode(self, value: &Bytes, ttl: Option<Duration>) -> Bytes {
        match self {
            Encoding::Bytes => value.clone(),
            Encoding::Message => {
                let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
                let written_at = Some(Span::of(now));
                let ttl = ttl.map(Span::of);
                Value { data: value.clone(), written_at, ttl }.encode_to_vec().into()
            }
        }
    }

    pub(super) fn decode(self, stored: Bytes) -> Result<Bytes> {
        match self {
            Encoding::Bytes => Ok(stored),
            Encoding::Message => Value::decode(stored).map(|it| it.data).map_err(|_| {
                Error::new(
                    FailureKind::Corrupt,
                    "what is stored is no value of state.etcd v2: if it was written with v1, use version v1",
                )
            }),
        }
    }
}

impl Span {
    fn of(duration: Duration) -> Span {
        let seconds = i64::try_from(duration.as_secs()).unwrap_or(i64::MAX);
        // Less than a billion.
        Span { seconds, nanos: duration.subsec_nanos().cast_signed() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_dapr_writes_is_read() {
        // With field 3 present and empty, as its writer has it for a value that stays.
        let dapr = b"\x0a\x03\x22v\x22\x12\x02\x08\x01\x1a\x00";
        assert_eq!(Encoding::Message.decode(Bytes::from_static(dapr)).unwrap(), "\"v\"");
    }

    #[test]
    fn values_come_back_as_they_were() {
        for encoding in [Encoding::Bytes, Encoding::Message] {
            let value = Bytes::from_static(b"\x00\xff");
            let stored = encoding.encode(&value, Some(Duration::from_secs(3)));
            assert_eq!(encoding.decode(stored).unwrap(), value);
        }
    }
}
