//! Texts that look like a part of a statement are data.

use real_servers::postgres::{Options, Postgres};

use crate::{
    injection,
    support::{VERSIONS, open},
};

#[tokio::test]
async fn nothing_that_callers_write_becomes_a_part_of_a_statement() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    for version in VERSIONS {
        for mode in ["cache_statement", "exec"] {
            let store = open(&server.url(), version, &[("queryExecMode", mode)]).await;
            injection::is_data(&store).await;
        }
    }
}
