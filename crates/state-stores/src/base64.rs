//! Bytes in columns that take JSON texts only: base64 in a JSON string. Source: Dapr's layouts.

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;

/// The JSON text.
pub(crate) fn json_string(value: &[u8]) -> String {
    format!("\"{}\"", STANDARD.encode(value))
}

/// The bytes of such a text; `None` if it is another.
pub(crate) fn of_json_string(text: &str) -> Option<Bytes> {
    let inner = text.trim().strip_prefix('"')?.strip_suffix('"')?;
    // Writers may escape what need not be.
    let inner = inner.replace("\\/", "/");
    STANDARD.decode(inner).ok().map(Bytes::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_come_back() {
        for value in [&b""[..], b"a", b"\xff\x00\xfb"] {
            assert_eq!(of_json_string(&json_string(value)).as_deref(), Some(value));
        }
        assert_eq!(of_json_string("\"+\\/8=\"").as_deref(), Some(&b"\xfb\xff"[..]));
        for wrong in ["", "\"", "1", "\"?\""] {
            assert_eq!(of_json_string(wrong), None, "{wrong}");
        }
    }
}
