//! Sends prepared requests over many connections, one at a time on each.

use std::{
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::future::join_all;

use crate::{
    client::{Client, Good, Request, Wire},
    statistics::Latencies,
};

/// How many connections there are unless something else is said.
pub(crate) const CONNECTIONS: usize = 64;

/// Connections that are open, for any number of loads.
#[derive(Debug)]
pub(crate) struct Clients(Vec<Client>);

/// When a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    Requests(usize),
    Time(Duration),
}

/// Requests that can be sent again and again.
#[derive(Debug)]
pub(crate) struct Requests {
    pub(crate) all: Vec<Request>,
    /// How many keys each of them reads or writes.
    pub(crate) keys_each: usize,
    pub(crate) good: Good,
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    pub(crate) latencies: Latencies,
}

/// Gives out the numbers of requests, from 0, until the extent is reached.
#[derive(Debug)]
pub(crate) struct Turns {
    next: AtomicUsize,
    len_max: usize,
    deadline: Option<Instant>,
}

impl Clients {
    pub(crate) async fn connect(
        wire: Wire,
        address: SocketAddr,
        len: usize,
    ) -> anyhow::Result<Clients> {
        Ok(Clients(Client::connect(wire, address, len).await?))
    }

    /// Sends `requests` in their order, again and again, until the extent is reached.
    ///
    /// # Errors
    ///
    /// If any request had no good answer. It says how many, and why the first of them.
    pub(crate) async fn run(
        &mut self,
        requests: &Requests,
        extent: Extent,
    ) -> anyhow::Result<Outcome> {
        let started = Instant::now();
        let turns = Turns::new(extent, started);
        let clients = self.0.iter_mut().map(|it| run_one(it, requests, &turns));
        let clients = join_all(clients).await;
        let elapsed = started.elapsed();
        let mut failures = clients.iter().filter_map(|(_, failure)| failure.as_ref());
        if let Some(first) = failures.next() {
            let count = 1 + failures.count();
            bail!("{count} of {} clients failed; the first: {first:#}", self.0.len());
        }
        let latencies = clients.into_iter().flat_map(|(latencies, _)| latencies).collect();
        Ok(Outcome { elapsed, latencies })
    }
}

/// What one client does. A failure ends it: what follows on it would mean nothing.
async fn run_one(
    client: &mut Client,
    requests: &Requests,
    turns: &Turns,
) -> (Vec<Duration>, Option<anyhow::Error>) {
    let mut latencies = Vec::new();
    while let Some(n) = turns.take() {
        let started = Instant::now();
        let request = &requests.all[n % requests.all.len()];
        if let Err(e) = client.exchange(request, requests.good).await {
            return (latencies, Some(e));
        }
        latencies.push(started.elapsed());
    }
    (latencies, None)
}

impl Turns {
    pub(crate) fn new(extent: Extent, started: Instant) -> Turns {
        let (len_max, deadline) = match extent {
            Extent::Requests(len) => (len, None),
            Extent::Time(time) => (usize::MAX, Some(started + time)),
        };
        Turns { next: AtomicUsize::new(0), len_max, deadline }
    }

    pub(crate) fn take(&self) -> Option<usize> {
        if self.deadline.is_some_and(|it| Instant::now() >= it) {
            return None;
        }
        Some(self.next.fetch_add(1, Ordering::Relaxed)).filter(|it| *it < self.len_max)
    }
}

/// Runs a client on one thread, which leaves most of the cores to the server.
pub(crate) fn block_on<T>(client: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(client)
}
