//! Ports that are free, and stay ours.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// From above what is well known to where Linux and macOS begin to take the ports of clients from: a client could otherwise
/// get the port of a server that is down, or, when it tries to connect to it, even be connected to itself.
const PORTS: Range<u16> = 10_000..32_768;

/// How far the second port is from the first: a node of a Redis Cluster has its bus there.
const SECOND: u16 = 10_000;

/// How many to look at before it is said that none is free.
const TRIED_MAX: u32 = 1_000;

/// A port of the loopback interface, for a server. Nobody else gets it by looking for one in this way until it is dropped.
#[derive(Debug)]
pub struct Port {
    number: u16,
    /// The UDP port of the same number. Nothing that is started here listens to it, so having it keeps others away, also in
    /// other processes and while the server is down.
    _reserved: UdpSocket,
}

/// Where a server is: its folder, a port, and a second port for servers that need one. Both are ours until it is dropped.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    port: Port,
    second: Port,
}

impl Port {
    /// A port on which nobody listens.
    ///
    /// # Errors
    ///
    /// If there is none among many.
    pub fn find() -> Result<Port> {
        find(PORTS, Port::reserve)
    }

    /// Its number.
    pub fn number(&self) -> u16 {
        self.number
    }

    /// Where clients find the server.
    pub fn address(&self) -> SocketAddr {
        address(self.number)
    }

    fn reserve(number: u16) -> io::Result<Port> {
        let reserved = UdpSocket::bind(address(number))?;
        // Somebody who does not look for ports in this way may have it.
        TcpListener::bind(address(number))?;
        Ok(Port { number, _reserved: reserved })
    }
}

impl Place {
    pub(crate) fn find(folder: &Path) -> Result<Place> {
        let both = |number| Ok((Port::reserve(number)?, Port::reserve(number + SECOND)?));
        let (port, second) = find(PORTS.start..PORTS.end - SECOND, both)?;
        Ok(Place { folder: folder.to_owned(), port, second })
    }

    /// The folder for its data, an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its clients find it.
    pub fn address(&self) -> SocketAddr {
        self.port.address()
    }

    /// For what else it listens to: ten thousand ports further.
    pub fn second_address(&self) -> SocketAddr {
        self.second.address()
    }
}

/// Tries numbers of `among` until one can be had.
fn find<T>(among: Range<u16>, reserve: impl Fn(u16) -> io::Result<T>) -> Result<T> {
    let mut last = None;
    for _ in 0..TRIED_MAX {
        match reserve(fastrand::u16(among.clone())) {
            Ok(it) => return Ok(it),
            Err(e) => last = Some(e),
        }
    }
    let last = last.context("no port was tried")?;
    Err(anyhow::Error::from(last).context("no port is free"))
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
