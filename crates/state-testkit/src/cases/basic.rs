use anyhow::{Context, Result, ensure};
use state::{Consistency, Read, Write};

use super::{EVERY_WAY, Group, ONE_WAY, clauses};
use crate::scope::Scope;

pub(super) const GROUPS: &[Group] = &[
    Group {
        name: "basic",
        ways: ONE_WAY,
        needs: |_| true,
        clauses: clauses![a_ping_is_answered, absent_key_reads_as_none],
    },
    Group {
        name: "basic",
        ways: EVERY_WAY,
        needs: |_| true,
        clauses: clauses![
            put_stores_a_value,
            put_replaces_a_value,
            delete_removes_a_value,
            delete_of_an_absent_key_succeeds,
            put_after_delete_stores_a_value,
            write_leaves_other_keys_alone,
        ],
    },
    Group {
        name: "basic",
        ways: EVERY_WAY,
        needs: |it| it.consistency.strong_write.is_some() && it.consistency.strong_read.is_some(),
        clauses: clauses![strong_read_sees_a_strong_write],
    },
];

async fn a_ping_is_answered(it: &Scope) -> Result<()> {
    Ok(it.store.ping().await?)
}

async fn absent_key_reads_as_none(it: &Scope) -> Result<()> {
    ensure!(it.is_absent("k").await?);
    Ok(())
}

async fn put_stores_a_value(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    ensure!(it.value("k").await? == "1");
    Ok(())
}

async fn put_replaces_a_value(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.succeeds(it.put("k", "\"a longer one\"")).await?;
    it.succeeds(it.put("k", 2)).await?;
    Ok(())
}

async fn delete_removes_a_value(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.succeeds(it.delete("k")).await?;
    Ok(())
}

async fn delete_of_an_absent_key_succeeds(it: &Scope) -> Result<()> {
    it.succeeds(it.delete("k")).await?;
    it.succeeds(it.delete("k")).await?;
    Ok(())
}

async fn put_after_delete_stores_a_value(it: &Scope) -> Result<()> {
    it.succeeds(it.put("k", 1)).await?;
    it.succeeds(it.delete("k")).await?;
    it.succeeds(it.put("k", 2)).await?;
    Ok(())
}

async fn write_leaves_other_keys_alone(it: &Scope) -> Result<()> {
    it.succeeds(it.put("other", 1)).await?;
    let other = it.item("other").await?;
    it.succeeds(it.put("k", 2)).await?;
    it.succeeds(it.delete("k")).await?;
    ensure!(it.item("other").await? == other);
    Ok(())
}

async fn strong_read_sees_a_strong_write(it: &Scope) -> Result<()> {
    let read = Read { consistency: Consistency::Strong, ..it.read("k") };
    for i in 0..5 {
        it.succeeds(Write { consistency: Consistency::Strong, ..it.put("k", i) }).await?;
        let item = it.reader.get(&read).await?.context("it was written")?;
        ensure!(item.value == i.to_string());
    }
    Ok(())
}
