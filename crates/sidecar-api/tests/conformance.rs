//! `cargo test -p sidecar-api --test conformance [-- http1::etag]`
//!
//! The contract of a store, asked of a sidecar over the wire.

use std::{error::Error, process::ExitCode};

use sidecar_client::Protocol;
use state_testkit::{Fixture, Opening, Subject};

use crate::support::{Served, memory, sqlite};

mod support;

static SUBJECTS: &[Subject] = &[
    Subject { name: "http1", open: open_http1, gaps: GAPS },
    Subject { name: "http2", open: open_http2, gaps: GAPS },
    Subject { name: "http1_sqlite", open: open_http1_sqlite, gaps: GAPS },
    Subject { name: "grpc", open: open_grpc, gaps: &[] },
    Subject { name: "grpc_sqlite", open: open_grpc_sqlite, gaps: &[] },
];

const GAPS: &[(&str, &str)] = &[
    ("every_byte_value_comes_back", "a save over HTTP carries JSON values only"),
    ("empty_value_is_not_an_absent_one", "a save over HTTP carries JSON values only"),
    ("opaque_json_comes_back_as_it_was", "white space around a value is not a part of it in JSON"),
];

fn main() -> ExitCode {
    state_testkit::run(SUBJECTS)
}

fn open_http1() -> Opening {
    Box::pin(over_memory(Protocol::Http1))
}

fn open_http2() -> Opening {
    Box::pin(over_memory(Protocol::Http2))
}

async fn over_memory(protocol: Protocol) -> Result<Fixture, Box<dyn Error + Send + Sync>> {
    let served = Served::store(memory().await).await;
    let store = served.client(protocol).await?;
    Ok(Fixture { guard: Box::new(served), ..Fixture::new(store) })
}

/// Two sidecars, each with its own connections to one file.
fn open_http1_sqlite() -> Opening {
    Box::pin(async {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("state.db");
        let served = Served::store(sqlite(&file).await?).await;
        let other = Served::store(sqlite(&file).await?).await;
        let store = served.client(Protocol::Http1).await?;
        let second = Some(other.client(Protocol::Http1).await?);
        Ok(Fixture { store, second, guard: Box::new((served, other, directory)) })
    })
}

fn open_grpc() -> Opening {
    Box::pin(async {
        let served = Served::store(memory().await).await;
        let store = served.grpc_client().await?;
        Ok(Fixture { guard: Box::new(served), ..Fixture::new(store) })
    })
}

/// Two sidecars on one file.
fn open_grpc_sqlite() -> Opening {
    Box::pin(async {
        let directory = tempfile::tempdir()?;
        let file = directory.path().join("state.db");
        let served = Served::store(sqlite(&file).await?).await;
        let other = Served::store(sqlite(&file).await?).await;
        let store = served.grpc_client().await?;
        let second = Some(other.grpc_client().await?);
        Ok(Fixture { store, second, guard: Box::new((served, other, directory)) })
    })
}
