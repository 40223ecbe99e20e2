//! Connections of all fronts: accepted up to a limit, watched over, and brought to an end when the sidecar ends.

use std::{fmt::Display, future::Future, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper_util::{
    rt::{TokioExecutor, TokioTimer},
    server::{conn::auto, graceful::GracefulConnection},
};
use tokio::{
    net::{TcpListener, TcpStream, UnixListener, UnixStream},
    sync::{Semaphore, watch},
    task::JoinSet,
};
use tokio_util::either::Either;
use tracing::{debug, warn};

use crate::{Counts, Front, Limits, Load};

mod peer;
mod timed;
mod tls;

pub use self::tls::Tls;
pub(crate) use self::{
    peer::Peer,
    timed::{Activity, Timed},
};

/// HTTP/2 figures: streams of one connection, and resets that may be pending. Source: the project's security goals;
/// CVE-2023-44487.
const STREAMS_MAX: u32 = 100;
const PENDING_RESETS_MAX: usize = 20;

/// How many bytes of one request, and of all on a connection, a client may send before some of them are read. Source: the same.
const STREAM_WINDOW: u32 = 64 << 10;
const CONNECTION_WINDOW: u32 = 1 << 20;

/// As many headers as hyper takes if nothing is said. If the same is said, it fills its tables anew for every request.
const HYPER_HEADERS_MAX: usize = 100;

/// The pause after the system had no file descriptor for another connection.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Where connections come from.
#[derive(Debug)]
pub enum Listener {
    /// A port.
    Tcp(TcpListener),
    /// A socket among the files, which its permissions protect.
    Unix(UnixListener),
    /// A port on which TLS is spoken.
    Tls(TcpListener, Tls),
}

/// One connection.
pub(crate) type Stream = Either<TcpStream, Either<UnixStream, tls::Secured>>;

/// A connection that was just accepted.
enum Accepted {
    Ready(Stream, Peer),
    /// Not before the client has shaken hands.
    Tls(TcpStream, SocketAddr, Tls),
}

/// Tells a connection that the sidecar is about to end.
#[derive(Clone, Debug)]
pub(crate) struct Ending(watch::Receiver<bool>);

impl Listener {
    async fn accept(&self) -> io::Result<Accepted> {
        Ok(match self {
            Listener::Tcp(it) => {
                let (stream, address) = accept_tcp(it).await?;
                let peer = Peer::tcp(address, stream.local_addr().ok());
                Accepted::Ready(Either::Left(stream), peer)
            }
            Listener::Unix(it) => {
                let stream = it.accept().await?.0;
                Accepted::Ready(Either::Right(Either::Left(stream)), Peer::unix())
            }
            Listener::Tls(it, tls) => {
                let (stream, address) = accept_tcp(it).await?;
                Accepted::Tls(stream, address, tls.clone())
            }
        })
    }
}

async fn accept_tcp(listener: &TcpListener) -> io::Result<(TcpStream, SocketAddr)> {
    let (stream, address) = listener.accept().await?;
    if let Err(e) = stream.set_nodelay(true) {
        debug!(error = %e, "cannot switch off Nagle's algorithm");
    }
    Ok((stream, address))
}

impl Accepted {
    /// What to speak on, once that is agreed; `None` if it never is. Hands are shaken within the time that a head may
    /// take, and no longer than until the end begins.
    async fn ready(self, limits: &Limits, ending: Ending) -> Option<(Stream, Peer)> {
        let (stream, address, tls) = match self {
            Accepted::Ready(stream, peer) => return Some((stream, peer)),
            Accepted::Tls(stream, address, tls) => (stream, address, tls),
        };
        let secured = tokio::select! {
            it = tls.shake_hands(stream, address, limits.head_timeout) => it?,
            () = ending.begins() => return None,
        };
        // Whoever forwards connections from other machines is a process on this one, and may well be of the own user.
        Some((Either::Right(Either::Right(secured)), Peer::unknown()))
    }
}

impl From<TcpListener> for Listener {
    fn from(it: TcpListener) -> Listener {
        Listener::Tcp(it)
    }
}

impl Ending {
    /// Waits until the sidecar is about to end.
    pub(crate) async fn begins(mut self) {
        // An error means that whoever would tell is gone: the end.
        let _ = self.0.wait_for(|it| *it).await;
    }
}

/// Gives each connection to `talk` until `stop` resolves, then lets those that are busy finish for up to `grace`.
/// Returns whether they did. Connections are added to those that `counts` picks.
pub(crate) async fn serve<C, F>(
    context: Arc<C>,
    listeners: Vec<Listener>,
    stop: impl Future<Output = ()>,
    grace: Duration,
    counts: Option<fn(&Load) -> &Counts>,
    talk: fn(Arc<C>, Stream, Peer, Ending) -> F,
) -> bool
where
    C: AsRef<Front> + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    // No more than the semaphore can count, which is more than a machine can have.
    let max = (*context).as_ref().limits.connections_max.min(u32::MAX as usize >> 3);
    let permits = Arc::new(Semaphore::new(max));
    let (tell, ending) = watch::channel(false);
    let mut accepting = JoinSet::new();
    for listener in listeners {
        let (context, permits) = (context.clone(), permits.clone());
        let ending = Ending(ending.clone());
        accepting.spawn(accept(context, listener, permits, ending, counts, talk));
    }
    stop.await;
    accepting.shutdown().await;
    tell.send_replace(true);
    // Each connection has one of them until it ends.
    let ended = permits.acquire_many(max as u32);
    tokio::time::timeout(grace, ended).await.is_ok()
}

