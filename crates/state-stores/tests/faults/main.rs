//! The four outcomes when connections fail: the same questions for every store that is reached over a network, asked
//! through a proxy that makes its connections fail. `cargo test -p state-stores --test faults`
//!
//! The tests start their servers themselves, from Debian's packages, and fail without them.

#![allow(clippy::unwrap_used, reason = "a test may fail anywhere")]

#[path = "../words.rs"]
mod words;

mod postgresql;
mod redis;
mod subjects;

use std::{sync::Arc, time::Duration};

use fault_proxy::{Direction, Fault};
use state::{Change, FailureKind, Outcome, Precondition, Store, Write};

use crate::{
    subjects::{Chain, Subject, chain},
    words::{
        RECOVERY_MAX, delete, etag, get, key, kind, matches, outcome, put, serves_again, strong,
        try_get, value, within,
    },
};

/// Asks these questions of each store, in a module of its name.
macro_rules! of_each_store {
    ([$($module:ident: $subject:ident,)*] $questions:tt) => {
        $(of_each_store!(@ $module $subject $questions);)*
    };
    (@ $module:ident $subject:ident [$($question:ident,)*]) => {
        mod $module {
            use crate::subjects::Subject;
            $(
                #[tokio::test]
                async fn $question() {
                    crate::$question(Subject::$subject).await;
                }
            )*
        }
    };
}

of_each_store! {
    [
        etcd_v1: EtcdV1,
        etcd_v2: EtcdV2,
        mysql: Mysql,
        postgresql_v1: PostgresqlV1,
        postgresql_v2: PostgresqlV2,
        redis_v1: Redis,
    ]
    [
        a_write_whose_reply_is_lost_was_applied_once_and_is_never_a_conflict,
        a_bulk_save_whose_reply_is_lost_is_unknown,
        a_transaction_whose_reply_is_lost_is_whole,
        a_write_that_does_not_get_through_is_never_applied_and_never_a_conflict,
        reads_are_tried_again_and_do_not_notice_a_lost_connection,
        a_server_that_cannot_be_reached_was_asked_nothing,
        a_server_that_takes_connections_and_nothing_else_was_asked_nothing,
        a_server_that_stands_still_leaves_writes_unknown_and_serves_when_it_goes_on,
        bytes_that_come_alone_or_late_are_understood,
    ]
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

/// Waits for what a write does whose reply was lost: some servers begin to answer before they have done it.
async fn becomes(near: &Arc<dyn Store>, name: &str, expected: Option<&str>) {
    let what = format!("{name} is {expected:?}");
    within(RECOVERY_MAX, &what, async || {
        get(near, name).await.map(|it| it.value) == expected.map(|it| it.to_owned().into())
    })
    .await;
}

async fn a_write_whose_reply_is_lost_was_applied_once_and_is_never_a_conflict(subject: Subject) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    for write in writes(&near).await {
        near.write(&put("k", "\"old\"")).await.unwrap();
        let write = match &write.precondition {
            Precondition::Matches(_) => write.when(matches(&etag(&near, "k").await)),
            _ => write,
        };
        // Where statements are prepared, this one is now, and the reply that is lost is the one that matters.
        let elsewhere = Write { key: key("other"), ..write.clone() };
        let prepared = far.write(&elsewhere).await;
        assert!(prepared.map_or_else(|e| e.outcome() == Outcome::Conflict, |_| true));
        proxy.set(subject.lost_reply());
        let answer = far.write(&write).await;
        proxy.heal();
        assert_eq!(outcome(answer), Outcome::Unknown, "{write:?}");
        let name = write.key.as_str();
        match write.change {
            Change::Delete => becomes(&near, name, None).await,
            Change::Put { .. } => becomes(&near, name, Some("\"new\"")).await,
        }
        // It is never sent again, so what others write stays.
        near.write(&put(name, "\"newer\"")).await.unwrap();
        serves_again(&far, &put("other", "2")).await;
        assert_eq!(value(&near, name).await, "\"newer\"");
    }
}

async fn a_bulk_save_whose_reply_is_lost_is_unknown(subject: Subject) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    proxy.set(subject.lost_reply());
    for answer in far.write_many(&[put("k", "\"new\""), put("l", "\"new\"")]).await {
        assert_eq!(outcome(answer), Outcome::Unknown);
    }
    proxy.heal();
    becomes(&near, "l", Some("\"new\"")).await;
    serves_again(&far, &put("other", "2")).await;
}

