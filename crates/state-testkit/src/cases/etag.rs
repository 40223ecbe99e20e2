//! The table of the contract's model, row by row.

use anyhow::{Context, Result, ensure};
use state::{
    ETag,
    Precondition::{Absent, Matches},
};

use super::{EVERY_WAY, Group, clauses};
use crate::scope::Scope;

pub(super) const GROUPS: &[Group] = &[Group {
    name: "etag",
    ways: EVERY_WAY,
    needs: |it| it.etag,
    clauses: clauses![
        each_put_makes_a_fresh_etag,
        reading_changes_no_etag,
        create_of_an_absent_key_succeeds,
        create_of_a_present_key_conflicts,
        create_of_a_deleted_key_succeeds,
        put_with_the_current_etag_succeeds,
        put_with_the_etag_it_was_told_succeeds,
        put_with_a_used_etag_conflicts,
        stale_put_conflicts,
        put_with_an_etag_on_an_absent_key_conflicts,
        put_with_an_etag_never_issued_is_not_applied,
        put_with_the_etag_of_another_key_conflicts,
        delete_with_the_current_etag_succeeds,
        stale_delete_conflicts,
        delete_with_an_etag_on_an_absent_key_conflicts,
        delete_with_an_etag_never_issued_is_not_applied,
        delete_of_a_key_that_must_be_absent_conflicts,
        delete_of_an_absent_key_that_must_be_succeeds,
        etag_from_before_a_delete_matches_nothing_later,
    ],
}];

async fn each_put_makes_a_fresh_etag(it: &Scope) -> Result<()> {
    let mut seen = Vec::new();
    for _ in 0..5 {
        it.succeeds(it.put("k", 7)).await?;
        let etag = it.etag("k").await?;
        ensure!(!seen.contains(&etag), "{etag:?} was issued twice");
        seen.push(etag);
    }
    Ok(())
}

async fn reading_changes_no_etag(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    ensure!(it.etag("k").await? == etag);
    Ok(())
}

async fn create_of_an_absent_key_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1).when(Absent)).await?;
    Ok(())
}

async fn create_of_a_present_key_conflicts(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.conflicts(it.put("k", 2).when(Absent)).await
}

async fn create_of_a_deleted_key_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1).when(Absent)).await?;
    it.succeeds(it.delete("k")).await?;
    it.succeeds(it.put("k", 2).when(Absent)).await?;
    Ok(())
}

async fn put_with_the_current_etag_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let first = it.etag("k").await?;
    it.succeeds(it.put("k", 2).when(Matches(first.clone()))).await?;
    ensure!(it.etag("k").await? != first);
    Ok(())
}

async fn put_with_the_etag_it_was_told_succeeds(it: &Scope) -> Result<()> {
    let Some(etag) = it.succeeds(it.put("k", 1)).await?.etag else { return Ok(()) };
    it.succeeds(it.put("k", 2).when(Matches(etag))).await?;
    Ok(())
}

async fn put_with_a_used_etag_conflicts(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    it.succeeds(it.put("k", 2).when(Matches(etag.clone()))).await?;
    it.conflicts(it.put("k", 2).when(Matches(etag))).await
}

async fn stale_put_conflicts(it: &Scope) -> Result<()> {
    let stale = stale_etag(it, "k").await?;
    it.conflicts(it.put("k", 3).when(Matches(stale))).await
}

async fn put_with_an_etag_on_an_absent_key_conflicts(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    it.succeeds(it.delete("k")).await?;
    it.conflicts(it.put("k", 2).when(Matches(etag.clone()))).await?;
    it.conflicts(it.put("never written", 2).when(Matches(etag))).await
}

async fn put_with_an_etag_never_issued_is_not_applied(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    for etag in never_issued()? {
        it.conflicts_or_is_invalid(it.put("k", 2).when(Matches(etag.clone()))).await?;
        it.conflicts_or_is_invalid(it.put("absent", 2).when(Matches(etag))).await?;
    }
    Ok(())
}

async fn put_with_the_etag_of_another_key_conflicts(it: &Scope) -> Result<()> {
    let etag = etag_of_another(it, "k").await?;
    it.conflicts(it.put("k", 2).when(Matches(etag.clone()))).await?;
    it.conflicts(it.delete("k").when(Matches(etag))).await
}

async fn delete_with_the_current_etag_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    it.succeeds(it.delete("k").when(Matches(etag))).await?;
    Ok(())
}

async fn stale_delete_conflicts(it: &Scope) -> Result<()> {
    let stale = stale_etag(it, "k").await?;
    it.conflicts(it.delete("k").when(Matches(stale))).await
}

async fn delete_with_an_etag_on_an_absent_key_conflicts(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    it.succeeds(it.delete("k").when(Matches(etag.clone()))).await?;
    it.conflicts(it.delete("k").when(Matches(etag.clone()))).await?;
    it.conflicts(it.delete("never written").when(Matches(etag))).await
}

async fn delete_with_an_etag_never_issued_is_not_applied(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    for etag in never_issued()? {
        it.conflicts_or_is_invalid(it.delete("k").when(Matches(etag.clone()))).await?;
        it.conflicts_or_is_invalid(it.delete("absent").when(Matches(etag))).await?;
    }
    Ok(())
}

async fn delete_of_a_key_that_must_be_absent_conflicts(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.conflicts(it.delete("k").when(Absent)).await
}

async fn delete_of_an_absent_key_that_must_be_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.delete("k").when(Absent)).await?;
    Ok(())
}

async fn etag_from_before_a_delete_matches_nothing_later(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    let old = it.etag("k").await?;
    for _ in 0..3 {
        it.succeeds(it.delete("k")).await?;
        it.succeeds(it.put("k", 1)).await?;
        it.conflicts(it.put("k", 2).when(Matches(old.clone()))).await?;
        it.conflicts(it.delete("k").when(Matches(old.clone()))).await?;
    }
    Ok(())
}

/// Leaves `name` at its second version, and returns the first.
async fn stale_etag(it: &Scope, name: &str) -> Result<ETag> {
    it.succeeds(it.put(name, 1)).await?;
    let stale = it.etag(name).await?;
    it.succeeds(it.put(name, 2)).await?;
    ensure!(it.etag(name).await? != stale, "the ETag is still {stale:?}");
    Ok(stale)
}

/// Writes `name` and another key, and returns the latter's version, which `name` never had.
async fn etag_of_another(it: &Scope, name: &str) -> Result<ETag> {
    // Keys may count their versions each for itself; the other one is further on.
    it.succeeds(it.put("other", 1)).await?;
    it.succeeds(it.put(name, 1)).await?;
    it.succeeds(it.put("other", 2)).await?;
    it.etag("other").await
}

/// ETags in forms that some store would read as a version, and one that none would.
fn never_issued() -> Result<Vec<ETag>> {
    let forms = ["0", "-1", "18446744073709551615", "no version", "\"1\"", "*"];
    forms.iter().map(|it| ETag::new(it).context("not empty")).collect()
}
