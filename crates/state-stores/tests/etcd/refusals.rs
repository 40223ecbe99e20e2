//! What a server refuses was not applied, and is told apart from what may have been.

use std::time::Duration;

use real_servers::etcd::{Etcd, Options};
use state::{FailureKind, Outcome};

use crate::support::{delete, get, kind, open, outcome, put, serves_again, value, within};

#[tokio::test]
async fn a_server_without_space_takes_deletes_alone() {
    let options = Options::default().setting("--quota-backend-bytes=16777216");
    let etcd = Etcd::start(1, &options).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    store.write(&put("k", "1")).await.unwrap();
    let large = "x".repeat(1 << 20);
    let mut refused = None;
    for i in 0..40 {
        if let Err(e) = store.write(&put(&format!("large{i}"), &large)).await {
            refused = Some(e);
            break;
        }
    }
    let error = refused.expect("it is full");
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("--quota-backend-bytes"), "{error}");
    // From then on it takes nothing more, which all members agree on a moment later.
    within(Duration::from_secs(5), "the alarm", async || {
        store.write(&put("small", "2")).await.is_err()
    })
    .await;
    for answer in store.write_many(&[put("a", "2"), put("b", "2")]).await {
        assert_eq!(outcome(answer), Outcome::NotApplied);
    }
    assert_eq!(get(&store, "a").await, None);
    assert_eq!(value(&store, "k").await, "1");
    store.write(&delete("k")).await.unwrap();
    assert_eq!(get(&store, "k").await, None);
}

#[tokio::test]
async fn what_is_too_large_is_the_caller_s_mistake_and_does_not_keep_others_from_being_written() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    for bytes in [(3 << 19) + 1, 8 << 20] {
        let large = "x".repeat(bytes);
        let error = store.write(&put("large", &large)).await.unwrap_err();
        assert_eq!(kind(&error), FailureKind::Invalid, "{error}");
        assert!(error.to_string().contains("--max-request-bytes"), "{error}");
        let answers = store.write_many(&[put("a", "2"), put("large", &large), put("b", "2")]).await;
        let fine: Vec<_> = answers.iter().map(Result::is_ok).collect();
        assert_eq!(fine, [true, false, true]);
    }
    // Together they are too large for one request, and alone they are not.
    let half = "x".repeat(700_000);
    let names: Vec<_> = (0..8).map(|it| it.to_string()).collect();
    let writes: Vec<_> = names.iter().map(|it| put(it, &half)).collect();
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    assert_eq!(get(&store, "large").await, None);
}

#[tokio::test]
async fn a_server_that_takes_fewer_operations_says_so() {
    let options = Options::default().setting("--max-txn-ops=4");
    let etcd = Etcd::start(1, &options).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    let names: Vec<_> = (0..20).map(|it| it.to_string()).collect();
    let writes: Vec<_> = names.iter().map(|it| put(it, "1")).collect();
    let error = store.transact(&writes).await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Invalid, "{error}");
    assert!(error.to_string().contains("maxTxnOps"), "{error}");
    assert_eq!(get(&store, "0").await, None);
    // Independent ones go alone then.
    assert!(store.write_many(&writes).await.iter().all(Result::is_ok));
    let reads: Vec<_> = writes.iter().map(|it| state::Read::new(it.key.clone())).collect();
    assert!(store.get_many(&reads).await.into_iter().all(|it| it.unwrap().is_some()));
    let fewer = open(&etcd.endpoints(), "v2", &[("maxTxnOps", "4")]).await;
    assert_eq!(fewer.capabilities().transaction_len_max, Some(4));
    fewer.transact(&writes[..4]).await.unwrap();
    assert!(fewer.write_many(&writes).await.iter().all(Result::is_ok));
}

#[tokio::test]
async fn the_longest_transaction_may_have_a_condition_for_each_key() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let store = open(&etcd.endpoints(), "v2", &[]).await;
    let names: Vec<_> = (0..128).map(|it| it.to_string()).collect();
    let writes: Vec<_> = names.iter().map(|it| put(it, "1")).collect();
    let written = store.transact(&writes).await.unwrap();
    let again: Vec<_> = writes
        .iter()
        .zip(&written)
        .map(|(it, written)| {
            let etag = written.etag.clone().unwrap();
            it.clone().when(state::Precondition::Matches(etag))
        })
        .collect();
    store.transact(&again).await.unwrap();
    let error = store.transact(&again).await.unwrap_err();
    assert!(error.is_conflict(), "{error}");
    serves_again(&store, &put("k", "1")).await;
}
