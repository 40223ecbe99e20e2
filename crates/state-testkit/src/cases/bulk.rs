use anyhow::{Context, Result, ensure};
use state::{
    BULK_CONCURRENCY,
    Precondition::{Absent, Matches},
    Write, Written,
};

use super::{Group, clauses};
use crate::scope::{Scope, Way, is_conflict, text};

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "bulk",
        ways: WAYS,
        needs: |_| true,
        clauses: clauses![
            empty_batches_have_no_answers,
            reads_are_answered_in_order,
            keys_may_be_read_twice_and_be_absent,
            many_writes_are_answered_in_order,
            last_of_several_puts_wins,
            put_and_delete_of_one_key_apply_in_order,
        ],
    },
    Group {
        name: "bulk",
        ways: WAYS,
        needs: |it| it.etag,
        clauses: clauses![
            failing_writes_do_not_stop_the_others,
            only_the_first_of_two_creates_succeeds,
            only_the_first_of_two_uses_of_an_etag_succeeds,
            written_etags_are_those_of_the_last_writes,
        ],
    },
];

const WAYS: &[Way] = &[Way::Single, Way::TwoInstances];

/// More than a store without a bulk call of its own has under way at once.
const MANY: usize = 2 * BULK_CONCURRENCY + 3;

async fn empty_batches_have_no_answers(it: &Scope) -> Result<()> {
    ensure!(it.store.get_many(&[]).await.is_empty());
    ensure!(it.store.write_many(&[]).await.is_empty());
    Ok(())
}

async fn reads_are_answered_in_order(it: &Scope) -> Result<()> {
    for i in 0..MANY {
        it.store.write(&it.put(&format!("k{i}"), i)).await?;
    }
    let expected: Vec<_> = (0..MANY).rev().map(|i| Some(i.to_string())).collect();
    let names: Vec<_> = (0..MANY).rev().map(|i| format!("k{i}")).collect();
    ensure!(values(it, &names).await? == expected);
    Ok(())
}

async fn keys_may_be_read_twice_and_be_absent(it: &Scope) -> Result<()> {
    it.store.write(&it.put("a", 1)).await?;
    it.store.write(&it.put("b", 2)).await?;
    let names = ["a", "absent", "b", "a", "absent", "a"].map(str::to_owned);
    let expected = [Some("1"), None, Some("2"), Some("1"), None, Some("1")];
    ensure!(values(it, &names).await? == expected.map(|it| it.map(str::to_owned)));
    Ok(())
}

async fn many_writes_are_answered_in_order(it: &Scope) -> Result<()> {
    let names: Vec<_> = (0..MANY).map(|i| format!("k{i}")).collect();
    let writes: Vec<_> = names.iter().zip(0..).map(|(name, i)| it.put(name, i)).collect();
    for (name, written) in names.iter().zip(all_succeed(it, &writes).await?) {
        let read = it.item(name).await?.etag;
        ensure!(written.etag.is_none() || written.etag == read, "{name:?} has another's ETag");
    }
    let expected: Vec<_> = (0..MANY).map(|i| Some(i.to_string())).collect();
    ensure!(values(it, &names).await? == expected);
    Ok(())
}

async fn last_of_several_puts_wins(it: &Scope) -> Result<()> {
    let writes: Vec<_> = (0..MANY).map(|i| it.put(["a", "b", "c"][i % 3], i)).collect();
    all_succeed(it, &writes).await?;
    let last = |remainder| (0..MANY).rfind(|i| i % 3 == remainder).map(|it| it.to_string());
    ensure!(values(it, &["a", "b", "c"]).await? == [last(0), last(1), last(2)]);
    Ok(())
}

async fn put_and_delete_of_one_key_apply_in_order(it: &Scope) -> Result<()> {
    it.store.write(&it.put("b", 0)).await?;
    let writes = [it.put("a", 1), it.delete("b"), it.delete("a"), it.put("b", 2)];
    let written = all_succeed(it, &writes).await?;
    ensure!(written[1].etag.is_none() && written[2].etag.is_none());
    ensure!(values(it, &["a", "b"]).await? == [None, Some("2".to_owned())]);
    Ok(())
}

async fn failing_writes_do_not_stop_the_others(it: &Scope) -> Result<()> {
    it.store.write(&it.put("present", 1)).await?;
    let etag = it.etag("present").await?;
    let writes = [
        it.put("a", 1),
        it.put("present", 2).when(Absent),
        it.put("b", 2),
        it.put("absent", 3).when(Matches(etag.clone())),
        it.delete("absent").when(Matches(etag)),
        it.put("c", 3),
    ];
    let answers = it.store.write_many(&writes).await;
    let conflicts: Vec<_> = answers.iter().map(is_conflict).collect();
    ensure!(conflicts == [false, true, false, true, true, false]);
    ensure!(answers.iter().filter(|it| it.is_ok()).count() == 3);
    let expected = [Some("1"), Some("1"), Some("2"), None, Some("3")];
    let found = values(it, &["a", "present", "b", "absent", "c"]).await?;
    ensure!(found == expected.map(|it| it.map(str::to_owned)));
    Ok(())
}

async fn only_the_first_of_two_creates_succeeds(it: &Scope) -> Result<()> {
    let writes = [it.put("k", 1).when(Absent), it.put("k", 2).when(Absent)];
    let answers = it.store.write_many(&writes).await;
    ensure!(answers.len() == 2 && answers[0].is_ok() && is_conflict(&answers[1]), "{answers:?}");
    ensure!(it.value("k").await? == "1");
    Ok(())
}

async fn only_the_first_of_two_uses_of_an_etag_succeeds(it: &Scope) -> Result<()> {
    it.store.write(&it.put("k", 1)).await?;
    let etag = it.etag("k").await?;
    let writes = [it.put("k", 2).when(Matches(etag.clone())), it.delete("k").when(Matches(etag))];
    let answers = it.store.write_many(&writes).await;
    ensure!(answers.len() == 2 && answers[0].is_ok() && is_conflict(&answers[1]), "{answers:?}");
    ensure!(it.value("k").await? == "2");
    Ok(())
}

async fn written_etags_are_those_of_the_last_writes(it: &Scope) -> Result<()> {
    let writes = [it.put("k", 1), it.put("k", 1), it.put("l", 1), it.put("k", 1)];
    let written = all_succeed(it, &writes).await?;
    if written.iter().any(|it| it.etag.is_none()) {
        return Ok(());
    }
    ensure!(written[3].etag == it.item("k").await?.etag);
    ensure!(written[2].etag == it.item("l").await?.etag);
    ensure!(written[0] != written[1] && written[1] != written[3] && written[0] != written[3]);
    Ok(())
}

async fn all_succeed(it: &Scope, writes: &[Write]) -> Result<Vec<Written>> {
    let answers = it.store.write_many(writes).await;
    ensure!(answers.len() == writes.len(), "{} answers to {}", answers.len(), writes.len());
    answers.into_iter().map(|it| it.context("a write in bulk")).collect()
}

/// The values of these names, read in bulk.
async fn values(it: &Scope, names: &[impl AsRef<str>]) -> Result<Vec<Option<String>>> {
    let reads: Vec<_> = names.iter().map(|name| it.read(name.as_ref())).collect();
    let answers = it.reader.get_many(&reads).await;
    answers.into_iter().map(|answer| answer?.as_ref().map(text).transpose()).collect()
}