async fn a_transaction_whose_reply_is_lost_is_whole(subject: Subject) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    proxy.set(subject.lost_reply());
    let error = far.transact(&[put("k", "\"new\""), put("l", "\"new\"")]).await.unwrap_err();
    proxy.heal();
    match error.outcome() {
        // The reply to its beginning was lost, where it has one.
        Outcome::NotApplied => {
            assert_eq!(value(&near, "k").await, "\"old\"");
            assert_eq!(get(&near, "l").await, None);
        }
        Outcome::Unknown => {
            becomes(&near, "l", Some("\"new\"")).await;
            assert_eq!(value(&near, "k").await, "\"new\"");
        }
        other => panic!("{other:?}: {error}"),
    }
    serves_again(&far, &put("other", "2")).await;
}

async fn a_write_that_does_not_get_through_is_never_applied_and_never_a_conflict(subject: Subject) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    let cuts = [
        Fault::CutAfter { direction: Direction::ToServer, bytes: 0 },
        Fault::CutAfter { direction: Direction::ToServer, bytes: 20 },
        Fault::Reset,
    ];
    for cut in cuts.into_iter().chain(subject.own_cuts()) {
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

async fn reads_are_tried_again_and_do_not_notice_a_lost_connection(subject: Subject) {
    let Chain { server: _server, proxy, far, near: _near } = chain(subject).await;
    for _ in 0..5 {
        proxy.cut_all();
        assert_eq!(value(&far, "k").await, "\"old\"");
    }
    proxy.set(Fault::LoseReply);
    let error = try_get(&far, "k").await.unwrap_err();
    assert_eq!(kind(&error), FailureKind::Unavailable);
    assert!(error.to_string().contains(&format!("{} at", subject.name())), "{error}");
    proxy.heal();
    assert_eq!(value(&far, "k").await, "\"old\"");
}

async fn a_server_that_cannot_be_reached_was_asked_nothing(subject: Subject) {
    let Chain { server, proxy, far, near } = chain(subject).await;
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
    server.end().await;
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "\"new\"")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    server.process().restart().await.unwrap();
    serves_again(&far, &put("k", "\"newer\"")).await;
}

async fn a_server_that_takes_connections_and_nothing_else_was_asked_nothing(subject: Subject) {
    let Chain { server, proxy, far, near: _near } = chain(subject).await;
    proxy.set(Fault::HalfOpen);
    proxy.cut_all();
    let _ = far.write(&put("other", "2")).await;
    let error = far.write(&put("k", "\"new\"")).await.unwrap_err();
    assert_eq!(error.outcome(), Outcome::NotApplied, "{error}");
    let error = subject.open(&server, proxy.address(), subject.timeouts()).await;
    assert_eq!(error.err().unwrap().outcome(), Outcome::NotApplied);
    proxy.heal();
    serves_again(&far, &put("k", "\"new\"")).await;
}

async fn a_server_that_stands_still_leaves_writes_unknown_and_serves_when_it_goes_on(
    subject: Subject,
) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    proxy.set(Fault::Blackhole { direction: Direction::Both });
    let answer = far.write(&put("k", "\"late\"")).await.unwrap_err();
    assert_eq!(answer.outcome(), Outcome::Unknown, "{answer}");
    assert!(answer.to_string().contains("gave no answer within"), "{answer}");
    assert_eq!(value(&near, "k").await, "\"old\"");
    proxy.heal();
    serves_again(&far, &put("k", "\"newer\"")).await;
}

async fn bytes_that_come_alone_or_late_are_understood(subject: Subject) {
    let Chain { server: _server, proxy, far, near } = chain(subject).await;
    let slow = Fault::Delay {
        direction: Direction::Both,
        latency: Duration::from_millis(20),
        jitter: Duration::from_millis(50),
    };
    for fault in [Fault::Chop { direction: Direction::Both }, slow] {
        let stale = etag(&near, "k").await;
        proxy.set(fault);
        let long = format!("{:?}", "x".repeat(5_000));
        far.write(&put("k", &long)).await.unwrap();
        far.write(&strong(put("l", &long))).await.unwrap();
        far.transact(&[put("k", &long), put("m", &long)]).await.unwrap();
        assert_eq!(value(&far, "k").await, long);
        let answer = far.write(&put("k", "1").when(matches(&stale))).await;
        assert_eq!(outcome(answer), Outcome::Conflict);
        let answers = far.write_many(&[put("a", &long), put("b", &long)]).await;
        assert!(answers.iter().all(Result::is_ok));
    }
}
