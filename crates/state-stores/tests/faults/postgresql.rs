//! What only PostgreSQL can be asked: transactions that are decided by a statement of their own, and many connections.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::Relaxed},
    },
    time::Duration,
};

use fault_proxy::{AtMark, Direction, Fault};
use state::{Outcome, Precondition};
use tokio::time::timeout;

use crate::{
    subjects::{Chain, Subject, chain},
    words::{RECOVERY_MAX, delete, etag, get, matches, put, serves_again, try_get, value, within},
};

/// How long an impatient client waits.
const PATIENCE: Duration = Duration::from_millis(200);

#[tokio::test]
async fn where_values_have_an_etag_of_ours_a_lost_reply_is_looked_for() {
    let Chain { server: _server, proxy, far, near } = chain(Subject::PostgresqlV2).await;
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
async fn a_transaction_that_was_not_told_to_commit_is_tried_again() {
    for subject in [Subject::PostgresqlV1, Subject::PostgresqlV2] {
        let Chain { server: _server, proxy, far, near } = chain(subject).await;
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

#[tokio::test(flavor = "multi_thread")]
async fn clients_that_give_up_early_do_not_keep_it_from_serving_again() {
    let Chain { server, proxy, far, near: _near } = chain(Subject::PostgresqlV2).await;
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
            timeout(RECOVERY_MAX, far.write(&write)).await.is_ok_and(|it| it.is_ok())
                && timeout(RECOVERY_MAX, far.transact(std::slice::from_ref(&write)))
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
