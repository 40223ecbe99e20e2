//! The four outcomes when connections fail, by a proxy before the server that makes them fail.

use std::{sync::Arc, time::Duration};

use fault_proxy::{AtMark, Direction, Fault, Proxy};
use real_servers::redis::{Options, Redis};
use state::{FailureKind, Outcome, Precondition, Store, Write};

use tokio::time::timeout;

use crate::support::{
    delete, get, kind, matches, open, outcome, put, serves_again, strong, try_get, try_open, value,
    within,
};

/// A server, a proxy before it, and a store that goes through the proxy. `near` does not.
struct Chain {
    server: Redis,
    proxy: Proxy,
    far: Arc<dyn Store>,
    near: Arc<dyn Store>,
}

/// So short that a test need not wait long for it, and longer than anything takes on a busy machine.
const TIMEOUTS: &[(&str, &str)] =
    &[("readTimeout", "2s"), ("dialTimeout", "1s"), ("redisMaxRetries", "1")];

async fn chain() -> Chain {
    let server = Redis::start(&Options::default()).await.unwrap();
    let proxy = Proxy::start(server.address()).await.unwrap();
    let far = open(proxy.address(), TIMEOUTS).await;
    let near = open(server.address(), &[]).await;
    near.write(&put("k", "old")).await.unwrap();
    get(&far, "k").await.unwrap();
    // Both scripts are known to the server now, and both connections are open.
    far.write(&strong(put("other", "1"))).await.unwrap();
    Chain { server, proxy, far, near }
}

/// Every kind of write, each of the value `new`.
async fn writes(near: &Arc<dyn Store>) -> Vec<Write> {
    let current = crate::support::etag(near, "k").await;
    vec![
        put("k", "new"),
        put("k", "new").when(matches(&current)),
        put("absent", "new").when(Precondition::Absent),
        delete("k"),
        strong(put("k", "new")),
    ]
}

#[tokio::test]
async fn a_write_whose_reply_is_lost_is_unknown_and_was_applied_once() {
    let Chain { server: _server, proxy, far, near } = chain().await;
    for write in writes(&near).await {
        near.write(&put("k", "old")).await.unwrap();
        let write = match &write.precondition {
            Precondition::Matches(_) => {
                write.when(matches(&crate::support::etag(&near, "k").await))
            }
            _ => write,
        };
        proxy.set(Fault::LoseReply);
        let answer = far.write(&write).await;
        proxy.heal();
        assert_eq!(outcome(answer), Outcome::Unknown, "{write:?}");
        let name = write.key.as_str();
        match write.change {
            state::Change::Delete => assert_eq!(get(&near, name).await, None),
            state::Change::Put { .. } => assert_eq!(value(&near, name).await, "new"),
        }
        // It is never sent again, so what others write stays.
        near.write(&put(name, "newer")).await.unwrap();
        serves_again(&far, &put("other", "2")).await;
        assert_eq!(value(&near, name).await, "newer");
    }
}

#[tokio::test]
async fn a_transaction_and_a_bulk_save_whose_replies_are_lost_are_unknown() {
    let Chain { server: _server, proxy, far, near } = chain().await;
    let both = [put("k", "new"), put("l", "new")];
    proxy.set(Fault::LoseReply);
    let answer = far.transact(&both).await.unwrap_err();
    assert_eq!(answer.outcome(), Outcome::Unknown);
    assert_eq!((value(&near, "k").await, value(&near, "l").await), ("new".into(), "new".into()));
    proxy.heal();
    serves_again(&far, &put("other", "2")).await;
    proxy.set(Fault::LoseReply);
    for answer in far.write_many(&both).await {
        assert_eq!(outcome(answer), Outcome::Unknown);
    }
    proxy.heal();
    serves_again(&far, &put("other", "2")).await;
}

#[tokio::test]
async fn a_write_that_does_not_get_through_is_never_applied_and_never_a_conflict() {
    let Chain { server: _server, proxy, far, near } = chain().await;
    let cuts = [
        Fault::CutAfter { direction: Direction::ToServer, bytes: 0 },
        Fault::CutAfter { direction: Direction::ToServer, bytes: 20 },
        Fault::OnMark { mark: b"EVALSHA".into(), then: AtMark::Cut },
        Fault::Reset,
    ];
    for cut in cuts {
        for write in writes(&near).await {
            serves_again(&far, &put("other", "2")).await;
            proxy.set(cut.clone());
            let answer = outcome(far.write(&write).await);
            proxy.heal();
            assert_ne!(answer, Outcome::Conflict, "{cut:?}: {write:?}");
            assert_eq!(value(&near, "k").await, "old", "{cut:?}: {write:?}");
            assert_eq!(get(&near, "absent").await, None);
        }
    }
}

#[tokio::test]
async fn reads_are_tried_again_and_do_not_notice_a_lost_connection() {
    let Chain { server: _server, proxy, far, near: _near } = chain().await;
    for _ in 0..5 {
        proxy.cut_all();
        assert_eq!(value(&far, "k").await, "old");
    }
    proxy.set(Fault::LoseReply);
    let error = try_get(&far, "k").await.unwrap_err();
    assert!(error.to_string().contains("redis at"), "{error}");
    proxy.heal();
    assert_eq!(value(&far, "k").await, "old");
}

