use anyhow::{Context, Result, bail, ensure};
use state::{
    Capabilities, Error,
    Precondition::{Absent, Matches},
    Write, Written,
};

use super::{Group, clauses};
use crate::scope::{Scope, Way, found_is_right};

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "transaction",
        ways: WAYS,
        needs: has_transactions,
        clauses: clauses![
            empty_transaction_succeeds,
            all_writes_happen,
            writes_to_one_key_apply_in_order,
            many_writes_happen,
        ],
    },
    Group {
        name: "transaction",
        ways: WAYS,
        needs: |it| has_transactions(it) && it.etag,
        clauses: clauses![
            etags_are_answered_in_order,
            conditions_that_hold_let_all_writes_happen,
            conditions_see_the_state_at_the_start,
            condition_cannot_be_met_within_the_transaction,
            conflict_names_its_write_and_undoes_all,
            conflict_of_a_delete_names_its_write_and_undoes_all,
            etag_made_within_is_good_afterwards,
        ],
    },
];

const WAYS: &[Way] = &[Way::Single, Way::TwoInstances];

/// The most writes a case puts into one transaction, whatever the store takes.
const MANY: usize = 100;

fn has_transactions(it: &Capabilities) -> bool {
    it.transaction_len_max.is_some_and(|it| it >= 4)
}

async fn empty_transaction_succeeds(it: &Scope) -> Result<()> {
    ensure!(it.store.transact(&[]).await?.is_empty());
    Ok(())
}

async fn all_writes_happen(it: &Scope) -> Result<()> {
    it.store.write(&it.put("a", 9)).await?;
    it.store.write(&it.put("d", 9)).await?;
    let writes = [it.delete("a"), it.put("b", 1), it.put("c", 2), it.put("d", 3)];
    commit(it, &writes).await?;
    ensure!(it.is_absent("a").await?);
    ensure!(it.value("b").await? == "1");
    ensure!(it.value("c").await? == "2");
    ensure!(it.value("d").await? == "3");
    Ok(())
}

async fn writes_to_one_key_apply_in_order(it: &Scope) -> Result<()> {
    commit(it, &[it.put("a", 1), it.delete("a"), it.put("a", 3)]).await?;
    ensure!(it.value("a").await? == "3");
    commit(it, &[it.put("a", 4), it.put("b", 1), it.delete("a"), it.put("b", 2)]).await?;
    ensure!(it.is_absent("a").await?);
    ensure!(it.value("b").await? == "2");
    Ok(())
}

async fn many_writes_happen(it: &Scope) -> Result<()> {
    let len = it.capabilities().transaction_len_max.context("has transactions")?.min(MANY);
    let writes: Vec<_> = (0..len).map(|i| it.put(&format!("k{i}"), i)).collect();
    commit(it, &writes).await?;
    for i in 0..len {
        ensure!(it.value(&format!("k{i}")).await? == i.to_string());
    }
    Ok(())
}

async fn etags_are_answered_in_order(it: &Scope) -> Result<()> {
    it.store.write(&it.put("d", 1)).await?;
    let writes = [it.put("a", 1), it.delete("d"), it.put("b", 1), it.put("a", 2)];
    let written = commit(it, &writes).await?;
    ensure!(written[1].etag.is_none(), "a delete makes no version");
    let [Some(first), Some(b), Some(second)] =
        [&written[0], &written[2], &written[3]].map(|it| &it.etag)
    else {
        return Ok(());
    };
    ensure!(it.etag("b").await? == *b);
    ensure!(it.etag("a").await? == *second);
    ensure!(first != second, "two versions have one ETag");
    Ok(())
}

async fn conditions_that_hold_let_all_writes_happen(it: &Scope) -> Result<()> {
    it.store.write(&it.put("a", 1)).await?;
    it.store.write(&it.put("b", 1)).await?;
    let (a, b) = (it.etag("a").await?, it.etag("b").await?);
    let writes = [
        it.put("a", 2).when(Matches(a)),
        it.delete("b").when(Matches(b)),
        it.put("c", 2).when(Absent),
        it.delete("d").when(Absent),
    ];
    commit(it, &writes).await?;
    ensure!(it.value("a").await? == "2");
    ensure!(it.is_absent("b").await?);
    ensure!(it.value("c").await? == "2");
    Ok(())
}

async fn conditions_see_the_state_at_the_start(it: &Scope) -> Result<()> {
    commit(it, &[it.put("k", 1).when(Absent), it.put("k", 2).when(Absent)]).await?;
    ensure!(it.value("k").await? == "2");
    let etag = it.etag("k").await?;
    let writes = [it.put("k", 3).when(Matches(etag.clone())), it.delete("k").when(Matches(etag))];
    commit(it, &writes).await?;
    ensure!(it.is_absent("k").await?);
    Ok(())
}

async fn condition_cannot_be_met_within_the_transaction(it: &Scope) -> Result<()> {
    it.store.write(&it.put("k", 1)).await?;
    conflicts_at(it, 1, &[it.delete("k"), it.put("k", 2).when(Absent)], "k").await
}

async fn conflict_names_its_write_and_undoes_all(it: &Scope) -> Result<()> {
    it.store.write(&it.put("kept", 1)).await?;
    it.store.write(&it.put("k", 1)).await?;
    let stale = it.etag("k").await?;
    it.store.write(&it.put("k", 2)).await?;
    for position in 0..4 {
        let mut writes = vec![it.put("new", 1), it.delete("kept"), it.put("new", 2)];
        writes.insert(position, it.put("k", 3).when(Matches(stale.clone())));
        conflicts_at(it, position, &writes, "k").await?;
        ensure!(it.is_absent("new").await?);
        ensure!(it.value("kept").await? == "1");
    }
    Ok(())
}

async fn conflict_of_a_delete_names_its_write_and_undoes_all(it: &Scope) -> Result<()> {
    it.store.write(&it.put("kept", 1)).await?;
    let etag = it.etag("kept").await?;
    let writes = [it.put("kept", 2), it.put("new", 1), it.delete("absent").when(Matches(etag))];
    conflicts_at(it, 2, &writes, "absent").await?;
    ensure!(it.is_absent("new").await?);
    ensure!(it.value("kept").await? == "1");
    Ok(())
}

async fn etag_made_within_is_good_afterwards(it: &Scope) -> Result<()> {
    commit(it, &[it.put("a", 1), it.put("b", 1)]).await?;
    let etag = it.etag("a").await?;
    it.store.write(&it.put("a", 2).when(Matches(etag.clone()))).await?;
    conflicts_at(it, 0, &[it.put("a", 3).when(Matches(etag)), it.put("b", 2)], "a").await?;
    ensure!(it.value("b").await? == "1");
    Ok(())
}

async fn commit(it: &Scope, writes: &[Write]) -> Result<Vec<Written>> {
    let written = it.store.transact(writes).await?;
    ensure!(written.len() == writes.len(), "{} answers to {}", written.len(), writes.len());
    Ok(written)
}

/// Checks that the transaction conflicts at `position`, which is about `name`, and leaves that
/// as it was.
async fn conflicts_at(it: &Scope, position: usize, writes: &[Write], name: &str) -> Result<()> {
    let before = it.get(name).await?;
    match it.store.transact(writes).await {
        Ok(_) => bail!("a transaction whose condition is false was applied"),
        Err(Error::Conflict(conflict)) => {
            ensure!(conflict.position() == position, "it was write {position}: {conflict:?}");
            found_is_right(&conflict, before.as_ref())?;
        }
        Err(e) => return Err(e.into()),
    }
    ensure!(it.get(name).await? == before);
    Ok(())
}
