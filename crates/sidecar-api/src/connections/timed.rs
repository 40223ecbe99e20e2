//! A connection that does not wait for ever.
//!
//! hyper's own timeout for request heads cannot tell a connection that is idle between two
//! requests from one that sends a head byte by byte. This can, because it knows when a request is
//! being answered.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use crate::Limits;

/// The requests of one connection that are being answered, and those there have been.
#[derive(Debug, Default)]
pub(crate) struct Activity {
    in_flight: AtomicUsize,
    total: AtomicUsize,
}

/// A request being answered, until this is dropped.
#[derive(Debug)]
pub(crate) struct Busy(Arc<Activity>);

impl Activity {
    /// Waits until there has been no request for this long, and less than twice as long.
    pub(crate) async fn idle_for(&self, time: Duration) {
        loop {
            let total = self.total.load(Ordering::Acquire);
            tokio::time::sleep(time).await;
            let is_idle = self.in_flight.load(Ordering::Acquire) == 0;
            if is_idle && self.total.load(Ordering::Acquire) == total {
                return;
            }
        }
    }

    pub(crate) fn busy(self: &Arc<Self>) -> Busy {
        self.in_flight.fetch_add(1, Ordering::AcqRel);
        self.total.fetch_add(1, Ordering::AcqRel);
        Busy(self.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::AcqRel);
    }
}

#[derive(Debug)]
pub(crate) struct Timed<S> {
    stream: S,
    activity: Arc<Activity>,
    head_timeout: Duration,
    keep_alive_timeout: Duration,
    write_timeout: Duration,
    phase: Phase,
    /// How much of [`PREFACE`] has come, as long as nothing else has.
    preface: Option<usize>,
    /// The requests there had been when `phase` began.
    seen: usize,
    read_timer: Timer,
    write_timer: Timer,
    stalled_since: Option<Instant>,
}

/// What the connection waits for while no request is being answered.
#[derive(Clone, Copy, Debug)]
enum Phase {
    /// The first byte of a request, since then.
    Idle(Instant),
    /// The rest of a head, since then.
    Head(Instant),
    /// Frames of HTTP/2, which come when they like; the last one came then.
    Frames(Instant),
}

/// What a connection of HTTP/2 begins with, up to where no version of HTTP goes on. Source: RFC 9113, section 3.4.
const PREFACE: &[u8] = b"PRI * HTTP/2";

impl<S> Timed<S> {
    pub(crate) fn new(stream: S, activity: Arc<Activity>, limits: &Limits) -> Timed<S> {
        Timed {
            stream,
            activity,
            head_timeout: limits.head_timeout,
            keep_alive_timeout: limits.keep_alive_timeout,
            write_timeout: limits.write_timeout,
            // A connection on which nothing ever came gets no more time than a slow head.
            phase: Phase::Head(Instant::now()),
            preface: Some(0),
            seen: 0,
            read_timer: Timer::default(),
            write_timer: Timer::default(),
            stalled_since: None,
        }
    }

    /// Notes that these bytes came.
    fn received(&mut self, bytes: &[u8]) {
        // It may come in pieces.
        if let Some(had) = self.preface {
            let rest = &PREFACE[had..];
            let len = rest.len().min(bytes.len());
            self.preface = (bytes[..len] == rest[..len]).then_some(had + len);
        }
        let is_http2 = self.preface == Some(PREFACE.len());
        self.phase = match self.phase {
            Phase::Frames(_) => Phase::Frames(Instant::now()),
            _ if is_http2 => Phase::Frames(Instant::now()),
            Phase::Idle(_) => Phase::Head(Instant::now()),
            Phase::Head(since) => Phase::Head(since),
        };
    }

    /// When waiting for more bytes ends, as far as it is known now.
    fn read_deadline(&mut self) -> Instant {
        if self.activity.in_flight.load(Ordering::Acquire) > 0 {
            // Not as long as the request is being answered. But hyper does not ask again when it
            // has been, if it knew by then that nothing had come; so this has to look by itself.
            return Instant::now() + self.head_timeout.min(self.keep_alive_timeout);
        }
        let total = self.activity.total.load(Ordering::Acquire);
        if total != self.seen {
            self.seen = total;
            self.phase = match self.phase {
                Phase::Frames(_) => Phase::Frames(Instant::now()),
                Phase::Idle(_) | Phase::Head(_) => Phase::Idle(Instant::now()),
            };
        }
        match self.phase {
            Phase::Head(since) => since + self.head_timeout,
            Phase::Idle(since) | Phase::Frames(since) => since + self.keep_alive_timeout,
        }
    }

    /// Watches over an attempt to write.
    fn progress<T>(
        &mut self,
        cx: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stalled_since = None;
            return written;
        }
        let since = *self.stalled_since.get_or_insert_with(Instant::now);
        ready!(self.write_timer.poll(cx, since + self.write_timeout));
        Poll::Ready(Err(timed_out("the client took nothing of the response")))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Timed<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let deadline = this.read_deadline();
        let before = buffer.filled().len();
        if let Poll::Ready(result) = Pin::new(&mut this.stream).poll_read(cx, buffer) {
            this.received(&buffer.filled()[before..]);
            return Poll::Ready(result);
        }
        ready!(this.read_timer.poll(cx, deadline));
        Poll::Ready(Err(timed_out("no request came in time")))
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Timed<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        self.progress(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write_vectored(cx, slices);
        self.progress(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.stream).poll_flush(cx);
        self.progress(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        // TLS says goodbye, for which the client has to take something, too.
        let shut = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.progress(cx, shut)
    }
}

/// A timer that is set anew only when it has run out, not with every request.
#[derive(Debug, Default)]
struct Timer(Option<Pin<Box<Sleep>>>);

impl Timer {
    /// Ready once `deadline` has passed.
    fn poll(&mut self, cx: &mut Context<'_>, deadline: Instant) -> Poll<()> {
        let sleep = self.0.get_or_insert_with(|| Box::pin(sleep_until(deadline)));
        if deadline < sleep.deadline() {
            sleep.as_mut().reset(deadline);
        }
        loop {
            ready!(sleep.as_mut().poll(cx));
            if deadline <= Instant::now() {
                return Poll::Ready(());
            }
            sleep.as_mut().reset(deadline);
        }
    }
}

fn timed_out(message: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::TimedOut, message)
}

#[cfg(test)]
mod tests;
