//! Ports that are free, and stay ours.

use std::{
    io,
    net::{Ipv4Addr, SocketAddr, TcpListener, UdpSocket},
    ops::Range,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};

/// From above what is well known, and so that the second port is still below 32768, where Linux and macOS begin to take
/// the ports of clients from: a client could otherwise get the port of a server that is down, or, when it tries to connect
/// to it, even be connected to itself.
const PORTS: Range<u16> = 10_000..22_767;

/// How far the second port is from the first: a node of a Redis Cluster has its bus there.
const SECOND: u16 = 10_000;

/// How many to look at before it is said that none is free.
const TRIED_MAX: u32 = 1_000;

/// Where a server is: its folder, a port, and a second port for servers that need one. Both are ours until it is dropped.
#[derive(Debug)]
pub struct Place {
    folder: PathBuf,
    port: u16,
    /// The UDP ports of the same numbers. Nothing that is started here listens to them, so having them keeps others who
    /// look for a place in the same way from these ports, also in other processes and while the server is down.
    _reserved: [UdpSocket; 2],
}

impl Place {
    pub(crate) fn find(folder: &Path) -> Result<Place> {
        let mut last = None;
        for _ in 0..TRIED_MAX {
            let port = fastrand::u16(PORTS);
            match reserve(port).and_then(|it| Ok([it, reserve(port + SECOND)?])) {
                Ok(reserved) => {
                    return Ok(Place { folder: folder.to_owned(), port, _reserved: reserved });
                }
                Err(e) => last = Some(e),
            }
        }
        let last = last.context("no port was tried")?;
        Err(anyhow::Error::from(last).context("no port is free"))
    }

    /// The folder for its data, an absolute path.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Where its clients find it.
    pub fn address(&self) -> SocketAddr {
        address(self.port)
    }

    /// For what else it listens to: ten thousand ports further.
    pub fn second_address(&self) -> SocketAddr {
        address(self.port + SECOND)
    }
}

fn reserve(port: u16) -> io::Result<UdpSocket> {
    let reserved = UdpSocket::bind(address(port))?;
    // Somebody who does not look for ports in this way may have it.
    TcpListener::bind(address(port))?;
    Ok(reserved)
}

fn address(port: u16) -> SocketAddr {
    (Ipv4Addr::LOCALHOST, port).into()
}
