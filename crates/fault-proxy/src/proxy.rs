//! The proxy itself.

#[cfg(test)]
mod tests;

use std::{
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use tokio::{
    net::TcpListener,
    select,
    sync::watch,
    task::{JoinHandle, JoinSet},
    time::sleep,
};

use crate::{
    Fault, connection,
    link::{Counters, Link, Setting},
};

/// The pause after a connection could not be accepted, which is for want of file descriptors.
const PAUSE: Duration = Duration::from_millis(10);

/// Listens on a port of its own and passes everything on to one server, except for what a [`Fault`] does to it.
///
/// Dropping it ends its tasks and closes its connections. It needs a tokio runtime with I/O and time.
#[derive(Debug)]
pub struct Proxy {
    address: SocketAddr,
    settings: watch::Sender<Setting>,
    counters: Arc<Counters>,
    acceptor: JoinHandle<()>,
}

/// How many connections a [`Proxy`] has seen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// All so far.
    pub accepted: u64,
    /// Those that have not ended.
    pub open: u64,
    /// Those that a fault has done something to: one that was set but met no connection or no bytes
    /// counts nothing. Once for each connection and setting, so it can exceed `accepted`.
    pub hit: u64,
}

impl Proxy {
    /// Starts a proxy before `upstream`, on a free port of 127.0.0.1. It does not matter whether the server is there
    /// already: a connection to one that is not is reset.
    pub async fn start(upstream: SocketAddr) -> io::Result<Proxy> {
        Proxy::start_with_seed(upstream, 0).await
    }

    /// The same with another seed for what is drawn: jitter, and who is among "one in n". The draws of a connection
    /// depend on the seed, its number and the number of the setting; which of its bytes they fall
    /// on, on how the bytes come.
    pub async fn start_with_seed(upstream: SocketAddr, seed: u64) -> io::Result<Proxy> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let address = listener.local_addr()?;
        let settings = watch::Sender::new(Setting::default());
        let counters = Arc::new(Counters::default());
        let accepting = accept(listener, upstream, seed, settings.subscribe(), counters.clone());
        let acceptor = tokio::spawn(accepting);
        Ok(Proxy { address, settings, counters, acceptor })
    }

    /// Where clients connect to.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Replaces the fault. What is sent after this returns is subject to it; what an earlier fault held up is
    /// delivered.
    pub fn set(&self, fault: Fault) {
        self.set_one_in(1, fault);
    }

    /// The same for one in `n` on average: of the replies for [`Fault::LoseReply`], of the marks for
    /// [`Fault::OnMark`], of the connections for the others. 0 is none.
    pub fn set_one_in(&self, n: u32, fault: Fault) {
        self.change(|it| {
            it.fault = Some(fault);
            it.one_in = n;
        });
    }

    /// Ends the fault. Connections that it has left open go on, with what it held up.
    pub fn heal(&self) {
        self.change(|it| it.fault = None);
    }

    /// Resets all connections that it has accepted. New ones are subject to the fault that is set, if any.
    pub fn cut_all(&self) {
        self.change(|it| it.cuts += 1);
    }

    /// How many connections there have been until now.
    pub fn counts(&self) -> Counts {
        Counts {
            accepted: self.counters.accepted.load(Relaxed),
            open: self.counters.open.load(Relaxed),
            hit: self.counters.hit.load(Relaxed),
        }
    }

    fn change(&self, change: impl FnOnce(&mut Setting)) {
        self.settings.send_modify(|it| {
            it.epoch += 1;
            change(it);
        });
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        // The connections are its, and end with it.
        self.acceptor.abort();
    }
}

async fn accept(
    listener: TcpListener,
    upstream: SocketAddr,
    seed: u64,
    settings: watch::Receiver<Setting>,
    counters: Arc<Counters>,
) {
    let mut connections = JoinSet::new();
    loop {
        select! {
            accepted = listener.accept() => {
                let Ok((client, _)) = accepted else {
                    sleep(PAUSE).await;
                    continue;
                };
                let link = Link::new(seed, settings.borrow().cuts, counters.clone());
                connections.spawn(connection::carry(client, upstream, link, settings.clone()));
            }
            Some(_) = connections.join_next() => {}
        }
    }
}
