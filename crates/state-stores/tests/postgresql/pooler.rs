//! Behind PgBouncer, which gives each transaction another session.

use std::sync::Arc;

use futures::future::join_all;
use real_servers::postgres::{Options, PgBouncer, Postgres};
use state::{Outcome, Store};

use crate::support::{etag, get, matches, open, outcome, put, value};

#[tokio::test]
async fn every_operation_works_when_each_may_get_another_session() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let pooler = PgBouncer::start(&server).await.unwrap();
    for version in crate::support::VERSIONS {
        let store = open(&pooler.url(), version, &[("queryExecMode", "exec")]).await;
        let work = |n: usize| {
            let store: Arc<dyn Store> = store.clone();
            tokio::spawn(async move {
                for i in 0..20 {
                    let (k, l) = (format!("{n}-{i}"), format!("{n}-{i}-l"));
                    store.write(&put(&k, "1")).await.unwrap();
                    let version = etag(&store, &k).await;
                    store
                        .transact(&[put(&k, "2").when(matches(&version)), put(&l, "2")])
                        .await
                        .unwrap();
                    let stale = store.write(&put(&k, "3").when(matches(&version))).await;
                    assert_eq!(outcome(stale), Outcome::Conflict);
                    assert_eq!(value(&store, &l).await, "2");
                    assert!(
                        store
                            .write_many(&[put(&k, "4"), put(&l, "4")])
                            .await
                            .iter()
                            .all(Result::is_ok)
                    );
                    assert!(get(&store, &k).await.is_some());
                }
            })
        };
        join_all((0..8).map(work)).await.into_iter().for_each(|it| it.unwrap());
    }
}

#[tokio::test]
async fn who_has_not_said_that_there_is_a_pooler_is_told_what_to_set() {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let pooler = PgBouncer::start(&server).await.unwrap();
    let store = open(&pooler.url(), "v2", &[]).await;
    let work = |n: usize| {
        let store: Arc<dyn Store> = store.clone();
        tokio::spawn(async move { store.write(&put(&n.to_string(), "1")).await.err() })
    };
    let errors = join_all((0..50).map(work)).await;
    for error in errors.into_iter().filter_map(|it| it.unwrap()) {
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("queryExecMode"), "{error}");
    }
}