async fn accept<C, F>(
    context: Arc<C>,
    listener: Listener,
    permits: Arc<Semaphore>,
    ending: Ending,
    counts: Option<fn(&Load) -> &Counts>,
    talk: fn(Arc<C>, Stream, Peer, Ending) -> F,
) where
    C: AsRef<Front> + Send + Sync + 'static,
    F: Future<Output = ()> + Send + 'static,
{
    loop {
        let Ok(permit) = permits.clone().acquire_owned().await else { return };
        let accepted = match listener.accept().await {
            Ok(it) => it,
            Err(e) => {
                // Out of file descriptors, mostly: others will be closed, and this one waits.
                warn!(error = %e, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let (context, ending) = (context.clone(), ending.clone());
        tokio::spawn(async move {
            let front: &Front = (*context).as_ref();
            let counted = counts.map(|of| of(&front.sidecar.load).connections.count());
            if let Some((stream, peer)) = accepted.ready(&front.limits, ending.clone()).await {
                talk(context.clone(), stream, peer, ending).await;
            }
            drop((counted, permit));
        });
    }
}

/// How connections of HTTP/1.1 and HTTP/2 are spoken on, within the limits. Over HTTP/2 a client is asked every `interval`
/// whether it is still there, and may take `timeout` to say so.
pub(crate) fn protocols(
    limits: &Limits,
    interval: Duration,
    timeout: Duration,
) -> auto::Builder<TokioExecutor> {
    let mut builder = auto::Builder::new(TokioExecutor::new());
    builder
        .http1()
        // `Timed` does this: hyper's own timeout cannot tell an idle connection from a slow one.
        .header_read_timeout(None)
        .max_buf_size(limits.head_bytes_max.max(8192));
    if limits.headers_max != HYPER_HEADERS_MAX {
        builder.http1().max_headers(limits.headers_max);
    }
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .initial_stream_window_size(STREAM_WINDOW)
        .initial_connection_window_size(CONNECTION_WINDOW)
        .max_pending_accept_reset_streams(PENDING_RESETS_MAX)
        .max_header_list_size(limits.head_bytes_max as u32)
        .keep_alive_interval(interval)
        .keep_alive_timeout(timeout);
    builder
}

/// Drives a connection to its end, and asks it to come to one once `ending` resolves.
pub(crate) async fn drive<C>(connection: C, ending: impl Future<Output = ()>)
where
    C: GracefulConnection<Error: Display>,
{
    let mut connection = Box::pin(connection);
    let result = tokio::select! {
        biased;
        result = &mut connection => result,
        () = ending => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(e) = result {
        debug!(error = %e, "connection ended");
    }
}
