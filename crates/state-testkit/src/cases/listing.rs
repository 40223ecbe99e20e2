use anyhow::{Result, ensure};
use state::{Key, KeyPage};

use super::{Group, clauses};
use crate::scope::{Scope, Way};

pub(super) const GROUPS: &[Group] = &[Group {
    name: "listing",
    ways: &[Way::Single, Way::TwoInstances],
    needs: |it| it.list,
    clauses: clauses![
        keys_come_in_the_order_of_their_bytes,
        only_keys_with_the_prefix_are_listed,
        prefix_has_no_wildcards,
        prefix_without_keys_lists_none,
        deleted_keys_are_not_listed,
        page_ends_at_its_limit_and_says_whether_more_follow,
        pages_show_every_key_once,
        cursor_need_not_exist,
    ],
}];

async fn keys_come_in_the_order_of_their_bytes(it: &Scope) -> Result<()> {
    let sorted =
        [" ", "A", "B", "a", "a b", "a-", "aa", "b", "z", "{", "é", "日", "\u{ffff}", "😀"];
    for name in sorted.iter().rev() {
        it.store.write(&it.put(name, 1)).await?;
    }
    ensure!(names(it, "").await? == sorted);
    Ok(())
}

async fn only_keys_with_the_prefix_are_listed(it: &Scope) -> Result<()> {
    for name in ["a", "a/1", "a/2", "a0", "A/1", "b", "/a/"] {
        it.store.write(&it.put(name, 1)).await?;
    }
    ensure!(names(it, "a/").await? == ["a/1", "a/2"]);
    ensure!(names(it, "a").await? == ["a", "a/1", "a/2", "a0"]);
    Ok(())
}

async fn prefix_has_no_wildcards(it: &Scope) -> Result<()> {
    for name in ["a_b1", "axb2", "a%b3", "a*b4", "a?b5", "a[x]b6", "a\\b7"] {
        it.store.write(&it.put(name, 1)).await?;
    }
    for name in ["a_b1", "a%b3", "a*b4", "a?b5", "a[x]b6", "a\\b7"] {
        ensure!(names(it, &name[..name.len() - 1]).await? == [name]);
    }
    Ok(())
}

async fn prefix_without_keys_lists_none(it: &Scope) -> Result<()> {
    it.store.write(&it.put("a", 1)).await?;
    ensure!(list(it, "b", None, 10).await? == KeyPage::default());
    Ok(())
}

async fn deleted_keys_are_not_listed(it: &Scope) -> Result<()> {
    for name in ["a", "b", "c"] {
        it.store.write(&it.put(name, 1)).await?;
    }
    it.store.write(&it.delete("b")).await?;
    ensure!(names(it, "").await? == ["a", "c"]);
    Ok(())
}

async fn page_ends_at_its_limit_and_says_whether_more_follow(it: &Scope) -> Result<()> {
    for name in ["a", "b", "c"] {
        it.store.write(&it.put(name, 1)).await?;
    }
    for (limit, len, more) in [(1, 1, true), (2, 2, true), (3, 3, false), (4, 3, false)] {
        let page = list(it, "", None, limit).await?;
        ensure!(page.keys.len() == len && page.more == more, "limit {limit}: {page:?}");
    }
    Ok(())
}

async fn pages_show_every_key_once(it: &Scope) -> Result<()> {
    let written: Vec<_> = (0..25).map(|i| format!("k{i:02}")).collect();
    for name in &written {
        it.store.write(&it.put(name, 1)).await?;
    }
    let mut shown = Vec::new();
    let mut after = None;
    loop {
        let page = list(it, "", after.as_ref(), 10).await?;
        shown.extend(page.keys.iter().map(|key| name(it, key)));
        if !page.more {
            break;
        }
        ensure!(page.keys.len() == 10, "a page in the middle is not full");
        after = page.keys.last().cloned();
    }
    ensure!(shown == written);
    Ok(())
}

async fn cursor_need_not_exist(it: &Scope) -> Result<()> {
    for name in ["k1", "k3", "k5"] {
        it.store.write(&it.put(name, 1)).await?;
    }
    for (after, len) in [("k0", 3), ("k1", 2), ("k2", 2), ("k5", 0), ("k9", 0), ("a", 3), ("z", 0)]
    {
        let page = list(it, "k", Some(&it.key(after)), 10).await?;
        ensure!(page.keys.len() == len && !page.more, "after {after}: {page:?}");
    }
    Ok(())
}

async fn list(it: &Scope, prefix: &str, after: Option<&Key>, limit: usize) -> Result<KeyPage> {
    let prefix = [&it.prefix, prefix].concat();
    Ok(it.reader.list(&prefix, after, limit).await?)
}

/// All names that begin with `prefix`.
async fn names(it: &Scope, prefix: &str) -> Result<Vec<String>> {
    let page = list(it, prefix, None, 100).await?;
    ensure!(!page.more);
    Ok(page.keys.iter().map(|key| name(it, key)).collect())
}

fn name(it: &Scope, key: &Key) -> String {
    key.strip_prefix(&it.prefix).unwrap_or_else(|| key.clone()).as_str().to_owned()
}
