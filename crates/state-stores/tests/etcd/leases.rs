//! Leases: none is left of what was not written, and a value ends when it should whatever the lease does.

use std::time::Duration;

use real_servers::etcd::{Etcd, Options};
use state::Precondition;

use crate::support::{
    VERSIONS, expiring, get, leases, matches, open, outcome, put, strong, value, within,
};

const HOUR: Duration = Duration::from_secs(3600);
const SECOND: Duration = Duration::from_secs(1);

#[tokio::test]
async fn nothing_is_left_of_the_lease_of_a_write_that_was_not_applied() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    for version in VERSIONS {
        let store = open(&etcd.endpoints(), version, &[]).await;
        store.write(&put("k", "1")).await.unwrap();
        let before = leases(&etcd).await;
        for condition in [Precondition::Absent, matches("1")] {
            let answer = store.write(&expiring("k", "2", HOUR).when(condition)).await;
            assert_eq!(outcome(answer), state::Outcome::Conflict);
        }
        let writes = [expiring("l", "2", HOUR), put("k", "2").when(Precondition::Absent)];
        store.transact(&writes).await.unwrap_err();
        let too_large = "x".repeat(4 << 20);
        store.write(&expiring("k", &too_large, HOUR)).await.unwrap_err();
        within(5 * SECOND, "the leases to be gone", async || leases(&etcd).await == before).await;
        // One for all that lives for the same time.
        store.transact(&[expiring("a", "1", HOUR), expiring("b", "1", HOUR)]).await.unwrap();
        assert_eq!(leases(&etcd).await, before + 1);
    }
}

#[tokio::test]
async fn a_value_that_is_over_is_absent_for_every_client_once_it_is_for_one() {
    let etcd = Etcd::start(3, &Options::default()).await.unwrap();
    for version in VERSIONS {
        let one = open(&etcd.endpoints(), version, &[]).await;
        let other = open(&etcd.endpoints(), version, &[]).await;
        let etag = one.write(&strong(expiring("k", "1", SECOND))).await.unwrap().etag.unwrap();
        // Leases begin anew with another leader, and deadlines do not.
        etcd.move_leader().await.unwrap();
        within(3 * SECOND, "the end of a value", async || get(&one, "k").await.is_none()).await;
        let answer = other.write(&put("k", "2").when(Precondition::Matches(etag))).await;
        assert_eq!(outcome(answer), state::Outcome::Conflict);
        other.write(&put("k", "3").when(Precondition::Absent)).await.unwrap();
        assert_eq!(value(&one, "k").await, "3");
    }
}

#[tokio::test]
async fn what_has_a_lease_is_replaced_and_deleted_by_its_etag() {
    let etcd = Etcd::start(1, &Options::default()).await.unwrap();
    // So few that there is no room to ask for the leases as well.
    let store = open(&etcd.endpoints(), "v2", &[("maxTxnOps", "2")]).await;
    let both = [expiring("a", "1", HOUR), put("b", "1")];
    let etag = store.transact(&both).await.unwrap()[0].etag.clone().unwrap();
    let now = Precondition::Matches(etag);
    let writes = [expiring("a", "2", HOUR).when(now.clone()), put("b", "2").when(now.clone())];
    let written = store.transact(&writes).await.unwrap();
    let stale = store.transact(&writes).await.unwrap_err();
    assert!(stale.is_conflict(), "{stale}");
    let now = Precondition::Matches(written[1].etag.clone().unwrap());
    store.write(&crate::support::delete("a").when(now)).await.unwrap();
    assert_eq!(get(&store, "a").await, None);
}
