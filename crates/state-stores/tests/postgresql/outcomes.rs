//! The four outcomes when connections fail, by a proxy before the server that makes them fail.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fault_proxy::{AtMark, Direction, Fault, Proxy};
use real_servers::postgres::{Options, Postgres};
use state::{Change, FailureKind, Outcome, Precondition, Store, Write};

use tokio::time::timeout;

use crate::support::{
    RECOVERY_MAX, VERSIONS, delete, etag, get, kind, matches, open, outcome, put, serves_again,
    strong, try_get, value, within,
};

/// A server, a proxy before it, and a store that goes through the proxy. `near` does not.
struct Chain {
    server: Postgres,
    proxy: Proxy,
    far: Arc<dyn Store>,
    near: Arc<dyn Store>,
}

async fn chain(version: &str) -> Chain {
    let server = Postgres::start(&Options::default()).await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    // So short that a test need not wait long for it, and longer than anything takes on a busy machine.
    let far = open(&server.url_at(proxy.address()), version, &[("timeout", "2s")]).await;
    let near = open(&server.url(), version, &[]).await;
    near.write(&put("k", "\"old\"")).await.unwrap();
    get(&far, "k").await.unwrap();
    far.transact(&[put("other", "1"), put("another", "1")]).await.unwrap();
    Chain { server, proxy, far, near }
}

