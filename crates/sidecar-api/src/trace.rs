//! The context of traces, as it comes with requests and goes back with answers.
//!
//! Source: W3C Trace Context, for HTTP; OpenCensus' binary form, which Dapr's SDKs send over gRPC.

use base64::{Engine, engine::general_purpose::STANDARD_NO_PAD};
use hyper::{
    HeaderMap,
    header::{HeaderName, HeaderValue},
};

use crate::Observer;

/// What the spans of one trace hand on to each other.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TraceContext {
    /// Which trace. Never 0.
    pub trace_id: u128,
    /// Which span of it. Never 0.
    pub span_id: u64,
    /// Whether the span is recorded.
    pub is_sampled: bool,
}

/// The span of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Span {
    /// The span of whoever asks, if it told.
    pub parent: Option<TraceContext>,
    /// The span itself; `None` if there is no tracing.
    pub own: Option<TraceContext>,
}

const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const TRACESTATE: HeaderName = HeaderName::from_static("tracestate");
const TRACE_BIN: HeaderName = HeaderName::from_static("grpc-trace-bin");

impl TraceContext {
    /// Reads `00-<trace>-<span>-<flags>`. A later version may have more after it.
    fn from_text(text: &[u8]) -> Option<TraceContext> {
        let is_hex = |it: &[u8]| it.iter().all(|it| matches!(it, b'0'..=b'9' | b'a'..=b'f'));
        let mut parts = text.split(|it| *it == b'-');
        let [version, trace, span, flags] =
            [parts.next()?, parts.next()?, parts.next()?, parts.next()?];
        let parts_left = parts.next().is_some();
        let lengths = [version.len(), trace.len(), span.len(), flags.len()];
        if lengths != [2, 32, 16, 2] || version == b"ff" || (version == b"00" && parts_left) {
            return None;
        }
        if ![version, trace, span, flags].into_iter().all(is_hex) {
            return None;
        }
        let number = |it| u128::from_str_radix(std::str::from_utf8(it).ok()?, 16).ok();
        let is_sampled = number(flags)? & 1 == 1;
        TraceContext::new(number(trace)?, number(span)? as u64, is_sampled)
    }

    fn to_text(self) -> HeaderValue {
        let TraceContext { trace_id, span_id, is_sampled } = self;
        let text = format!("00-{trace_id:032x}-{span_id:016x}-{:02x}", u8::from(is_sampled));
        HeaderValue::try_from(text).expect("hexadecimal digits")
    }

    /// Reads version 0, and the fields 0, 1 and 2 in this order, all of which are there.
    fn from_binary(text: &[u8]) -> Option<TraceContext> {
        let text = text.strip_suffix(b"==").or(text.strip_suffix(b"=")).unwrap_or(text);
        let bytes: [u8; 29] = STANDARD_NO_PAD.decode(text).ok()?.try_into().ok()?;
        if [bytes[0], bytes[1], bytes[18], bytes[27]] != [0, 0, 1, 2] {
            return None;
        }
        let trace_id = u128::from_be_bytes(bytes[2..18].try_into().ok()?);
        let span_id = u64::from_be_bytes(bytes[19..27].try_into().ok()?);
        TraceContext::new(trace_id, span_id, bytes[28] & 1 == 1)
    }

    fn to_binary(self) -> HeaderValue {
        let mut bytes = [0; 29];
        bytes[2..18].copy_from_slice(&self.trace_id.to_be_bytes());
        bytes[18] = 1;
        bytes[19..27].copy_from_slice(&self.span_id.to_be_bytes());
        bytes[27] = 2;
        bytes[28] = u8::from(self.is_sampled);
        HeaderValue::try_from(STANDARD_NO_PAD.encode(bytes)).expect("base64")
    }

    fn new(trace_id: u128, span_id: u64, is_sampled: bool) -> Option<TraceContext> {
        (trace_id != 0 && span_id != 0).then_some(TraceContext { trace_id, span_id, is_sampled })
    }
}

impl Span {
    /// The span of a request with these headers. The one who observes decides whether there is one.
    pub(crate) fn begin(observer: Option<&dyn Observer>, headers: &HeaderMap) -> Span {
        let binary = headers.get(TRACE_BIN).and_then(|it| TraceContext::from_binary(it.as_bytes()));
        let text = || headers.get(TRACEPARENT).map(|it| TraceContext::from_text(it.as_bytes()));
        let parent = binary.or_else(|| text().flatten());
        Span { parent, own: observer.and_then(|it| it.span(parent)) }
    }

    /// Tells whoever asked, over HTTP. Without tracing it gets back what it sent.
    pub(crate) fn tell(&self, request: &HeaderMap, answer: &mut HeaderMap) {
        let Some(context) = self.own.or(self.parent) else { return };
        answer.insert(TRACEPARENT, context.to_text());
        if let Some(state) = request.get(TRACESTATE) {
            answer.insert(TRACESTATE, state.clone());
        }
    }

    /// As [`tell`](Span::tell), over gRPC.
    pub(crate) fn tell_in_binary(&self, answer: &mut HeaderMap) {
        if let Some(context) = self.own.or(self.parent) {
            answer.insert(TRACE_BIN, context.to_binary());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    #[test]
    fn a_context_is_the_same_in_both_forms() {
        let context = TraceContext::from_text(TEXT.as_bytes()).unwrap();
        assert!(context.is_sampled);
        assert_eq!(context.to_text(), TEXT);
        let binary = context.to_binary();
        assert_eq!(TraceContext::from_binary(binary.as_bytes()), Some(context));
        let padded = format!("{}=", binary.to_str().unwrap());
        assert_eq!(TraceContext::from_binary(padded.as_bytes()), Some(context));
    }

    #[test]
    fn what_is_no_context_is_passed_over() {
        for wrong in [
            "",
            "00",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331",
            "00-0AF7651916CD43DD8448EB211C80319C-b7ad6b7169203331-01",
            "00-00000000000000000000000000000000-b7ad6b7169203331-01",
            "00-0af7651916cd43dd8448eb211c80319c-0000000000000000-01",
            "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01-more",
            "ff-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
            "00-+af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01",
        ] {
            assert_eq!(TraceContext::from_text(wrong.as_bytes()), None, "{wrong}");
        }
        let later = format!("cc{}-more", &TEXT[2..]);
        assert!(TraceContext::from_text(later.as_bytes()).is_some(), "a later version has more");
        for wrong in ["", "AAAA", "!", &"A".repeat(39)] {
            assert_eq!(TraceContext::from_binary(wrong.as_bytes()), None, "{wrong}");
        }
    }
}
