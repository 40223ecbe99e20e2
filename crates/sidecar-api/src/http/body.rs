//! Bytes off the wire: bodies, and the pieces of a URL.

use std::{
    borrow::Cow,
    collections::BTreeMap,
    fmt::Display,
    ops::Deref,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::{
    StatusCode,
    body::{Body, Frame, Incoming, SizeHint},
    header::EXPECT,
    http::request::Parts,
};
use memchr::memchr2;
use percent_encoding::percent_decode_str;

use crate::{
    ApiError, Front, Limits,
    admission::{self, Share},
};

/// The body of a request, wherever it comes from.
pub(super) trait Content: Body<Data = Bytes, Error: Display> + Send + Unpin {}

impl<B: Body<Data = Bytes, Error: Display> + Send + Unpin> Content for B {}

/// A body of which it is known whether all of it has come.
#[derive(Debug)]
pub(super) struct Watched<'b, B> {
    body: &'b mut B,
    has_ended: bool,
}

impl<B: Content> Watched<'_, B> {
    pub(super) fn new(body: &mut B) -> Watched<'_, B> {
        Watched { body, has_ended: false }
    }

    /// Whether there is nothing more to come.
    pub(super) fn is_whole(&self) -> bool {
        self.has_ended || self.body.is_end_stream()
    }
}

impl<B: Content> Body for Watched<'_, B> {
    type Data = Bytes;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, B::Error>>> {
        let polled = Pin::new(&mut *self.body).poll_frame(cx);
        self.has_ended |= matches!(polled, Poll::Ready(None));
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// A whole body, for which there was room.
#[derive(Debug)]
pub(super) struct Whole {
    bytes: Bytes,
    _share: Share,
}

impl Deref for Whole {
    type Target = Bytes;

    fn deref(&self) -> &Bytes {
        &self.bytes
    }
}

/// Reads a whole body.
pub(super) async fn read(body: &mut impl Content, front: &Front) -> Result<Whole, ApiError> {
    let (limits, share) = (&front.limits, front.body_bytes.share());
    let max = limits.body_bytes_max;
    if body.size_hint().lower() > max as u64 {
        return Err(too_large(max));
    }
    let mut bytes = Bytes::new();
    let mut whole = BytesMut::new();
    while let Some(more) = frame(body, limits).await? {
        if bytes.len() + whole.len() + more.len() > max {
            return Err(too_large(max));
        }
        if !share.grow(more.len()) {
            return Err(admission::no_room(&front.body_bytes));
        }
        // Most bodies come in one piece, which is not copied.
        if bytes.is_empty() && whole.is_empty() {
            bytes = more;
            if body.is_end_stream() {
                break;
            }
            continue;
        }
        if whole.is_empty() {
            whole.extend_from_slice(&std::mem::take(&mut bytes));
        }
        whole.extend_from_slice(&more);
    }
    let bytes = if whole.is_empty() { bytes } else { whole.freeze() };
    Ok(Whole { bytes, _share: share })
}

/// Whether the client may be sending more of a body that nobody reads.
pub(super) fn is_coming(parts: &Parts, body: &Incoming) -> bool {
    // Who sends `Expect` waits to be asked for the body, and will not be.
    !body.is_end_stream() && !parts.headers.contains_key(EXPECT)
}

/// Takes the rest of a body off the connection. Otherwise the connection would be reset, and many
/// clients, busy sending, would never see the answer that is there already.
pub(super) async fn discard(body: &mut Incoming, limits: &Limits) {
    let discarding = async {
        let mut room = limits.body_bytes_max;
        while let Ok(Some(piece)) = frame(body, limits).await {
            let Some(rest) = room.checked_sub(piece.len()) else { return };
            room = rest;
        }
    };
    let _ = tokio::time::timeout(limits.body_idle_timeout, discarding).await;
}

/// The next piece of the body; `None` at its end.
async fn frame(body: &mut impl Content, limits: &Limits) -> Result<Option<Bytes>, ApiError> {
    loop {
        let waited = tokio::time::timeout(limits.body_idle_timeout, body.frame()).await;
        let Ok(frame) = waited else {
            let message = format!("no more of the body came for {:?}", limits.body_idle_timeout);
            return Err(ApiError::new(StatusCode::REQUEST_TIMEOUT, "ERR_BODY_READ", message));
        };
        let Some(frame) = frame else { return Ok(None) };
        let frame = frame.map_err(|e| {
            let message = format!("failed to read request body: {e}");
            ApiError::new(StatusCode::BAD_REQUEST, "ERR_BODY_READ", message)
                .hint("send as many bytes as Content-Length says, or well-formed chunks")
        })?;
        if let Ok(data) = frame.into_data() {
            return Ok(Some(data));
        }
    }
}

/// The refusal of a body that comes, but takes too long.
pub(super) fn too_slow(time: Duration) -> ApiError {
    let message = format!("the body was not there in full within {time:?}");
    ApiError::new(StatusCode::REQUEST_TIMEOUT, "ERR_BODY_READ", message)
}

/// Differs from Dapr: it answers 400, which says nothing of the size.
fn too_large(max: usize) -> ApiError {
    ApiError::too_large(format!("the body is larger than the limit of {max} bytes"))
        .hint("send less at once, or raise the limit with --max-body-size")
}

/// Decodes one piece of a path: percent escapes, and `+` as a space. Source: Dapr's router.
pub(super) fn decode(text: &str) -> Result<Cow<'_, str>, ApiError> {
    decode_form(text).ok_or_else(|| {
        ApiError::malformed(format!("{text:?} in the URL cannot be decoded"))
            .hint("percent-encode the UTF-8 bytes of names in URLs")
    })
}

/// Decodes `application/x-www-form-urlencoded` text; `None` if it is malformed.
fn decode_form(text: &str) -> Option<Cow<'_, str>> {
    if memchr2(b'%', b'+', text.as_bytes()).is_none() {
        return Some(Cow::Borrowed(text));
    }
    let is_escape =
        |it: &str| it.len() >= 2 && it.as_bytes()[..2].iter().all(u8::is_ascii_hexdigit);
    if !text.split('%').skip(1).all(is_escape) {
        return None;
    }
    let spaced = text.replace('+', " ");
    percent_decode_str(&spaced).decode_utf8().ok().map(|it| Cow::Owned(it.into_owned()))
}

/// The parameters of a query string, decoded. The first of several with one name counts.
pub(super) fn parameters(query: &str) -> Result<BTreeMap<Cow<'_, str>, Cow<'_, str>>, ApiError> {
    let mut parameters = BTreeMap::new();
    for pair in query.split('&').filter(|it| !it.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let (Some(name), Some(value)) = (decode_form(name), decode_form(value)) else {
            return Err(ApiError::malformed(format!("{pair:?} in the URL cannot be decoded"))
                .hint("percent-encode the UTF-8 bytes of names and values in URLs"));
        };
        parameters.entry(name).or_insert(value);
    }
    Ok(parameters)
}
