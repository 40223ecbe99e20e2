//! This machine: ports, the name `localhost`, limits.

use std::{
    io::ErrorKind,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, TcpListener, ToSocketAddrs},
};

use rustix::process::{Resource, getrlimit};

use super::Finding;
use crate::launch::{GRPC_PORT, HTTP_PORT, METRICS_PORT};

/// What a sidecar needs when many applications' connections are open at once: one for each, and some for stores.
const OPEN_FILES_ENOUGH: u64 = 1024;
const OPEN_FILES_MIN: u64 = 128;

pub(super) fn look() -> Vec<Finding> {
    let usual = [
        (HTTP_PORT, "HTTP API", "--dapr-http-port"),
        (GRPC_PORT, "gRPC API", "--dapr-grpc-port"),
        (METRICS_PORT, "metrics", "--metrics-port"),
    ];
    let mut findings: Vec<_> =
        usual.iter().map(|(number, what, flag)| port(*number, what, flag)).collect();
    findings.push(localhost());
    findings.push(open_files());
    findings
}

fn port(number: u16, what: &str, flag: &str) -> Finding {
    let about = format!("port {number}");
    let addresses: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
    for address in addresses {
        match TcpListener::bind((address, number)) {
            Err(e) if e.kind() == ErrorKind::AddrInUse => {
                return Finding::warn(
                    &about,
                    format!("in use by {}", owner(number)),
                    format!(
                        "a sidecar takes the next free port for its {what}; applications that insist on this one talk \
                         to the other program: end it, or choose a port with {flag}"
                    ),
                );
            }
            Err(e) if address.is_ipv4() => {
                let remedy = format!("choose another port with {flag}");
                return Finding::fail(&about, format!("cannot be used: {e}"), remedy);
            }
            // A machine without IPv6 does without.
            Ok(_) | Err(_) => {}
        }
    }
    Finding::ok(&about, format!("free, for the {what}"))
}

/// Who listens on a port, as far as this user may know.
fn owner(port: u16) -> String {
    let unknown = || "a process of another user, or in another container".to_owned();
    listener(port).unwrap_or_else(unknown)
}

#[cfg(not(target_os = "linux"))]
fn listener(_: u16) -> Option<String> {
    None
}

/// The process, in the kernel's tables. Source: Linux, proc_pid_net(5).
#[cfg(target_os = "linux")]
fn listener(port: u16) -> Option<String> {
    use procfs::{
        net::TcpState,
        process::{FDTarget, all_processes},
    };
    let sockets = [procfs::net::tcp(), procfs::net::tcp6()].into_iter().flatten().flatten();
    let listening: Vec<u64> = sockets
        .filter(|it| it.state == TcpState::Listen && it.local_address.port() == port)
        .map(|it| it.inode)
        .collect();
    for process in all_processes().ok()?.flatten() {
        let Ok(files) = process.fd() else { continue };
        let owns = files
            .flatten()
            .any(|it| matches!(it.target, FDTarget::Socket(inode) if listening.contains(&inode)));
        if owns {
            let name = process.stat().map_or_else(|_| "a program".to_owned(), |it| it.comm);
            return Some(format!("{name} (process {})", process.pid));
        }
    }
    None
}

fn localhost() -> Finding {
    let about = "localhost";
    let addresses: Vec<IpAddr> = match (about, 0).to_socket_addrs() {
        Ok(it) => it.map(|it| it.ip()).collect(),
        Err(e) => {
            let remedy = "add `127.0.0.1 localhost` to /etc/hosts: the SDKs use the name";
            return Finding::fail(about, format!("the name cannot be resolved: {e}"), remedy);
        }
    };
    if let Some(it) = addresses.iter().find(|it| !it.is_loopback()) {
        let remedy = "in /etc/hosts, localhost has to be 127.0.0.1 and ::1 alone";
        return Finding::fail(about, format!("the name stands for {it}"), remedy);
    }
    let has = |v4: bool| addresses.iter().any(|it| it.is_ipv4() == v4);
    match (has(true), has(false)) {
        (true, true) => Finding::ok(about, "127.0.0.1 and ::1"),
        (true, false) => Finding::ok(about, "127.0.0.1 alone, which is enough"),
        (false, _) => Finding::warn(
            about,
            "::1 alone",
            "add `127.0.0.1 localhost` to /etc/hosts: some SDKs use IPv4 alone",
        ),
    }
}

fn open_files() -> Finding {
    let about = "open files";
    let limit = getrlimit(Resource::Nofile).current.unwrap_or(u64::MAX);
    let text = match limit {
        u64::MAX => "no limit".to_owned(),
        limit => format!("{limit} at once"),
    };
    let remedy = format!("raise the limit to {OPEN_FILES_ENOUGH}, such as with `ulimit -n`");
    match limit {
        ..OPEN_FILES_MIN => Finding::fail(about, text, remedy),
        OPEN_FILES_MIN..OPEN_FILES_ENOUGH => Finding::warn(about, text, remedy),
        OPEN_FILES_ENOUGH.. => Finding::ok(about, text),
    }
}
