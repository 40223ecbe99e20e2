//! One connection: its way to the server, its two directions, its end.

use std::net::SocketAddr;

use tokio::{net::TcpStream, select, sync::watch, try_join};

use crate::{
    Direction, Fault,
    link::{Ending, Link, Setting, View},
    pump::Pump,
};

/// Carries what passes between `client` and `upstream` until the connection ends.
pub(crate) async fn carry(
    mut client: TcpStream,
    upstream: SocketAddr,
    link: Link,
    settings: watch::Receiver<Setting>,
) {
    let view = || View::new(&link, &settings);
    let mut server = match connect(upstream, view()).await {
        Ok(server) => server,
        Err(ending) => return end(ending, [&client]),
    };
    // Pieces are to leave as they are written.
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let ended = {
        let (from_client, to_client) = client.split();
        let (from_server, to_server) = server.split();
        let requests = Pump::new(Direction::ToServer, view(), from_client, to_server);
        let replies = Pump::new(Direction::ToClient, view(), from_server, to_client);
        try_join!(requests.run(), replies.run())
    };
    if let Err(ending) = ended {
        end(ending, [&client, &server]);
    }
}

/// Connects to the server, unless or until a fault is against it.
async fn connect(upstream: SocketAddr, mut view: View<'_>) -> Result<TcpStream, Ending> {
    let mut waits = false;
    loop {
        if let Some(orders) = view.news()? {
            let refused = orders.fault == Some(Fault::Refuse);
            waits = orders.fault == Some(Fault::HalfOpen);
            if refused || waits {
                view.link.hit(orders.epoch);
            }
            if refused {
                return Err(Ending::Reset);
            }
        }
        select! {
            biased;
            () = view.changed() => {}
            // A client must learn that there is no server.
            result = TcpStream::connect(upstream), if !waits => {
                return result.map_err(|_| Ending::Reset);
            }
        }
    }
}

/// Prepares streams for being dropped.
fn end<const N: usize>(ending: Ending, streams: [&TcpStream; N]) {
    match ending {
        Ending::Close => {}
        Ending::Reset => streams.into_iter().for_each(|it| {
            // It fails on a connection that is gone.
            let _ = it.set_zero_linger();
        }),
    }
}
