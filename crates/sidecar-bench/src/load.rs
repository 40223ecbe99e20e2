//! Sends requests over many connections, one at a time on each.

use std::{
    cell::RefCell,
    net::SocketAddr,
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use anyhow::bail;
use futures::future::join_all;

use crate::{
    client::{Client, Wire},
    pace::{Metronome, Pace},
    statistics::Latencies,
    traffic::Requests,
};

/// How many connections there are unless something else is said.
pub(crate) const CONNECTIONS: usize = 64;

/// Connections that are open, for any number of loads.
#[derive(Debug)]
pub(crate) struct Clients(Vec<Client>);

/// When requests are sent, and when a load ends.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Extent {
    /// Each as soon as the answer before it is there, until there were so many.
    Requests(usize),
    /// The same, until the time is over.
    Time(Duration),
    /// So many per second for so long, whether answers come or not.
    Rate(f64, Duration),
}

/// What came of a load.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) elapsed: Duration,
    /// Of each request: from when it was sent, or from when it was due.
    pub(crate) latencies: Latencies,
}

impl Outcome {
    pub(crate) fn per_s(&self) -> f64 {
        self.latencies.len() as f64 / self.elapsed.as_secs_f64()
    }
}

/// Gives out the numbers of requests, from 0, until the extent is reached.
#[derive(Debug)]
pub(crate) struct Turns {
    next: AtomicUsize,
    len_max: usize,
    deadline: Option<Instant>,
    pace: Option<Pace>,
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
        let latencies = RefCell::new(Latencies::default());
        let answered = |_, _: &Client, latency| {
            latencies.borrow_mut().add(latency);
            Ok(())
        };
        let elapsed = self.run_with(requests, extent, &answered).await?;
        Ok(Outcome { elapsed, latencies: latencies.into_inner() })
    }

    /// Reads the ETags of the first keys, `len` of them.
    pub(crate) async fn etags(
        &mut self,
        gets: &Requests,
        len: usize,
    ) -> anyhow::Result<Vec<String>> {
        let etags = RefCell::new(vec![String::new(); len]);
        let answered = |n: usize, client: &Client, _| {
            etags.borrow_mut()[n] = client.etag()?;
            Ok(())
        };
        self.run_with(gets, Extent::Requests(len), &answered).await?;
        Ok(etags.into_inner())
    }

    async fn run_with(
        &mut self,
        requests: &Requests,
        extent: Extent,
        answered: &impl Fn(usize, &Client, Duration) -> anyhow::Result<()>,
    ) -> anyhow::Result<Duration> {
        let started = Instant::now();
        let turns = Turns::new(extent, started);
        let metronome = turns.pace.map(Metronome::start).transpose()?;
        let clients = self.0.iter_mut();
        let clients = clients.map(|it| run_one(it, requests, &turns, metronome.as_ref(), answered));
        let clients = join_all(clients).await;
        let elapsed = started.elapsed();
        let len = clients.len();
        let mut failures = clients.into_iter().filter_map(Result::err);
        if let Some(first) = failures.next() {
            let count = 1 + failures.count();
            bail!("{count} of {len} clients failed; the first: {first:#}");
        }
        Ok(elapsed)
    }
}

/// What one client does. A failure ends it: what follows on it would mean nothing.
async fn run_one(
    client: &mut Client,
    requests: &Requests,
    turns: &Turns,
    metronome: Option<&Metronome>,
    answered: &impl Fn(usize, &Client, Duration) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    while let Some(n) = turns.take() {
        let request = requests.get(n);
        let mut started = Instant::now();
        if let (Some(pace), Some(metronome)) = (turns.pace, metronome) {
            let Some(due) = pace.due(n) else { break };
            metronome.beat().await?;
            started = due;
        }
        client.exchange(&request, requests.good).await?;
        answered(n, client, started.elapsed())?;
    }
    Ok(())
}

impl Turns {
    pub(crate) fn new(extent: Extent, started: Instant) -> Turns {
        let (len_max, deadline, pace) = match extent {
            Extent::Requests(len) => (len, None, None),
            Extent::Time(time) => (usize::MAX, Some(started + time), None),
            Extent::Rate(rate, time) => (usize::MAX, None, Some(Pace { started, rate, time })),
        };
        Turns { next: AtomicUsize::new(0), len_max, deadline, pace }
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
