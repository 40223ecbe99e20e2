//! Tables of Dapr's earlier levels, and those who come at the same time. Source: spec/stores.md 0.11, 2.2, 2.3.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};

use futures::future::join_all;
use real_servers::postgres::{Options, Postgres};
use state::FailureKind;

use crate::support::{VERSIONS, etag, get, kind, matches, open, put, try_open, value};

async fn server() -> Postgres {
    Postgres::start(&Options::default()).await.unwrap()
}

/// The first layout as it was before rows could expire, with its level or without.
const FIRST_LEVEL: &str = "
    CREATE TABLE v1_state (
        key text NOT NULL PRIMARY KEY,
        value jsonb NOT NULL,
        isbinary boolean NOT NULL,
        insertdate TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT NOW(),
        updatedate TIMESTAMP WITH TIME ZONE NULL
    );
    INSERT INTO v1_state (key, value, isbinary, insertdate)
        SELECT 'key-' || n, to_jsonb(n), false, now() - n * interval '1 second' FROM generate_series(1, 5000) AS n;";

/// The second layout as it was before rows were numbered.
const SECOND_LAYOUT: &str = "
    CREATE TABLE meta (key text NOT NULL PRIMARY KEY, value text NOT NULL);
    INSERT INTO meta VALUES ('migrations-state-v2-v2_', '1');
    CREATE TABLE v2_state (
        key text NOT NULL PRIMARY KEY,
        value bytea NOT NULL,
        etag uuid NOT NULL DEFAULT gen_random_uuid(),
        created_at timestamp with time zone NOT NULL DEFAULT now(),
        updated_at timestamp with time zone DEFAULT NULL,
        expires_at timestamp with time zone DEFAULT NULL
    );
    CREATE INDEX ON v2_state (expires_at);
    INSERT INTO v2_state (key, value, created_at)
        SELECT 'key-' || n, n::text::bytea, now() - n * interval '1 second' FROM generate_series(1, 5000) AS n;";

/// Opens stores while somebody reads the table, who finds every value every time.
async fn upgrade_while_reading(server: &Postgres, version: &str) {
    let (done, reads) = (AtomicBool::new(false), AtomicU64::new(0));
    let reading = async {
        let client = server.client().await.unwrap();
        while !done.load(Relaxed) {
            let count = format!("SELECT count(*) FROM {version}_state");
            let count: i64 = client.query_one(&count, &[]).await.unwrap().get(0);
            assert_eq!(count, 5000);
            reads.fetch_add(1, Relaxed);
        }
    };
    let opening = async {
        while reads.load(Relaxed) == 0 {
            tokio::task::yield_now().await;
        }
        let url = server.url();
        let stores = join_all((0..3).map(|_| open(&url, version, &[]))).await;
        done.store(true, Relaxed);
        stores
    };
    let (stores, ()) = tokio::join!(opening, reading);
    for store in &stores {
        assert_eq!(value(store, "key-1").await, "1");
        assert_eq!(value(store, "key-5000").await, "5000");
    }
    let etag = etag(&stores[0], "key-1").await;
    stores[1].write(&put("key-1", "2").when(matches(&etag))).await.unwrap();
    // Numbered from the oldest on, and on from there.
    stores[2].write(&put("new", "1")).await.unwrap();
    let numbers = format!(
        "SELECT string_agg(row_id::text, ' ' ORDER BY row_id) FROM {version}_state WHERE key IN ('key-5000', 'key-2', 'new')"
    );
    assert_eq!(server.ask(&numbers).await.unwrap(), "1 4999 5001");
}

#[tokio::test]
async fn the_first_layout_is_brought_up_to_date_while_it_is_read() {
    let server = server().await;
    server.run(FIRST_LEVEL).await.unwrap();
    upgrade_while_reading(&server, "v1").await;
    assert_eq!(server.ask("SELECT value FROM meta WHERE key = 'migrations'").await.unwrap(), "3");
}

#[tokio::test]
async fn the_second_layout_is_brought_up_to_date_while_it_is_read() {
    let server = server().await;
    server.run(SECOND_LAYOUT).await.unwrap();
    upgrade_while_reading(&server, "v2").await;
    let level = "SELECT value FROM meta WHERE key = 'migrations-state-v2-v2_'";
    assert_eq!(server.ask(level).await.unwrap(), "2");
}

#[tokio::test]
async fn several_may_come_first() {
    let server = server().await;
    let url = server.url();
    let all = VERSIONS.iter().cycle().take(8);
    let stores = join_all(all.map(|version| open(&url, version, &[]))).await;
    for store in &stores {
        store.write(&put("k", "1")).await.unwrap();
    }
    // The protocol by which Dapr keeps others out.
    assert_eq!(server.ask("SELECT value FROM meta WHERE key = 'lock'").await.unwrap(), "lock");
}

#[tokio::test]
async fn who_may_not_create_tables_uses_those_that_are_there() {
    let server = server().await;
    let url = server.url();
    let store = open(&url, "v2", &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    server
        .run("CREATE ROLE app LOGIN; GRANT SELECT, INSERT, UPDATE, DELETE ON v2_state, meta TO app")
        .await
        .unwrap();
    let app = open(&url.replace("postgres@", "app@"), "v2", &[]).await;
    app.write(&put("k", "2")).await.unwrap();
    assert_eq!(value(&store, "k").await, "2");
    let properties = [("connectionString", url.replace("postgres@", "app@"))];
    let properties: Vec<_> = properties.iter().map(|(name, it)| (*name, it.as_str())).collect();
    let error = try_open("v2", &properties).await.unwrap_err();
    assert!(error.to_string().contains("cannot prepare the table state"), "{error}");
    assert!(error.to_string().contains("permission denied"), "{error}");
}

#[tokio::test]
async fn a_table_that_folds_keys_is_refused_with_what_mends_it() {
    let server = server().await;
    let store = open(&server.url(), "v2", &[]).await;
    server
        .run(
            "CREATE COLLATION folding (provider = icu, locale = 'und-u-ks-level2', deterministic = false);
             ALTER TABLE v2_state ALTER COLUMN key TYPE text COLLATE folding",
        )
        .await
        .unwrap();
    drop(store);
    let url = server.url();
    let properties =
        [("connectionString", url.as_str()), ("tablePrefix", "v2_"), ("metadataTableName", "meta")];
    let error = try_open("v2", &properties).await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Invalid);
    let message = error.to_string();
    let (_, remedy) = message.split_once("mend it with: ").unwrap();
    server.run(remedy).await.unwrap();
    let store = open(&url, "v2", &[]).await;
    store.write(&put("Key", "1")).await.unwrap();
    assert_eq!(get(&store, "key").await, None);
}
