//! What only Redis can be asked: how it counts its clients, and how long its one queue may be.

use std::time::Duration;

use fault_proxy::{Direction, Fault};
use state::FailureKind;
use tokio::time::timeout;

use crate::{
    subjects::{Chain, Server, Subject, chain},
    words::{kind, put, serves_again, strong, within},
};

#[tokio::test]
async fn a_connection_that_ended_while_nobody_used_it_costs_no_request() {
    let Chain { server, proxy, far, near: _near } = chain(Subject::Redis).await;
    for _ in 0..5 {
        proxy.cut_all();
        // The end has to arrive.
        let ended = async || {
            let Server::Redis(redis) = &server else { panic!("it is a Redis") };
            let clients = redis.info("clients").await.unwrap();
            clients["connected_clients"] == "2"
        };
        within(Duration::from_secs(10), "the end of connections", ended).await;
        tokio::task::yield_now().await;
        far.write(&put("k", "new")).await.unwrap();
        far.write(&strong(put("k", "new"))).await.unwrap();
    }
}

#[tokio::test]
async fn clients_that_give_up_early_do_not_keep_a_dead_connection_alive() {
    let Chain { server: _server, proxy, far, near: _near } = chain(Subject::Redis).await;
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
async fn requests_beyond_what_may_wait_are_refused_at_once() {
    let Chain { server, proxy: _proxy, far, near: _near } = chain(Subject::Redis).await;
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
