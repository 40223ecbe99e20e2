//! The signals that end a sidecar.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Signals that ask a process to end, with what they are called.
const ENDING: [(&str, fn() -> SignalKind); 4] = [
    ("SIGINT", SignalKind::interrupt),
    ("SIGTERM", SignalKind::terminate),
    ("SIGHUP", SignalKind::hangup),
    ("SIGQUIT", SignalKind::quit),
];

/// Signals with a meaning of the application's own.
const OTHER: [(&str, fn() -> SignalKind); 2] =
    [("SIGUSR1", SignalKind::user_defined1), ("SIGUSR2", SignalKind::user_defined2)];

/// Waits for signals.
#[derive(Debug)]
pub(crate) struct Signals(Vec<(Received, Signal)>);

/// A signal that came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Received {
    pub(crate) name: &'static str,
    pub(crate) kind: SignalKind,
    /// Whether it asks to end.
    pub(crate) ends: bool,
}

impl Signals {
    /// As `ending`, without SIGHUP, which has another meaning for daprd.
    pub(crate) fn of_daprd() -> std::io::Result<Signals> {
        let ending = ENDING.iter().filter(|(name, _)| *name != "SIGHUP");
        Signals::of(ending.map(|it| (it, true)))
    }

    /// From now on, these signals do not end the process by themselves.
    pub(crate) fn ending() -> std::io::Result<Signals> {
        Signals::of(ENDING.iter().map(|it| (it, true)))
    }

    /// As `ending`, with the signals that are an application's own affair.
    pub(crate) fn all() -> std::io::Result<Signals> {
        let ending = ENDING.iter().map(|it| (it, true));
        Signals::of(ending.chain(OTHER.iter().map(|it| (it, false))))
    }

    fn of<'a>(
        kinds: impl Iterator<Item = (&'a (&'static str, fn() -> SignalKind), bool)>,
    ) -> std::io::Result<Signals> {
        let open = |((name, kind), ends): (&(&'static str, fn() -> SignalKind), bool)| {
            let kind = kind();
            Ok((Received { name, kind, ends }, signal(kind)?))
        };
        kinds.map(open).collect::<std::io::Result<_>>().map(Signals)
    }

    /// The next signal.
    pub(crate) async fn next(&mut self) -> Received {
        let waiting = self.0.iter_mut().map(|(received, signal)| {
            Box::pin(async {
                signal.recv().await;
                *received
            })
        });
        futures::future::select_all(waiting).await.0
    }
}
