//! Finding and taking ports.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener},
};

use anyhow::{Context, bail};

/// How many ports after the usual one are tried before any free one is taken.
const NEIGHBOURS: u16 = 100;

/// Listens on one port at each of these addresses: on `asked` if it was asked for, else on
/// `usual` or the next that is free.
pub(crate) fn listen(
    addresses: &[IpAddr],
    asked: Option<u16>,
    usual: u16,
    flag: &str,
) -> anyhow::Result<(u16, Vec<TcpListener>)> {
    if let Some(port) = asked.filter(|it| *it != 0) {
        return match bind_all(addresses, port)? {
            Some(listeners) => Ok((port, listeners)),
            None => bail!(
                "port {port} is in use by another process: choose another with {flag}, or leave \
                 the flag out to get a free one"
            ),
        };
    }
    let neighbours = if asked.is_none() { NEIGHBOURS } else { 0 };
    for port in usual..usual.saturating_add(neighbours) {
        if let Some(listeners) = bind_all(addresses, port)? {
            return Ok((port, listeners));
        }
    }
    // A port that is free at the first address may be taken at the second.
    for _ in 0..NEIGHBOURS {
        let probe = TcpListener::bind((addresses[0], 0)).context("there is no free port")?;
        let port = probe.local_addr()?.port();
        drop(probe);
        if let Some(listeners) = bind_all(addresses, port)? {
            return Ok((port, listeners));
        }
    }
    bail!("there is no port that is free at all of {addresses:?}")
}

/// A port for something that applications are told of.
///
/// # Errors
///
/// If it was asked for and is taken.
pub(crate) fn announce(asked: Option<u16>, usual: u16, flag: &str) -> anyhow::Result<u16> {
    listen(&[IpAddr::V4(Ipv4Addr::LOCALHOST)], asked, usual, flag).map(|(port, _)| port)
}

/// The same listeners, to be awaited.
pub(crate) fn asynchronous(
    listeners: Vec<TcpListener>,
) -> std::io::Result<Vec<tokio::net::TcpListener>> {
    let listeners = listeners.into_iter().map(|it| {
        it.set_nonblocking(true)?;
        tokio::net::TcpListener::from_std(it)
    });
    listeners.collect()
}

/// Listens at all these addresses, or at none if the port is taken at one of them. An address of
/// a family that this machine does not have is passed over, if it is not the only one.
fn bind_all(addresses: &[IpAddr], port: u16) -> anyhow::Result<Option<Vec<TcpListener>>> {
    let mut listeners = Vec::with_capacity(addresses.len());
    for address in addresses {
        let socket = SocketAddr::new(*address, port);
        match TcpListener::bind(socket) {
            Ok(listener) => listeners.push(listener),
            Err(e) if e.kind() == ErrorKind::AddrInUse => return Ok(None),
            Err(e) if is_missing_family(&e) && addresses.len() > 1 => {}
            Err(e) => return Err(e).with_context(|| format!("cannot listen on {socket}")),
        }
    }
    if listeners.is_empty() {
        bail!("none of the addresses {addresses:?} exists on this machine");
    }
    Ok(Some(listeners))
}

fn is_missing_family(e: &std::io::Error) -> bool {
    /// Address family not supported. Source: Linux errno(3); std has no kind for it.
    const EAFNOSUPPORT: i32 = 97;
    e.kind() == ErrorKind::AddrNotAvailable || e.raw_os_error() == Some(EAFNOSUPPORT)
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    const LOOPBACK: &[IpAddr] = &[IpAddr::V4(Ipv4Addr::LOCALHOST)];

    #[test]
    fn a_port_that_was_asked_for_and_is_taken_is_an_error() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let error = listen(LOOPBACK, Some(port), 3500, "--dapr-http-port").unwrap_err();
        assert!(error.to_string().contains("--dapr-http-port"), "{error}");
    }

    #[test]
    fn a_port_that_was_not_asked_for_moves_on() {
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let (other, listeners) = listen(LOOPBACK, None, port, "--dapr-http-port").unwrap();
        assert_ne!(other, port);
        assert_eq!(listeners[0].local_addr().unwrap().port(), other);
    }
}
