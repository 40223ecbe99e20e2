//! The four outcomes when connections fail, by a proxy before the server that makes them fail.

use std::{sync::Arc, time::Duration};

use fault_proxy::{Direction, Fault, Proxy};
use real_servers::etcd::{Etcd, Options};
use state::{Change, FailureKind, Outcome, Precondition, Store, Write};

use crate::support::{
    VERSIONS, delete, etag, expiring, get, kind, matches, open, outcome, put, serves_again,
    try_get, value,
};

/// A server, a proxy before it, and a store that goes through the proxy. `near` does not.
struct Chain {
    etcd: Etcd,
    proxy: Proxy,
    far: Arc<dyn Store>,
    near: Arc<dyn Store>,
}

async fn chain(version: &str) -> Chain {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    let proxy = Proxy::start(etcd.address()).await.unwrap();
    // So short that a test need not wait long for it, and longer than anything takes on a busy machine.
    let far = open(&proxy.address().to_string(), version, &[("timeout", "2s")]).await;
    let near = open(&etcd.endpoints(), version, &[]).await;
    near.write(&put("k", "\"old\"")).await.unwrap();
    get(&far, "k").await.unwrap();
    Chain { etcd, proxy, far, near }
}

/// Every kind of write, each of the value `new`.
async fn writes(near: &Arc<dyn Store>) -> Vec<Write> {
    let current = etag(near, "k").await;
    vec![
        put("k", "\"new\""),
        put("k", "\"new\"").when(matches(&current)),
        put("absent", "\"new\"").when(Precondition::Absent),
        delete("k"),
    ]
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_was_applied_once_and_is_never_a_conflict() {
    for version in VERSIONS {
        let Chain { etcd: _etcd, proxy, far, near } = chain(version).await;
        for write in writes(&near).await {
            near.write(&put("k", "\"old\"")).await.unwrap();
            let write = match &write.precondition {
                Precondition::Matches(_) => write.when(matches(&etag(&near, "k").await)),
                _ => write,
            };
            serves_again(&far, &put("other", "2")).await;
            proxy.set(Fault::LoseReply);
            let answer = far.write(&write).await;
            proxy.heal();
            assert_eq!(outcome(answer), Outcome::Unknown, "{write:?}");
            let name = write.key.as_str();
            match write.change {
                Change::Delete => assert_eq!(get(&near, name).await, None),
                Change::Put { .. } => assert_eq!(value(&near, name).await, "\"new\""),
            }
            // It is never sent again, so what others write stays.
            near.write(&put(name, "\"newer\"")).await.unwrap();
            serves_again(&far, &put("other", "2")).await;
            assert_eq!(value(&near, name).await, "\"newer\"");
        }
    }
}

#[tokio::test]
async fn a_bulk_save_whose_reply_is_lost_is_unknown() {
    let Chain { etcd: _etcd, proxy, far, near } = chain("v2").await;
    proxy.set(Fault::LoseReply);
    for answer in far.write_many(&[put("k", "\"new\""), put("l", "\"new\"")]).await {
        assert_eq!(outcome(answer), Outcome::Unknown);
    }
    proxy.heal();
    assert_eq!(value(&near, "l").await, "\"new\"");
    serves_again(&far, &put("other", "2")).await;
}

#[tokio::test]
async fn a_write_that_does_not_get_through_is_never_applied_and_never_a_conflict() {
    let Chain { etcd: _etcd, proxy, far, near } = chain("v2").await;
    let cuts = [
        Fault::CutAfter { direction: Direction::ToServer, bytes: 0 },
        Fault::CutAfter { direction: Direction::ToServer, bytes: 20 },
        Fault::Reset,
    ];
    for cut in cuts {
        for write in writes(&near).await {
            serves_again(&far, &put("other", "2")).await;
            proxy.set(cut.clone());
            let answer = outcome(far.write(&write).await);
            proxy.heal();
            assert_ne!(answer, Outcome::Conflict, "{cut:?}: {write:?}");
            assert_eq!(value(&near, "k").await, "\"old\"", "{cut:?}: {write:?}");
            assert_eq!(get(&near, "absent").await, None);
        }
    }
}

#[tokio::test]
async fn reads_are_tried_again_and_do_not_notice_a_lost_connection() {
    let Chain { etcd: _etcd, proxy, far, near: _near } = chain("v2").await;
    for _ in 0..5 {
        proxy.cut_all();
        assert_eq!(value(&far, "k").await, "\"old\"");
    }
    proxy.set(Fault::LoseReply);
    let error = try_get(&far, "k").await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Unavailable);
    assert!(error.to_string().contains("etcd at"), "{error}");
    proxy.heal();
    assert_eq!(value(&far, "k").await, "\"old\"");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_was_asked_nothing() {
    let Chain { etcd, proxy, far, near } = chain("v2").await;
    proxy.set(Fault::Refuse);
    proxy.cut_all();
    // The first may have been sent on the connection that was just cut.
    let _ = far.write(&put("other", "2")).await;
    let mut all = writes(&near).await;
    all.push(expiring("k", "\"new\"", Duration::from_secs(9)));
    for write in all {
        let error = far.write(&write).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
    proxy.heal();
    serves_again(&far, &put("k", "\"new\"")).await;
    etcd.nodes()[0].kill().unwrap();
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "\"new\"")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    etcd.nodes()[0].restart().await.unwrap();
    serves_again(&far, &put("k", "\"newer\"")).await;
}

#[tokio::test]
async fn a_server_that_takes_connections_and_nothing_else_was_asked_nothing() {
    let Chain { etcd: _etcd, proxy, far, near: _near } = chain("v2").await;
    proxy.set(Fault::HalfOpen);
    proxy.cut_all();
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "\"new\"")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    proxy.heal();
    serves_again(&far, &put("k", "\"new\"")).await;
}

#[tokio::test]
async fn a_server_that_stands_still_leaves_writes_unknown_and_serves_when_it_goes_on() {
    let Chain { etcd: _etcd, proxy, far, near } = chain("v2").await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    let answer = far.write(&put("k", "\"late\"")).await.unwrap_err();
    assert_eq!(answer.outcome(), Outcome::Unknown, "{answer}");
    assert!(answer.to_string().contains("gave no answer within 2s"), "{answer}");
    assert_eq!(value(&near, "k").await, "\"old\"");
    proxy.heal();
    serves_again(&far, &put("k", "\"newer\"")).await;
}

#[tokio::test]
async fn bytes_that_come_alone_or_late_are_understood() {
    let Chain { etcd: _etcd, proxy, far, near: _near } = chain("v1").await;
    let slow = Fault::Delay {
        direction: Direction::Both,
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(50),
    };
    for fault in [Fault::Chop { direction: Direction::Both }, slow] {
        proxy.set(fault);
        let long = format!("{:?}", "x".repeat(5_000));
        far.write(&put("k", &long)).await.unwrap();
        far.transact(&[put("k", &long), put("m", &long)]).await.unwrap();
        assert_eq!(value(&far, "k").await, long);
        let answer = far.write(&put("k", "1").when(matches("1"))).await;
        assert_eq!(outcome(answer), Outcome::Conflict);
        let answers = far.write_many(&[put("a", &long), put("b", &long)]).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}
