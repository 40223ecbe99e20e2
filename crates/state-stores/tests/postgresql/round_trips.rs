//! How often a server is asked, and over how many connections, counted at a proxy and at the server.

use std::{sync::Arc, time::Duration};

use futures::future::join_all;
use real_servers::postgres::{Options, Postgres};
use state::{Read, Store};

use crate::support::{VERSIONS, delete, etag, expiring, get, key, matches, open, put};

/// How many transactions the server has committed, seen from another database.
struct Counter {
    client: tokio_postgres::Client,
}

impl Counter {
    async fn of(server: &Postgres) -> Counter {
        server.run("CREATE EXTENSION pg_stat_statements").await.unwrap();
        Counter { client: server.client().await.unwrap() }
    }

    /// The statements that were sent since the last call, each as often as it was.
    async fn statements(&self) -> Vec<String> {
        let asked = "SELECT query, calls FROM pg_stat_statements WHERE query LIKE '%v%_state%'
                     OR query IN ('COMMIT', 'ROLLBACK') OR query LIKE 'BEGIN%' OR query LIKE '%txid_current%'";
        let rows = self.client.query(asked, &[]).await.unwrap();
        self.client.batch_execute("SELECT pg_stat_statements_reset()").await.unwrap();
        let mut statements = Vec::new();
        for row in rows {
            let (query, calls): (String, i64) = (row.get(0), row.get(1));
            if query.contains("pg_stat_statements") {
                continue;
            }
            let word = query.split_whitespace().next().unwrap().to_owned();
            statements.extend((0..calls).map(|_| word.clone()));
        }
        statements.sort();
        statements
    }
}

async fn counted() -> (Postgres, Counter) {
    let options = Options::default().setting("shared_preload_libraries", "pg_stat_statements");
    let server = Postgres::start(&options).await.unwrap();
    let counter = Counter::of(&server).await;
    (server, counter)
}

#[tokio::test]
async fn every_operation_is_one_statement() {
    let (server, counter) = counted().await;
    for version in VERSIONS {
        let store = open(&server.url(), version, &[]).await;
        store.write(&put("k", "1")).await.unwrap();
        counter.statements().await;
        store.write(&expiring("k", "1", Duration::from_secs(60))).await.unwrap();
        assert_eq!(counter.statements().await, ["INSERT"], "save with TTL");
        assert!(get(&store, "k").await.unwrap().expires_at.is_some());
        assert_eq!(counter.statements().await, ["SELECT"], "get with TTL");
        let etag = etag(&store, "k").await;
        counter.statements().await;
        store.write(&put("k", "2").when(matches(&etag))).await.unwrap();
        assert_eq!(counter.statements().await, ["WITH"], "save with ETag");
        assert!(store.write(&put("k", "2").when(matches(&etag))).await.is_err());
        assert_eq!(counter.statements().await, ["WITH"], "a conflict says what was found");
        store.write(&delete("k")).await.unwrap();
        assert_eq!(counter.statements().await, ["DELETE"], "delete");
        store.transact(&[put("a", "1"), put("b", "1"), delete("c")]).await.unwrap();
        // A key that is to be deleted is taken first, so that nobody creates it meanwhile.
        let expected = ["BEGIN", "COMMIT", "DELETE", "INSERT", "INSERT", "INSERT", "SELECT"];
        assert_eq!(counter.statements().await, expected, "transaction");
    }
}

#[tokio::test]
async fn bulk_requests_are_a_statement_of_each_kind() {
    let (server, counter) = counted().await;
    for version in VERSIONS {
        let store = open(&server.url(), version, &[]).await;
        let names: Vec<String> = (0..500).map(|n| format!("key-{n}")).collect();
        let puts: Vec<_> = names.iter().map(|it| put(it, "1")).collect();
        let deletes: Vec<_> = names.iter().map(|it| delete(it)).collect();
        let reads: Vec<_> = names.iter().map(|it| Read::new(key(it))).collect();
        counter.statements().await;
        assert!(store.write_many(&puts).await.iter().all(Result::is_ok));
        assert_eq!(counter.statements().await, ["INSERT"]);
        assert!(store.get_many(&reads).await.into_iter().all(|it| it.unwrap().is_some()));
        assert_eq!(counter.statements().await, ["SELECT"]);
        assert!(store.write_many(&deletes).await.iter().all(Result::is_ok));
        assert_eq!(counter.statements().await, ["DELETE"]);
    }
}

#[tokio::test]
async fn requests_of_all_callers_share_a_few_connections() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let store = open(&server.url(), "v2", &[("maxConns", "4")]).await;
    let work = |n: usize| {
        let store: Arc<dyn Store> = store.clone();
        tokio::spawn(async move {
            for i in 0..20 {
                let name = format!("{n}-{i}");
                store.write(&put(&name, "1")).await.unwrap();
                store.transact(&[put(&name, "2"), put("shared", "1")]).await.unwrap();
                get(&store, &name).await.unwrap();
            }
        })
    };
    let working = join_all((0..100).map(work));
    let client = server.client().await.unwrap();
    let count = async || {
        let count = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'steadfast'";
        client.query_one(count, &[]).await.unwrap().get::<_, i64>(0)
    };
    let watching = async {
        let mut most = 0;
        for _ in 0..50 {
            most = most.max(count().await);
        }
        most
    };
    let (results, most) = tokio::join!(working, watching);
    results.into_iter().for_each(|it| it.unwrap());
    assert!((2..=4).contains(&most.max(count().await)), "{most}");
}

#[tokio::test]
async fn a_listing_uses_the_index() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    for version in VERSIONS {
        let store = open(&server.url(), version, &[]).await;
        let writes: Vec<_> = (0..2000).map(|n| put(&format!("app||{n}"), "1")).collect();
        store.write_many(&writes).await;
        server.run(&format!("ANALYZE {version}_state")).await.unwrap();
        let plan = format!(
            "EXPLAIN (FORMAT JSON) SELECT key FROM {version}_state WHERE key COLLATE \"C\" >= 'app||' \
             AND key COLLATE \"C\" > 'app||1' ORDER BY key COLLATE \"C\" LIMIT 10"
        );
        let row = server.client().await.unwrap().simple_query(&plan).await.unwrap();
        let plan = format!("{row:?}");
        assert!(
            plan.contains("Index") && !plan.contains("Seq Scan") && !plan.contains("Sort"),
            "{plan}"
        );
    }
}
