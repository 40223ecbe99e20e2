use std::time::{Duration, Instant, SystemTime};

use anyhow::{Context, Result, ensure};
use state::Precondition::{Absent, Matches};

use super::{EVERY_WAY, Group, clauses};
use crate::scope::{HOUR, SECOND, Scope, Way};

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "ttl",
        ways: EVERY_WAY,
        needs: |it| it.ttl,
        clauses: clauses![
            value_lives_for_its_time_and_then_is_gone,
            expiry_is_told,
            longest_time_to_live_is_honoured,
            put_without_ttl_makes_a_value_permanent,
            put_with_ttl_replaces_the_ttl,
            permanent_value_can_be_given_a_ttl,
            expired_value_can_be_put,
            expired_value_can_be_deleted,
        ],
    },
    Group {
        name: "ttl",
        ways: EVERY_WAY,
        needs: |it| it.ttl && it.etag,
        clauses: clauses![
            conflict_leaves_the_expiry_alone,
            conditional_put_without_ttl_makes_a_value_permanent,
            expired_value_can_be_created,
            put_with_the_etag_of_an_expired_value_conflicts,
            delete_with_the_etag_of_an_expired_value_conflicts,
            expired_value_counts_as_absent_for_a_delete,
            etag_of_an_expired_value_matches_no_later_one,
        ],
    },
    Group {
        name: "ttl",
        ways: &[Way::Single, Way::TwoInstances],
        needs: |it| it.ttl,
        clauses: clauses![expired_value_is_absent_from_bulk_reads],
    },
    Group {
        name: "ttl",
        ways: &[Way::Single, Way::TwoInstances],
        needs: |it| it.ttl && it.list,
        clauses: clauses![expired_key_is_not_listed],
    },
];

/// Dapr's longest time to live. Source: the range of its `ttlInSeconds`.
const TTL_MAX: Duration = Duration::from_secs(i32::MAX as u64);

async fn value_lives_for_its_time_and_then_is_gone(it: &Scope) -> Result<()> {
    let earliest = Instant::now() + SECOND;
    it.send_alone(&it.expiring("k", 1, SECOND)).await??;
    it.is_gone_in_time("k", Instant::now() + SECOND).await?;
    ensure!(Instant::now() >= earliest, "it was gone before its time");
    Ok(())
}

async fn expiry_is_told(it: &Scope) -> Result<()> {
    let earliest = SystemTime::now() + HOUR - SECOND;
    it.succeeds(it.expiring("k", 1, HOUR)).await?;
    let latest = SystemTime::now() + HOUR + 2 * SECOND;
    let told = it.item("k").await?.expires_at.context("it expires")?;
    ensure!(earliest <= told && told <= latest, "{told:?}, not {earliest:?} to {latest:?}");
    Ok(())
}

async fn longest_time_to_live_is_honoured(it: &Scope) -> Result<()> {
    let earliest = SystemTime::now() + TTL_MAX - SECOND;
    it.succeeds(it.expiring("k", 1, TTL_MAX)).await?;
    let told = it.item("k").await?.expires_at.context("it expires")?;
    ensure!(told >= earliest, "{told:?}, not {earliest:?}");
    Ok(())
}

async fn put_without_ttl_makes_a_value_permanent(it: &Scope) -> Result<()> {
    it.send_alone(&it.expiring("k", 1, SECOND)).await??;
    it.succeeds(it.put("k", 2)).await?;
    outlives_a_second(it, "k").await
}

async fn put_with_ttl_replaces_the_ttl(it: &Scope) -> Result<()> {
    it.send_alone(&it.expiring("longer", 1, SECOND)).await??;
    it.succeeds(it.expiring("longer", 2, HOUR)).await?;
    it.succeeds(it.expiring("shorter", 1, HOUR)).await?;
    it.send_alone(&it.expiring("shorter", 2, SECOND)).await??;
    it.is_gone_in_time("shorter", Instant::now() + SECOND).await?;
    it.item("longer").await?;
    Ok(())
}

async fn permanent_value_can_be_given_a_ttl(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.send_alone(&it.expiring("k", 2, SECOND)).await??;
    it.is_gone_in_time("k", Instant::now() + SECOND).await
}

async fn expired_value_can_be_put(it: &Scope) -> Result<()> {
    it.expired("k").await?;
    it.succeeds(it.put("k", 2)).await?;
    // Whoever collects the expired value must not take this one.
    outlives_a_second(it, "k").await
}

async fn expired_value_can_be_deleted(it: &Scope) -> Result<()> {
    it.expired("k").await?;
    it.succeeds(it.delete("k")).await?;
    Ok(())
}

async fn conflict_leaves_the_expiry_alone(it: &Scope) -> Result<()> {
    it.succeeds(it.expiring("k", 1, HOUR)).await?;
    it.conflicts(it.put("k", 2).when(Absent)).await?;
    it.conflicts(it.expiring("k", 2, 2 * HOUR).when(Absent)).await
}

async fn conditional_put_without_ttl_makes_a_value_permanent(it: &Scope) -> Result<()> {
    let etag = it.short_lived("k").await?.etag.context("had an ETag")?;
    it.succeeds(it.put("k", 2).when(Matches(etag))).await?;
    outlives_a_second(it, "k").await
}

async fn expired_value_can_be_created(it: &Scope) -> Result<()> {
    let old = it.expired("k").await?;
    it.succeeds(it.put("k", 1).when(Absent)).await?;
    ensure!(it.item("k").await?.etag != old.etag, "the ETag was used before");
    outlives_a_second(it, "k").await
}

async fn put_with_the_etag_of_an_expired_value_conflicts(it: &Scope) -> Result<()> {
    let etag = it.expired("k").await?.etag.context("had an ETag")?;
    it.conflicts(it.put("k", 2).when(Matches(etag))).await
}

async fn delete_with_the_etag_of_an_expired_value_conflicts(it: &Scope) -> Result<()> {
    let etag = it.expired("k").await?.etag.context("had an ETag")?;
    it.conflicts(it.delete("k").when(Matches(etag))).await
}

async fn expired_value_counts_as_absent_for_a_delete(it: &Scope) -> Result<()> {
    it.expired("k").await?;
    it.succeeds(it.delete("k").when(Absent)).await?;
    Ok(())
}

async fn etag_of_an_expired_value_matches_no_later_one(it: &Scope) -> Result<()> {
    let etag = it.expired("k").await?.etag.context("had an ETag")?;
    it.succeeds(it.put("k", 1)).await?;
    it.conflicts(it.put("k", 2).when(Matches(etag.clone()))).await?;
    it.conflicts(it.delete("k").when(Matches(etag))).await
}

async fn expired_value_is_absent_from_bulk_reads(it: &Scope) -> Result<()> {
    it.expired("k").await?;
    it.succeeds(it.put("lasting", 1)).await?;
    let reads = [it.read("k"), it.read("lasting"), it.read("k")];
    let mut found = Vec::new();
    for answer in it.reader.get_many(&reads).await {
        found.push(answer?.is_some());
    }
    ensure!(found == [false, true, false]);
    Ok(())
}

async fn expired_key_is_not_listed(it: &Scope) -> Result<()> {
    it.expired("k").await?;
    it.succeeds(it.put("l", 1)).await?;
    let page = it.reader.list(&it.prefix, None, 1).await?;
    ensure!(page.keys == [it.key("l")]);
    ensure!(!page.more);
    Ok(())
}

/// Checks that `name` is still there when a value that lives for a second from now is gone.
async fn outlives_a_second(it: &Scope, name: &str) -> Result<()> {
    it.expired("a second").await?;
    it.item(name).await?;
    Ok(())
}
