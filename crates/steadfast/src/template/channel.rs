//! What a run and the hosts of its applications tell each other: lines of JSON over a socket, which is the host's
//! standard input. When one of them is gone, however that came about, the other finds the socket closed.

use std::{
    io,
    os::{fd::AsFd, unix::net},
    path::PathBuf,
};

use anyhow::Context;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use tokio::{
    io::{AsyncBufReadExt, AsyncWriteExt, BufReader, Lines},
    net::{
        UnixStream,
        unix::{OwnedReadHalf, OwnedWriteHalf},
    },
};

/// What to do beside what the flags say. Not on the command line, which others can read.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Order {
    /// For the application; comes after, and so before, what it is given in any case.
    pub(crate) variables: Vec<(String, String)>,
    pub(crate) app_log: Destination,
    pub(crate) sidecar_log: Destination,
    pub(crate) template_path: Option<PathBuf>,
    pub(crate) template_name: Option<String>,
    pub(crate) cli_pid: i32,
}

/// Where lines go.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(crate) struct Destination {
    pub(crate) console: bool,
    pub(crate) file: Option<PathBuf>,
}

/// What the run asks of a host after its order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Demand {
    Stop,
    Kill,
}

/// What a host tells.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) enum Report {
    /// The application runs, if there is one.
    Up { place: String, app_pid: Option<i32>, not_ready: Vec<String> },
    /// The application has ended: by itself, because it was asked to, or because it was killed.
    AppEnded { code: u8, how: Ended },
}

/// Why an application has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Ended {
    ByItself,
    Asked,
    Killed,
}

/// Reads what the other says.
#[derive(Debug)]
pub(crate) struct Listener(Lines<BufReader<OwnedReadHalf>>);

/// Tells the other.
#[derive(Debug)]
pub(crate) struct Speaker(OwnedWriteHalf);

fn halves(stream: UnixStream) -> (Listener, Speaker) {
    let (from, to) = stream.into_split();
    (Listener(BufReader::new(from).lines()), Speaker(to))
}

/// The run's end of a new channel, and what is to be the host's standard input.
pub(crate) fn new() -> io::Result<(Listener, Speaker, std::process::Stdio)> {
    let (ours, theirs) = net::UnixStream::pair()?;
    ours.set_nonblocking(true)?;
    let (listener, speaker) = halves(UnixStream::from_std(ours)?);
    Ok((listener, speaker, std::os::fd::OwnedFd::from(theirs).into()))
}

/// The host's end.
///
/// # Errors
///
/// If the standard input is no socket: `--hosted` is not for people.
pub(crate) fn from_stdin() -> anyhow::Result<(Listener, Speaker)> {
    let stdin = io::stdin().as_fd().try_clone_to_owned().context("there is no standard input")?;
    let stream = net::UnixStream::from(stdin);
    let stream = stream.set_nonblocking(true).and_then(|()| UnixStream::from_std(stream));
    Ok(halves(stream.context("--hosted is for `steadfast run -f` alone")?))
}

impl Listener {
    /// The next thing the other says; `None` when it is gone, or speaks no more of our language.
    ///
    /// May be given up at any time without losing anything.
    pub(crate) async fn next<T: DeserializeOwned>(&mut self) -> Option<T> {
        let line = self.0.next_line().await.ok().flatten()?;
        serde_json::from_str(&line).ok()
    }
}

impl Speaker {
    /// Says something, if the other is still there; that it is gone, its `Listener` tells.
    pub(crate) async fn say(&mut self, it: &impl Serialize) {
        let Ok(mut line) = serde_json::to_vec(it) else { return };
        line.push(b'\n');
        // See above.
        let _ = self.0.write_all(&line).await;
    }
}
