//! Bodies that are counted while they pass, so that calls can be told of when they have ended.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
    time::Instant,
};

use bytes::Buf;
use hyper::{
    HeaderMap,
    body::{Body, Frame, SizeHint},
    header::{HeaderValue, USER_AGENT},
};
use tonic::Code;

use super::{DAPR, code_of};
use crate::{Front, GrpcCall, Span};

/// What can be called, with a place for all that cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GrpcMethod(usize);

/// Full names, in the place of each.
const METHODS: [&str; 12] = [
    "/dapr.proto.runtime.v1.Dapr/GetState",
    "/dapr.proto.runtime.v1.Dapr/GetBulkState",
    "/dapr.proto.runtime.v1.Dapr/SaveState",
    "/dapr.proto.runtime.v1.Dapr/DeleteState",
    "/dapr.proto.runtime.v1.Dapr/DeleteBulkState",
    "/dapr.proto.runtime.v1.Dapr/ExecuteStateTransaction",
    "/dapr.proto.runtime.v1.Dapr/GetMetadata",
    "/dapr.proto.runtime.v1.Dapr/SetMetadata",
    "/dapr.proto.runtime.v1.Dapr/Shutdown",
    "/grpc.reflection.v1.ServerReflection/ServerReflectionInfo",
    "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo",
    "UNKNOWN",
];

impl GrpcMethod {
    /// How many there are.
    pub const COUNT: usize = METHODS.len();

    /// The one at this path.
    pub(super) fn of(path: &str) -> GrpcMethod {
        let known = METHODS.iter().position(|it| *it == path);
        GrpcMethod(known.unwrap_or(METHODS.len() - 1))
    }

    /// Its full name, or `UNKNOWN`.
    pub fn name(self) -> &'static str {
        METHODS[self.0]
    }

    /// Its place among all, from 0.
    pub fn index(self) -> usize {
        self.0
    }

    /// The name of a call of Dapr's service, or the full name of another.
    pub fn short_name(self) -> &'static str {
        self.name().strip_prefix(DAPR).unwrap_or(self.name())
    }
}

/// The messages of a call, on their way in.
#[derive(Debug)]
pub(super) struct Incoming<B> {
    pub(super) inner: B,
    pub(super) front: Arc<Front>,
    pub(super) method: GrpcMethod,
    pub(super) bytes: u64,
}

/// The messages of an answer, on their way out; the call has ended when this is dropped.
#[derive(Debug)]
pub(super) struct Outgoing<B> {
    pub(super) inner: B,
    /// `None` if nobody wants to know.
    pub(super) call: Option<Call>,
}

/// A call that is being answered.
#[derive(Debug)]
pub(super) struct Call {
    pub(super) front: Arc<Front>,
    pub(super) method: GrpcMethod,
    pub(super) started: Instant,
    pub(super) user_agent: Option<HeaderValue>,
    pub(super) headers: HeaderMap,
    pub(super) status: Code,
    pub(super) bytes: u64,
    pub(super) span: Span,
}

impl Call {
    /// `None` if nobody wants to know.
    pub(super) fn begin(
        front: &Arc<Front>,
        path: &str,
        headers: &HeaderMap,
        span: Span,
    ) -> Option<Call> {
        front.observer.as_ref()?;
        Some(Call {
            front: front.clone(),
            method: GrpcMethod::of(path),
            started: Instant::now(),
            user_agent: headers.get(USER_AGENT).cloned(),
            headers: HeaderMap::new(),
            // Until there is an answer.
            status: Code::Cancelled,
            bytes: 0,
            span,
        })
    }

    /// Notes what comes before the messages of the answer.
    pub(super) fn answered(&mut self, headers: &HeaderMap) {
        self.status = code_of(headers).unwrap_or(Code::Ok);
        // What there is to say of a failure is in its headers.
        if self.status != Code::Ok {
            self.headers = headers.clone();
        }
    }
}

impl Drop for Call {
    fn drop(&mut self) {
        let Some(observer) = &self.front.observer else { return };
        let user_agent = self.user_agent.as_ref().and_then(|it| it.to_str().ok());
        observer.grpc(&GrpcCall {
            method: self.method,
            response: &self.headers,
            user_agent: user_agent.unwrap_or_default(),
            status: self.status,
            response_bytes: self.bytes,
            elapsed: self.started.elapsed(),
            span: self.span,
        });
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Incoming<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let Some(Ok(frame)) = &frame {
            self.bytes += frame.data_ref().map_or(0, |it| it.remaining() as u64);
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl<B> Drop for Incoming<B> {
    fn drop(&mut self) {
        if let Some(observer) = &self.front.observer {
            observer.grpc_received(self.method, self.bytes);
        }
    }
}

impl<B: Body<Data: Buf> + Unpin> Body for Outgoing<B> {
    type Data = B::Data;
    type Error = B::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, B::Error>>> {
        let frame = ready!(Pin::new(&mut self.inner).poll_frame(context));
        if let (Some(Ok(frame)), Some(call)) = (&frame, &mut self.call) {
            call.bytes += frame.data_ref().map_or(0, |it| it.remaining() as u64);
            if let Some(trailers) = frame.trailers_ref() {
                call.answered(trailers);
            }
        }
        Poll::Ready(frame)
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}