/// Every kind of write, each of the value `new`.
async fn writes(near: &Arc<dyn Store>) -> Vec<Write> {
    let current = etag(near, "k").await;
    vec![
        put("k", "\"new\""),
        put("k", "\"new\"").when(matches(&current)),
        put("absent", "\"new\"").when(Precondition::Absent),
        delete("k"),
        strong(put("k", "\"new\"")),
    ]
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_was_applied_once_and_is_never_a_conflict() {
    for version in VERSIONS {
        let Chain { server: _server, proxy, far, near } = chain(version).await;
        for write in writes(&near).await {
            near.write(&put("k", "\"old\"")).await.unwrap();
            let write = match &write.precondition {
                Precondition::Matches(_) => write.when(matches(&etag(&near, "k").await)),
                _ => write,
            };
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
async fn where_values_have_an_etag_of_ours_a_lost_reply_is_looked_for() {
    let Chain { server: _server, proxy, far, near } = chain("v2").await;
    let current = etag(&near, "k").await;
    for write in [
        put("k", "\"new\"").when(matches(&current)),
        put("absent", "\"new\"").when(Precondition::Absent),
        put("k", "\"newer\""),
    ] {
        serves_again(&far, &put("other", "2")).await;
        // The next connection is a good one.
        proxy.set_one_in(1, Fault::LoseReply);
        let answering = far.write(&write);
        let healing = async {
            while proxy.counts().hit == 0 {
                tokio::task::yield_now().await;
            }
            proxy.heal();
        };
        let (answer, ()) = tokio::join!(answering, healing);
        let written = answer.unwrap();
        assert_eq!(written.etag.unwrap().as_str(), etag(&near, write.key.as_str()).await);
    }
}

#[tokio::test]
async fn a_bulk_save_whose_reply_is_lost_is_unknown() {
    for version in VERSIONS {
        let Chain { server: _server, proxy, far, near } = chain(version).await;
        let both = [put("k", "\"new\""), put("l", "\"new\"")];
        proxy.set(Fault::LoseReply);
        for answer in far.write_many(&both).await {
            assert_eq!(outcome(answer), Outcome::Unknown);
        }
        proxy.heal();
        assert_eq!(value(&near, "l").await, "\"new\"");
        serves_again(&far, &put("other", "2")).await;
    }
}

#[tokio::test]
async fn a_write_that_does_not_get_through_is_never_applied_and_never_a_conflict() {
    let Chain { server: _server, proxy, far, near } = chain("v2").await;
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
async fn a_transaction_that_was_not_told_to_commit_is_tried_again() {
    for version in VERSIONS {
        let Chain { server: _server, proxy, far, near } = chain(version).await;
        // The connection ends with the first answer, before anything could be decided.
        proxy.set(Fault::OnMark { mark: b"BEGIN".into(), then: AtMark::Cut });
        let error = far.transact(&[put("k", "1"), put("l", "1")]).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        proxy.heal();
        assert_eq!(get(&near, "l").await, None);
        serves_again(&far, &put("other", "2")).await;
        proxy.cut_all();
        far.transact(&[put("k", "1"), put("l", "1")]).await.unwrap();
        assert_eq!(value(&near, "l").await, "1");
    }
}

#[tokio::test]
async fn reads_are_tried_again_and_do_not_notice_a_lost_connection() {
    let Chain { server: _server, proxy, far, near: _near } = chain("v2").await;
    for _ in 0..5 {
        proxy.cut_all();
        assert_eq!(value(&far, "k").await, "\"old\"");
    }
    proxy.set(Fault::LoseReply);
    let error = try_get(&far, "k").await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Unavailable);
    assert!(error.to_string().contains("postgresql at"), "{error}");
    proxy.heal();
    assert_eq!(value(&far, "k").await, "\"old\"");
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_was_asked_nothing() {
    let Chain { server, proxy, far, near } = chain("v2").await;
    proxy.set(Fault::Refuse);
    proxy.cut_all();
    // The first may have been sent on the connection that was just cut.
    let _ = far.write(&put("other", "2")).await;
    for write in writes(&near).await {
        let error = far.write(&write).await.unwrap_err();
        assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
        assert!(error.to_string().contains("cannot be reached"), "{error}");
    }
    proxy.heal();
    serves_again(&far, &put("k", "\"new\"")).await;
    server.process().abort().await.unwrap();
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "\"new\"")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    server.process().restart().await.unwrap();
    serves_again(&far, &put("k", "\"newer\"")).await;
}

#[tokio::test]
async fn a_server_that_takes_connections_and_nothing_else_was_asked_nothing() {
    let Chain { server: _server, proxy, far, near: _near } = chain("v2").await;
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
    let Chain { server: _server, proxy, far, near } = chain("v2").await;
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
    let Chain { server: _server, proxy, far, near: _near } = chain("v1").await;
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

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_up_early_do_not_keep_it_from_serving_again() {
    let Chain { server, proxy, far, near: _near } = chain("v2").await;
    let done = Arc::new(AtomicBool::new(false));
    let work = |n: usize| {
        let (far, done) = (far.clone(), done.clone());
        tokio::spawn(async move {
            while !done.load(Relaxed) {
                let (k, l) = (format!("{}", n % 5), format!("{}-l", n % 3));
                let writes = [put(&k, "1"), put(&l, "1"), delete("k")];
                let _ = timeout(PATIENCE, far.transact(&writes)).await;
                let _ = timeout(PATIENCE, far.write(&writes[0])).await;
                let _ = timeout(PATIENCE, try_get(&far, &k)).await;
            }
        })
    };
    let working: Vec<_> = (0..60).map(work).collect();
    let serves = async |what: &str| {
        within(RECOVERY_MAX, what, async || {
            let write = put("recovery", "1");
            timeout(PATIENCE, far.write(&write)).await.is_ok_and(|it| it.is_ok())
                && timeout(PATIENCE, far.transact(std::slice::from_ref(&write)))
                    .await
                    .is_ok_and(|it| it.is_ok())
        })
        .await;
    };
    serves("before all faults").await;
    for fault in [
        Fault::LoseReply,
        Fault::Reset,
        Fault::HalfOpen,
        Fault::Blackhole { direction: Direction::ToClient },
        Fault::Blackhole { direction: Direction::ToServer },
    ] {
        proxy.set_one_in(3, fault.clone());
        tokio::time::sleep(Duration::from_millis(700)).await;
        proxy.heal();
        serves(&format!("{fault:?}")).await;
    }
    server.process().kill().unwrap();
    server.process().restart().await.unwrap();
    serves("kill").await;
    server.process().pause().unwrap();
    tokio::time::sleep(Duration::from_millis(1500)).await;
    server.process().resume().unwrap();
    serves("pause").await;
    done.store(true, Relaxed);
    for it in working {
        it.await.unwrap();
    }
}

/// How long an impatient client waits.
const PATIENCE: Duration = Duration::from_millis(200);
