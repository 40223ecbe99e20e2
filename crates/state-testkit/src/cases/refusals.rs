//! What a store cannot do it says; it never does something else instead.

use anyhow::{Context, Result, bail, ensure};
use state::{
    Consistency, ETag, FailureKind, Feature,
    Precondition::{Absent, Matches},
    Read, Write,
};

use super::{EVERY_WAY, Group, ONE_WAY, clauses};
use crate::scope::{HOUR, Scope, is_failure};

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "refusals",
        ways: EVERY_WAY,
        needs: |it| !it.etag,
        clauses: clauses![condition_without_etags_is_refused],
    },
    Group {
        name: "refusals",
        ways: EVERY_WAY,
        needs: |it| !it.ttl,
        clauses: clauses![ttl_is_refused],
    },
    Group {
        name: "refusals",
        ways: ONE_WAY,
        needs: |it| it.transaction_len_max.is_none(),
        clauses: clauses![transaction_is_refused],
    },
    Group {
        name: "refusals",
        ways: ONE_WAY,
        needs: |it| !it.list,
        clauses: clauses![listing_is_refused],
    },
    Group {
        name: "refusals",
        ways: EVERY_WAY,
        needs: |it| it.consistency.strong_write.is_none(),
        clauses: clauses![strong_write_is_refused],
    },
    Group {
        name: "refusals",
        ways: ONE_WAY,
        needs: |it| it.consistency.strong_read.is_none(),
        clauses: clauses![strong_read_is_refused],
    },
];

async fn condition_without_etags_is_refused(it: &Scope) -> Result<()> {
    let kind = FailureKind::Unsupported(Feature::ETags);
    let etag = ETag::new("1").context("not empty")?;
    it.is_refused(it.put("k", 1).when(Absent), kind).await?;
    it.succeeds(it.put("k", 1)).await?;
    it.is_refused(it.put("k", 2).when(Matches(etag.clone())), kind).await?;
    it.is_refused(it.delete("k").when(Matches(etag)), kind).await
}

async fn ttl_is_refused(it: &Scope) -> Result<()> {
    it.is_refused(it.expiring("k", 1, HOUR), FailureKind::Unsupported(Feature::Ttl)).await
}

async fn transaction_is_refused(it: &Scope) -> Result<()> {
    let Err(error) = it.store.transact(&[it.put("a", 1), it.put("b", 1)]).await else {
        bail!("a transaction was admitted");
    };
    is_failure(&error, FailureKind::Unsupported(Feature::Transactions))?;
    ensure!(it.is_absent("a").await? && it.is_absent("b").await?);
    Ok(())
}

async fn listing_is_refused(it: &Scope) -> Result<()> {
    let Err(error) = it.store.list(&it.prefix, None, 10).await else {
        bail!("a listing was given");
    };
    is_failure(&error, FailureKind::Unsupported(Feature::List))
}

async fn strong_write_is_refused(it: &Scope) -> Result<()> {
    let write = Write { consistency: Consistency::Strong, ..it.put("k", 1) };
    it.is_refused(write, FailureKind::Unsupported(Feature::StrongConsistency)).await
}

async fn strong_read_is_refused(it: &Scope) -> Result<()> {
    let read = Read { consistency: Consistency::Strong, ..it.read("k") };
    let Err(error) = it.store.get(&read).await else { bail!("a strong read was answered") };
    is_failure(&error, FailureKind::Unsupported(Feature::StrongConsistency))
}
