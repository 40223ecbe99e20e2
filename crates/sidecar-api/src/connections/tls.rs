//! TLS on a port, before anything is spoken on it.

use std::{fmt, io, net::SocketAddr, sync::Arc, time::Duration};

use hyper::StatusCode;
use parking_lot::Mutex;
use tokio::{
    io::AsyncWriteExt,
    net::TcpStream,
    sync::watch,
    time::{Instant, timeout},
};
use tokio_rustls::{TlsAcceptor, rustls::ServerConfig, server::TlsStream};
use tracing::{debug, warn};

use crate::ApiError;

/// A connection of TLS. In a box, because it is large and the others are not.
pub(super) type Secured = Box<TlsStream<TcpStream>>;

/// How TLS is spoken. Clones follow the same settings, which may be replaced at any time: each connection begins with those
/// of its moment.
#[derive(Clone)]
pub struct Tls {
    settings: watch::Receiver<Arc<ServerConfig>>,
    last_said: Arc<Mutex<Option<Instant>>>,
}

/// One line about clients that cannot shake hands is enough for so long: anybody can make as many as they like.
const SAY_INTERVAL: Duration = Duration::from_secs(1);

/// What a client begins with. Source: RFC 8446, section 5.1, `handshake`.
const HANDSHAKE: u8 = 22;

impl Tls {
    /// TLS with the settings that `settings` has at any time.
    pub fn new(settings: watch::Receiver<Arc<ServerConfig>>) -> Tls {
        Tls { settings, last_said: Arc::default() }
    }

    /// Returns `None` if the client does not come to it within `time`, or does not speak TLS as it has to.
    pub(super) async fn shake_hands(
        &self,
        stream: TcpStream,
        address: SocketAddr,
        time: Duration,
    ) -> Option<Secured> {
        match timeout(time, self.try_shake_hands(stream, address)).await {
            Ok(Ok(it)) => it,
            // Whoever only looks whether the port is open ends here, and is no news.
            Ok(Err(e)) if e.kind() != io::ErrorKind::InvalidData => {
                debug!(client = %address, error = %e, "no TLS came about");
                None
            }
            Ok(Err(e)) => {
                self.say(address, &e);
                None
            }
            Err(_) => {
                debug!(client = %address, "no TLS came about in time");
                None
            }
        }
    }

    async fn try_shake_hands(
        &self,
        mut stream: TcpStream,
        address: SocketAddr,
    ) -> io::Result<Option<Secured>> {
        let mut first = [0];
        if stream.peek(&mut first).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        if first[0] != HANDSHAKE {
            self.say(address, &"it speaks no TLS, which this port is for: call it by https://");
            answer_plainly(&mut stream).await?;
            return Ok(None);
        }
        let settings = self.settings.borrow().clone();
        Ok(Some(Box::new(TlsAcceptor::from(settings).accept(stream).await?)))
    }

    /// Says why a client is not served, unless something like it was said just now.
    fn say(&self, address: SocketAddr, problem: &dyn fmt::Display) {
        let now = Instant::now();
        let mut last = self.last_said.lock();
        if last.is_some_and(|it| now < it + SAY_INTERVAL) {
            debug!(client = %address, "refused over TLS: {problem}");
            return;
        }
        *last = Some(now);
        warn!(client = %address, "refused over TLS: {problem}");
    }
}

/// Tells whoever speaks plain HTTP, in its own words.
async fn answer_plainly(stream: &mut TcpStream) -> io::Result<()> {
    let error = ApiError::new(StatusCode::BAD_REQUEST, "ERR_TLS_REQUIRED", "this port is for TLS")
        .hint("call it by https://");
    let body = error.body();
    let head = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-type: application/json\r\ncontent-length: {}\r\n\
         connection: close\r\n\r\n",
        body.len()
    );
    // What is not taken off the connection makes the system reset it, and the answer is lost. This is all of a usual request.
    let mut request = vec![0; 16 << 10];
    let _ = stream.try_read(&mut request)?;
    stream.write_all(&[head.as_bytes(), body.as_ref()].concat()).await?;
    stream.shutdown().await
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Tls(…)")
    }
}
