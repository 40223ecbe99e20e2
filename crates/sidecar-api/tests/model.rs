//! Random sequences of requests over the wire, compared with what the contract says of each.

use sidecar_client::Protocol;
use state_testkit::{Fixture, check_model};

use crate::support::{Served, memory};

mod support;

const SEQUENCES: u32 = 200;

#[test]
fn sidecar_does_as_the_model() {
    check_model(SEQUENCES, || {
        Box::pin(async {
            let served = Served::store(memory().await).await;
            let store = served.client(Protocol::Http1).await?;
            Ok(Fixture { guard: Box::new(served), ..Fixture::new(store) })
        })
    });
}

#[test]
fn sidecar_does_as_the_model_over_grpc() {
    check_model(SEQUENCES, || {
        Box::pin(async {
            let served = Served::store(memory().await).await;
            let store = served.grpc_client().await?;
            Ok(Fixture { guard: Box::new(served), ..Fixture::new(store) })
        })
    });
}