#[tokio::test]
async fn a_connection_that_ended_while_nobody_used_it_costs_no_request() {
    let Chain { server, proxy, far, near: _near } = chain().await;
    for _ in 0..5 {
        proxy.cut_all();
        // The end has to arrive.
        let ended = async || {
            let clients = server.info("clients").await.unwrap();
            clients["connected_clients"] == "2"
        };
        within(Duration::from_secs(10), "the end of connections", ended).await;
        tokio::task::yield_now().await;
        far.write(&put("k", "new")).await.unwrap();
        far.write(&strong(put("k", "new"))).await.unwrap();
    }
}

#[tokio::test]
async fn a_server_that_cannot_be_reached_was_asked_nothing() {
    let Chain { server, proxy, far, near } = chain().await;
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
    serves_again(&far, &put("k", "new")).await;
    server.process().kill().unwrap();
    let error = far.write(&put("k", "new")).await;
    assert!(error.is_err());
    let error = far.write(&put("k", "new")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
}

#[tokio::test]
async fn a_server_that_takes_connections_and_nothing_else_was_asked_nothing() {
    let Chain { server: _server, proxy, far, near: _near } = chain().await;
    proxy.set(Fault::HalfOpen);
    proxy.cut_all();
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "new")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    assert!(error.to_string().contains("did not take a connection"), "{error}");
    let address = proxy.address().to_string();
    let properties = [&[("redisHost", address.as_str())], TIMEOUTS].concat();
    let error = try_open(&properties).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    proxy.heal();
    serves_again(&far, &put("k", "new")).await;
}

#[tokio::test]
async fn a_server_that_stands_still_leaves_writes_unknown_and_serves_when_it_goes_on() {
    let Chain { server, proxy: _proxy, far, near: _near } = chain().await;
    server.process().pause().unwrap();
    let answer = far.write(&put("k", "new")).await.unwrap_err();
    assert_eq!(answer.outcome(), Outcome::Unknown, "{answer}");
    assert!(answer.to_string().contains("gave no answer within"), "{answer}");
    server.process().resume().unwrap();
    serves_again(&far, &put("k", "newer")).await;
    assert_eq!(value(&far, "k").await, "newer");
}

#[tokio::test]
async fn clients_that_give_up_early_do_not_keep_a_dead_connection_alive() {
    let Chain { server: _server, proxy, far, near: _near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    // Each waits for a shorter time than the store would.
    let write = put("k", "new");
    let impatient = || timeout(Duration::from_millis(700), far.write(&write));
    let accepted = proxy.counts().accepted;
    within(Duration::from_secs(10), "another connection", async || {
        assert!(impatient().await.is_err() || proxy.counts().accepted > accepted);
        proxy.counts().accepted > accepted
    })
    .await;
    proxy.heal();
    serves_again(&far, &put("other", "2")).await;
}

#[tokio::test]
async fn a_partition_that_ends_delivers_late_what_was_unknown() {
    let Chain { server: _server, proxy, far, near } = chain().await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    assert_eq!(outcome(far.write(&put("k", "late")).await), Outcome::Unknown);
    assert_eq!(value(&near, "k").await, "old");
    proxy.heal();
    serves_again(&far, &put("other", "2")).await;
}

#[tokio::test]
async fn bytes_that_come_alone_or_late_are_understood() {
    let Chain { server: _server, proxy, far, near: _near } = chain().await;
    let slow = Fault::Delay {
        direction: Direction::Both,
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(50),
    };
    for fault in [Fault::Chop { direction: Direction::Both }, slow] {
        proxy.set(fault);
        let long = format!("{:?}", "x".repeat(5_000));
        far.write(&put("k", &long)).await.unwrap();
        far.write(&strong(put("l", &long))).await.unwrap();
        far.transact(&[put("k", &long), put("m", &long)]).await.unwrap();
        assert_eq!(value(&far, "k").await, long);
        let answer = far.write(&put("k", "1").when(matches("1"))).await;
        assert_eq!(outcome(answer), Outcome::Conflict);
    }
}

#[tokio::test]
async fn requests_beyond_what_may_wait_are_refused_at_once() {
    let Chain { server, proxy: _proxy, far, near: _near } = chain().await;
    server.process().pause().unwrap();
    let waiting: Vec<_> = (0..5000)
        .map(|_| {
            let far = far.clone();
            tokio::spawn(async move { far.write(&put("k", "new")).await })
        })
        .collect();
    let mut refused = 0;
    for task in waiting {
        let error = task.await.unwrap().unwrap_err();
        match kind(&error) {
            FailureKind::Overloaded => refused += 1,
            // Those who came so late that the connection was given up were not sent.
            other => {
                assert!(matches!(other, FailureKind::Lost | FailureKind::Unavailable), "{error}")
            }
        }
    }
    assert!(refused > 0 && refused <= 5000 - 4096, "{refused}");
    server.process().resume().unwrap();
    serves_again(&far, &put("k", "newer")).await;
}
