//! Who is at the other end of a connection.

use std::{net::SocketAddr, sync::Arc};

use tokio::sync::OnceCell;

/// The other end of a connection. Clones are the same one.
#[derive(Clone, Debug)]
pub(crate) struct Peer(Arc<Inner>);

#[derive(Debug)]
struct Inner {
    /// Its address and ours; `None` for what is no connection between ports.
    addresses: Option<(SocketAddr, SocketAddr)>,
    is_own_user: OnceCell<bool>,
}

impl Peer {
    /// Whoever is at this address, connected to `own`, an address of ours.
    pub(crate) fn tcp(address: SocketAddr, own: Option<SocketAddr>) -> Peer {
        Peer::new(own.map(|own| (address, own)), None)
    }

    /// Whoever may open a socket among the files that only this user may open.
    pub(crate) fn unix() -> Peer {
        Peer::new(None, Some(true))
    }

    /// Nobody of whom anything is known.
    pub(crate) fn unknown() -> Peer {
        Peer::new(None, None)
    }

    fn new(addresses: Option<(SocketAddr, SocketAddr)>, is_own_user: Option<bool>) -> Peer {
        let is_own_user = OnceCell::new_with(is_own_user);
        Peer(Arc::new(Inner { addresses, is_own_user }))
    }

    /// Whether it is a process on this machine that belongs to the same user as this one. `false` if that cannot be
    /// told, as on other systems than Linux. Looked up once for each connection.
    pub(crate) async fn is_own_user(&self) -> bool {
        let Inner { addresses, is_own_user } = &*self.0;
        let looking = || async {
            let Some((peer, own)) = *addresses else { return false };
            let found = tokio::task::spawn_blocking(move || user_of(peer, own));
            found.await.ok().flatten().is_some_and(|it| it == rustix::process::geteuid().as_raw())
        };
        *is_own_user.get_or_init(looking).await
    }
}

/// The user whose socket is connected from `local` to `remote`, in the kernel's table of this machine's connections.
/// Source: Linux, proc_pid_net(5).
#[cfg(target_os = "linux")]
fn user_of(local: SocketAddr, remote: SocketAddr) -> Option<u32> {
    let table = match local {
        SocketAddr::V4(_) => procfs::net::tcp(),
        SocketAddr::V6(_) => procfs::net::tcp6(),
    };
    let is_it =
        |it: &procfs::net::TcpNetEntry| it.local_address == local && it.remote_address == remote;
    table.ok()?.into_iter().find(is_it).map(|it| it.uid)
}

#[cfg(not(target_os = "linux"))]
fn user_of(_local: SocketAddr, _remote: SocketAddr) -> Option<u32> {
    None
}
